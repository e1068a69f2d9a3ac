/* source - where frames come from: a CAN interface, a datagram socket that stands in for one, or a
 * recording. All behind one table, so that capture does not know which.
 * Thread: a source belongs to the capture thread. Nothing here ever writes to a socket: opening,
 * options, bind and receive are the only calls (tests/e2e/never_sends.sh proves it by symbol and by
 * system call). After open nothing allocates.
 *
 * Live sources never fail for good: an interface that is missing or goes away is looked for again
 * at every tick and at every change that rtnetlink reports, and its state says so. */
#ifndef DAEMON_SOURCE_H
#define DAEMON_SOURCE_H
#include "daemon/playback.h"
#include "proto/err.h"
#include "proto/frame.h"
#include "proto/recording.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOURCE_BATCH 64           /* datagrams of one recvmmsg ... */
#define SOURCE_ITEMS (4 * SOURCE_BATCH) /* ... and the room they need: news and a frame each */
#define SOURCE_ADDRESS_MAX 108    /* an interface name, udp:HOST:PORT or unix:PATH */
#define SOURCE_RCVBUF_MAX 67108864
#define SOURCE_STAMP_AHEAD_NS NS_PER_MS /* a mapped stamp may be this much after the reading, */
#define SOURCE_STAMP_BEHIND_NS (60 * NS_PER_S) /* or this much before it: else the clock moved */

enum source_kind { SOURCE_KIND_CAN, SOURCE_KIND_DATAGRAM, SOURCE_KIND_RECORDING };

struct source_config {
    char name[SOURCE_NAME_MAX];
    enum source_kind kind;
    char address[SOURCE_ADDRESS_MAX];
    uint32_t rcvbuf_bytes; /* asked of the kernel; 0 leaves its default */
    bool hardware_stamps;  /* prefer the controller's stamps where they are on the wall clock */
};

enum source_item_kind {
    SOURCE_FRAME,   /* frame */
    SOURCE_RECORDED,/* recorded: an item of a recording, marks too */
    SOURCE_DROPPED, /* count frames of `source` were lost in the kernel, about here */
    SOURCE_LOST,    /* count frames of `source` found the queue to the pipeline full */
    SOURCE_LINK,    /* up: the interface of `source` came or went, at time.mono_ns */
    SOURCE_STAMPS,  /* origin: where the stamps of `source` come from now, at time.mono_ns */
    SOURCE_CLOCK,   /* wall_ns and mono_ns belong together from here on */
    SOURCE_TIME,    /* no frame stamped at or before wall_ns will come, but late ones */
    SOURCE_END,     /* nothing follows */
};

/* What capture puts into the queue to the pipeline. */
struct source_item {
    uint8_t kind, source;
    bool up;
    uint8_t origin; /* enum stamp_origin */
    union {
        struct frame frame;
        struct recording_item recorded;
        uint64_t count;
        struct {
            int64_t wall_ns, mono_ns;
        } time;
    };
};

enum source_state { SOURCE_UP, SOURCE_DOWN, SOURCE_MISSING };

struct source_stats {
    uint64_t frames, bytes;     /* received and handed on */
    uint64_t error_frames;      /* of those */
    uint64_t tx_frames;         /* of those, sent by this host */
    uint64_t dropped_kernel;    /* SO_RXQ_OVFL and SO_MEMINFO: no room in the socket */
    uint64_t dropped_controller;/* error frames that say the controller overran */
    uint64_t malformed;         /* wrong size or length: not a frame */
    uint64_t stamps_missing;    /* the kernel gave no stamp: our own reading stands for it */
    uint64_t stamps_hardware;
    uint64_t link_changes, rebinds;
    uint32_t rcvbuf_bytes;      /* what the kernel gave; less than asked: net.core.rmem_max */
    uint8_t state;              /* enum source_state */
    uint8_t origin;             /* enum stamp_origin: the weakest of the last second */
    int last_errno;             /* why it is not up */
};

/* Every function takes the context that open gave. */
struct source_ops {
    const char *name;
    /* To be polled for reading, or -1: nothing to poll now. It may change at read and tick. */
    int (*fd)(void *context);
    /* Fills at most `room` items, none of them TIME, and returns their count; 0: nothing now; or a
     * negative errno with *err when a recording cannot go on. `wall_ns` and `mono_ns` are one
     * reading. *ret_more: there may be more at once. */
    int (*read)(void *context, int64_t wall_ns, int64_t mono_ns, struct source_item *items,
                uint32_t room, bool *ret_more, struct err *err);
    /* Once a second and at link changes: polls drop counters, looks for a missing interface. */
    void (*tick)(void *context);
    /* When read is worth calling without the fd: mono ns; INT64_MAX: never. */
    int64_t (*due_ns)(void *context);
    /* Of each of its sources, by their numbers: a socket is one, a recording may hold several (room
     * for SOURCES_MAX then). Returns how many. */
    uint32_t (*stats)(void *context, struct source_stats *ret_stats);
    void (*close)(void *context); /* takes NULL */
};

struct source_handle {
    const struct source_ops *ops;
    void *context;
};

/* Opens a CAN interface or a datagram socket as source number `index`. An interface that is not
 * there, or a kernel without CAN, is no failure (state MISSING). Returns 0, -EINVAL for an address
 * that cannot be, -ENOMEM, or the errno of a datagram socket that cannot be bound, with *err. */
int source_open_socket(const struct source_config *config, uint8_t index,
                       struct source_handle *ret_source, struct err *err);

/* A recording as a source, at its own speed (stamps since the first one) or at once. The playback
 * stays the caller's, and outlives the source. Never drops, has no fd, gives RECORDED items and one
 * END. Returns 0 or -ENOMEM. */
int source_open_recording(struct playback *playback, bool real_time,
                          struct source_handle *ret_source);

/* --- for source_socket.c: how a kind of socket is opened --- */

/* Returns a bound, non-blocking descriptor, or a negative errno with *err. */
int source_can_socket(const struct source_config *config, struct err *err);
int source_datagram_socket(const struct source_config *config, struct err *err);

/* The address "udp:A.B.C.D:PORT" or "unix:/PATH" (for tools that send to a daemon too). Returns its
 * length, or -EINVAL: not of this form. */
int source_datagram_address(const char *text, struct sockaddr_storage *ret_address);

/* Whether a CAN interface is up, asked on a descriptor of source_can_socket. */
bool source_can_is_up(int fd, const char *name);

/* A netlink descriptor that becomes readable when a link changes, or a negative errno. */
int source_link_monitor(void);
/* Reads all that waits there; returns true when a link changed. */
bool source_link_changed(int fd);

#endif
