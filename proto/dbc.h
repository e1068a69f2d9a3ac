/* dbc - a signal database: the messages and signals of one DBC file, ready to decode.
 * dbc_load reads the whole file into one immutable object; every pointer in it lives until
 * dbc_close. Texts are UTF-8 (files that are not valid UTF-8 are taken as cp1252). Safe to read
 * from any thread.
 *
 * Leniency (formats.md 2.1): a row that does not touch decoding and breaks the grammar loads with a
 * warning at its place. A row that does touch decoding is refused alone (its signal or its message
 * is not there, listed in `refused`) with a warning; damage that makes the rest of the file
 * doubtful (an unfinished string, no DBC at all, a limit) refuses the file. `strict` turns every
 * warning into an error and refuses the file. */
#ifndef PROTO_DBC_H
#define PROTO_DBC_H
#include "proto/arena.h"
#include "proto/decode.h"
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DBC_FILE_BYTES_MAX (8u << 20)
#define DBC_NAME_MAX 128             /* bytes of a name, long names too, without NUL */
#define DBC_TEXT_MAX 4096            /* bytes of a label or unit; comments are not kept */
#define DBC_MESSAGES_MAX 16384
#define DBC_SIGNALS_MAX 262144       /* of one file */
#define DBC_MESSAGE_SIGNALS_MAX 4096 /* of one message */
#define DBC_LABELS_MAX 1048576       /* of one file */
#define DBC_RANGES_MAX 262144        /* SG_MUL_VAL_ ranges of one file */
#define DBC_MUX_DEPTH_MAX 16         /* multiplexors above a signal */
#define DBC_MEMORY_MAX (512u << 20)  /* of one database; a file of 8 MiB has needed 140 MiB */
#define DBC_NONE (-1)

struct dbc_label {
    int64_t raw;
    const char *text;
};

struct dbc_range { /* of a multiplexor's unsigned bits, both ends included */
    uint64_t first, last;
};

struct dbc_signal {
    const char *name;       /* SystemSignalLongSymbol where there is one */
    const char *short_name; /* as the SG_ row has it */
    const char *unit;       /* "" for none */
    struct decode_layout layout;
    struct decode_plan plan;
    const char *factor_text, *offset_text; /* as written, for exact arithmetic */
    double minimum, maximum;               /* [0|0] is no range */
    bool has_range;
    bool is_multiplexor;
    int32_t multiplexor;             /* index in its message of what selects it; DBC_NONE */
    const struct dbc_range *ranges;  /* values of the multiplexor that select it: ascending, apart */
    uint32_t range_count;
    const struct dbc_label *labels;  /* ascending by raw, one an entry */
    uint32_t label_count;
    int32_t same_name;   /* next signal of this name in the message (another branch); DBC_NONE */
    int32_t spn;         /* J1939 parameter number; DBC_NONE */
    bool has_start_value;
    double start_value;  /* GenSigStartValue: a raw value */
    uint32_t line, column;
};

struct dbc_message {
    const char *name;       /* SystemMessageLongSymbol where there is one */
    const char *short_name; /* as the BO_ row has it */
    uint32_t id;            /* 11 or 29 bits */
    bool is_extended;
    bool is_fd;             /* VFrameFormat ..._FD; information: lookup goes by id alone */
    bool is_j1939;          /* VFrameFormat J1939PG: found by PGN, see dbc_find */
    bool any_source;        /* J1939: the database id pins no source address */
    uint32_t len;           /* bytes as the BO_ row says; over 64: a transport carries it */
    uint32_t cycle_ms;      /* GenMsgCycleTime; 0 for none */
    const struct dbc_signal *signals; /* in the order of the file */
    uint32_t signal_count;
    uint32_t line, column;
};

/* What was left out because its row cannot be trusted; `signal` is "" for a whole message. */
struct dbc_refused {
    const char *message, *signal;
    const char *reason;
    uint32_t line, column;
};

struct dbc {
    const char *name; /* as given to dbc_load, for messages to people */
    const struct dbc_message *messages; /* in the order of the file */
    uint32_t message_count, signal_count;
    const struct dbc_refused *refused;
    uint32_t refused_count;
    const struct dbc_index *index; /* private */
    struct arena arena;            /* private: holds all of it, itself too */
};

/* Reads a DBC from memory; bytes are not kept. `name` stands in diagnostics. Each warning and error
 * goes to *diags (NULL allowed); *err (NULL allowed) is the first error. Returns 0; -EBADMSG when
 * the file is refused; -ERANGE for a limit; -ENOMEM. On failure *ret_dbc is untouched. */
int dbc_load(const void *bytes, size_t size, const char *name, bool strict, struct diags *diags,
             struct err *err, struct dbc **ret_dbc);

/* NULL is allowed. */
void dbc_close(struct dbc *dbc);

/* The message of an arbitration id, or NULL: an exact id first; then, for 29 bits, J1939 by PGN: a
 * message whose id pins this source address, else one for any source (address 0xFE or 0xFF in the
 * file's id, or priority and address both 0, which is a bare PGN). */
const struct dbc_message *dbc_find(const struct dbc *dbc, uint32_t id, bool extended);

/* By name: the long or the short one. NULL when there is none. */
const struct dbc_message *dbc_message_by_name(const struct dbc *dbc, const char *name);

/* The first signal of that name (follow same_name for other branches); long or short. */
const struct dbc_signal *dbc_signal_by_name(const struct dbc *dbc,
                                            const struct dbc_message *message, const char *name);

/* Position in the message; for use with `multiplexor` and `same_name`. */
static inline uint32_t dbc_signal_index(const struct dbc_message *message,
                                        const struct dbc_signal *signal)
{
    return (uint32_t)(signal - message->signals);
}

#endif
