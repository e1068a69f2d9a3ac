/* control - the local socket through which people and tools ask the daemon. A client sends one line,
 * a JSON object of at most CONTROL_LINE_MAX bytes, gets one answer, and is closed:
 *   {"do":"status"}  {"do":"metrics"}  {"do":"where","clip":"HEX"}                     read
 *   {"do":"reload"}  {"do":"trigger","pre":NS,"post":NS,"priority":N,"note":"TEXT"}    change
 * Reading is for whom the socket's mode 0660 lets in; changing for root, the daemon's own user and
 * the members of one named group, known by SO_PEERCRED. At most CONTROL_CLIENTS_MAX at a time; one
 * more is closed at once; who neither sends nor reads for CONTROL_IDLE_NS is closed.
 *
 *   READING --line--> ASKED (control_next) --control_answer--> WRITING --all sent--> closed
 *
 * Owner: the main thread. No clock: now_ns is mono and passed in. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H
#include "proto/err.h"
#include "proto/frame.h"
#include "proto/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_LINE_MAX 65536
#define CONTROL_ANSWER_MAX 262144
#define CONTROL_CLIENTS_MAX 8
#define CONTROL_IDLE_NS (2 * NS_PER_S)
#define CONTROL_ASKED_NS (20 * NS_PER_S) /* an answer that does not come: an error instead */
#define CONTROL_NOTE_MAX 256

enum control_verb {
    CONTROL_STATUS, CONTROL_METRICS, CONTROL_WHERE, CONTROL_RELOAD, CONTROL_TRIGGER,
    CONTROL_RETRY,
};

struct control_request {
    enum control_verb verb;
    bool has_clip;                  /* RETRY: false is all that are parked */
    uint8_t clip_id[CLIP_ID_BYTES]; /* WHERE, RETRY */
    int64_t pre_ns, post_ns;        /* TRIGGER: default 10 s each; bounds are the pipeline's */
    int64_t priority;               /* TRIGGER: default 5 */
    char note[CONTROL_NOTE_MAX];    /* TRIGGER */
};

/* Pure: one line, without its newline. Returns 0 or -EBADMSG with *err. */
int control_parse(const char *line, size_t size, struct control_request *ret_request,
                  struct err *err);
/* RELOAD, TRIGGER and RETRY change something. */
bool control_changes(enum control_verb verb);

struct control;

struct control_config {
    const char *path;  /* a stale socket there is removed; anything else is refused */
    const char *group; /* "": root and our own user only */
};

struct control_stats {
    uint64_t requests, refused; /* refused: bad line, no right, too many clients, idle */
};

/* Returns 0, or a negative errno with *err. */
int control_open(const struct control_config *config, struct control **ret_control,
                 struct err *err);
void control_close(struct control *control); /* removes the socket; takes NULL */
/* Readable when control_run has something to do. */
int control_fd(const struct control *control);
/* Accepts, reads, writes, closes the idle; never waits. To be called also once a second. */
void control_run(struct control *control, int64_t now_ns);
/* The next request that waits for an answer: 1 with its ticket, or 0. Refused ones never show. */
int control_next(struct control *control, uint64_t *ret_ticket,
                 struct control_request *ret_request);
/* Answers with text (a newline is added when it lacks one); a ticket whose client went is ignored. */
void control_answer(struct control *control, uint64_t ticket, const char *text, size_t size,
                    int64_t now_ns);
void control_stats(const struct control *control, struct control_stats *ret_stats);

#endif
