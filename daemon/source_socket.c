/* The receive engine: recvmmsg of struct can(fd)_frame with kernel stamps and provable loss, on any
 * socket that source_can.c or source_dgram.c opened.
 *
 *        open_socket ok, it is up           ENETDOWN              ENODEV, read to its end
 *  MISSING -----------------> UP --------------------------> DOWN   UP/DOWN ----> MISSING
 *     ^   (tick, link change)  ^  it is up (tick, link change) |                   |
 *     |                        +-------------------------------+                   |
 *     +----------------------------------------------------------------------------+
 *
 * The kernel tells an error before the frames that were queued ahead of it: they are still read, and
 * the drops asked for, before a socket without an interface is closed.
 *
 * Loss: SO_RXQ_OVFL rides on the next frame, so a burst at the end stays invisible until
 * SO_MEMINFO is asked at the tick. Both show the same 32-bit counter of the socket; whichever is
 * ahead moves drops_seen, and the difference is counted once. */
#include "daemon/source.h"

#include <errno.h>
#include <time.h> /* linux/errqueue.h needs struct timespec before it */

#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_BYTES 256 /* SCM_TIMESTAMPING 64, SO_RXQ_OVFL 20, SO_TIMESTAMPNS 32, room */
/* A hardware stamp counts only within a second of the kernel's: most controllers stamp by a
 * counter of their own that has nothing to do with the wall clock (formats.md 4). */
#define HARDWARE_NEAR_NS NS_PER_S

struct engine {
    struct source_config config;
    struct source_stats stats;
    int fd; /* -1 while MISSING */
    uint8_t index;
    int gone;             /* errno of an interface that is no more: read on, then close; or 0 */
    bool link_news;       /* a LINK item is owed */
    bool stamp_news;      /* a STAMPS item is owed */
    uint8_t origin_seen;  /* the weakest since the last tick; STAMP_UNKNOWN: no frame came */
    uint32_t drops_seen;  /* of the socket's counter */
    uint64_t drops_owed;  /* counted, not yet told as a DROPPED item */
    struct mmsghdr messages[SOURCE_BATCH];
    struct iovec parts[SOURCE_BATCH];
    union {
        struct canfd_frame frame;
        uint8_t bytes[CANFD_MTU + 8]; /* longer datagrams show as longer than any frame */
    } frames[SOURCE_BATCH];
    _Alignas(struct cmsghdr) uint8_t controls[SOURCE_BATCH][CONTROL_BYTES];
};

/* --- the socket --- */

static void set_rcvbuf(struct engine *engine)
{
    int asked = (int)engine->config.rcvbuf_bytes, given = 0;
    socklen_t size = sizeof given;

    /* FORCE passes net.core.rmem_max but needs CAP_NET_ADMIN. The kernel doubles what it is given,
     * for its own bookkeeping, and says so when it is read back. */
    if (asked && setsockopt(engine->fd, SOL_SOCKET, SO_RCVBUFFORCE, &asked, sizeof asked) < 0)
        (void)setsockopt(engine->fd, SOL_SOCKET, SO_RCVBUF, &asked, sizeof asked);
    if (getsockopt(engine->fd, SOL_SOCKET, SO_RCVBUF, &given, &size) == 0)
        engine->stats.rcvbuf_bytes = (uint32_t)given / 2;
}

static void set_stamping(int fd)
{
    const int flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                      SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
    const int on = 1;
    int domain = 0;
    socklen_t size = sizeof domain;

    (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    /* A unix socket knows the older option only. A refusal shows as stamps_missing. */
    if (domain == AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    else
        (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags);
}

static void set_state(struct engine *engine, enum source_state state, int code)
{
    engine->stats.last_errno = code;
    bool was_up = engine->stats.state == SOURCE_UP;
    engine->stats.state = (uint8_t)state;
    if (was_up == (state == SOURCE_UP)) /* from down to missing is no other news */
        return;
    engine->stats.link_changes++;
    engine->link_news = true;
}

static int open_socket(struct engine *engine, struct err *err)
{
    int fd = engine->config.kind == SOURCE_KIND_CAN ? source_can_socket(&engine->config, err)
                                                    : source_datagram_socket(&engine->config, err);
    if (fd < 0) {
        engine->stats.last_errno = -fd;
        return fd;
    }
    engine->fd = fd;
    engine->drops_seen = 0;
    set_rcvbuf(engine);
    set_stamping(fd);
    /* An interface that is down can be bound too. */
    if (engine->config.kind == SOURCE_KIND_CAN && !source_can_is_up(fd, engine->config.address))
        set_state(engine, SOURCE_DOWN, ENETDOWN);
    else
        set_state(engine, SOURCE_UP, 0);
    return 0;
}

/* --- loss --- */

static void note_drops(struct engine *engine, uint32_t counter)
{
    uint32_t more = counter - engine->drops_seen;

    if (more == 0 || more > INT32_MAX) /* an older reading than the one we have */
        return;
    engine->drops_seen = counter;
    engine->stats.dropped_kernel += more;
    engine->drops_owed += more;
}

static void poll_drops(struct engine *engine)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t size = sizeof info;

    if (getsockopt(engine->fd, SOL_SOCKET, SO_MEMINFO, info, &size) == 0 &&
        size > SK_MEMINFO_DROPS * sizeof info[0])
        note_drops(engine, info[SK_MEMINFO_DROPS]);
}

static void forget_socket(struct engine *engine)
{
    poll_drops(engine);
    (void)close(engine->fd);
    engine->fd = -1;
    set_state(engine, SOURCE_MISSING, engine->gone);
    engine->gone = 0;
}

/* --- one datagram --- */

struct stamps {
    int64_t software_ns, hardware_ns; /* 0: none */
};

static int64_t timespec_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec;
}

static struct stamps read_controls(struct engine *engine, struct msghdr *message)
{
    struct stamps stamps = { 0, 0 };
    struct scm_timestamping stamping;
    struct timespec stamp;
    uint32_t drops;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_TIMESTAMPING && c->cmsg_len >= CMSG_LEN(sizeof stamping)) {
            memcpy(&stamping, CMSG_DATA(c), sizeof stamping);
            stamps.software_ns = timespec_ns(&stamping.ts[0]);
            stamps.hardware_ns = timespec_ns(&stamping.ts[2]);
        } else if (c->cmsg_type == SCM_TIMESTAMPNS && c->cmsg_len >= CMSG_LEN(sizeof stamp)) {
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            stamps.software_ns = timespec_ns(&stamp);
        } else if (c->cmsg_type == SO_RXQ_OVFL && c->cmsg_len >= CMSG_LEN(sizeof drops)) {
            memcpy(&drops, CMSG_DATA(c), sizeof drops);
            note_drops(engine, drops);
        }
    }
    return stamps;
}

/* A weaker origin is told at once, a stronger one when it has held for the time between two ticks:
 * what the manifest says is never more than what the stamps are. */
static void note_origin(struct engine *engine, enum stamp_origin origin)
{
    if (engine->origin_seen == STAMP_UNKNOWN || origin < engine->origin_seen)
        engine->origin_seen = (uint8_t)origin;
    if (origin >= engine->stats.origin)
        return;
    engine->stats.origin = (uint8_t)origin;
    engine->stamp_news = true;
}

static void raise_origin(struct engine *engine)
{
    if (engine->origin_seen > engine->stats.origin) {
        engine->stats.origin = engine->origin_seen;
        engine->stamp_news = true;
    }
    engine->origin_seen = STAMP_UNKNOWN;
}

static int64_t choose_stamp(struct engine *engine, struct stamps stamps, int64_t wall_ns)
{
    int64_t apart = stamps.hardware_ns - stamps.software_ns;

    if (engine->config.hardware_stamps && stamps.hardware_ns && stamps.software_ns &&
        apart > -HARDWARE_NEAR_NS && apart < HARDWARE_NEAR_NS) {
        engine->stats.stamps_hardware++;
        note_origin(engine, STAMP_HARDWARE);
        return stamps.hardware_ns;
    }
    if (stamps.software_ns) {
        note_origin(engine, STAMP_KERNEL);
        return stamps.software_ns;
    }
    /* The first datagrams after enabling carry none: the kernel turns its stamping on later. */
    engine->stats.stamps_missing++;
    note_origin(engine, STAMP_USER);
    return wall_ns;
}

static void take_id(struct frame *frame, canid_t can_id)
{
    if (can_id & CAN_ERR_FLAG) {
        frame->flags |= FRAME_ERR;
        frame->id = can_id & CAN_ERR_MASK;
        return;
    }
    if (can_id & CAN_EFF_FLAG)
        frame->flags |= FRAME_EFF;
    if (can_id & CAN_RTR_FLAG)
        frame->flags |= FRAME_RTR;
    frame->id = can_id & (can_id & CAN_EFF_FLAG ? CAN_EFF_MASK : CAN_SFF_MASK);
}

/* The first 8 bytes of both structs agree: id, len, flags, two bytes, then data. Returns false for
 * what no bus can carry. */
static bool take_classic(struct frame *frame, const struct can_frame *can)
{
    if (can->len > CAN_MAX_DLEN)
        return false;
    take_id(frame, can->can_id);
    frame->dlc = can->len == CAN_MAX_DLEN && can->len8_dlc > 8 && can->len8_dlc <= 15
                     ? can->len8_dlc : can->len;
    frame->len = frame->flags & FRAME_RTR ? 0 : can->len;
    memcpy(frame->data, can->data, frame->len);
    return true;
}

static bool take_fd(struct frame *frame, const struct canfd_frame *can)
{
    if (can->len > CANFD_MAX_DLEN)
        return false;
    take_id(frame, can->can_id);
    frame->flags |= FRAME_FD;
    if (can->flags & CANFD_BRS)
        frame->flags |= FRAME_BRS;
    if (can->flags & CANFD_ESI)
        frame->flags |= FRAME_ESI;
    frame->dlc = frame_len_to_dlc(can->len);
    frame->len = can->len;
    if (frame_dlc_to_len(frame->dlc, true) != can->len)
        return false;
    memcpy(frame->data, can->data, frame->len);
    return true;
}

static bool take_frame(struct engine *engine, const void *bytes, size_t size, struct frame *frame)
{
    memset(frame, 0, sizeof *frame);
    frame->source = engine->index;
    if (size == CAN_MTU)
        return take_classic(frame, bytes);
    return size == CANFD_MTU && take_fd(frame, bytes);
}

static void count_frame(struct engine *engine, const struct frame *frame)
{
    struct source_stats *stats = &engine->stats;

    stats->frames++;
    stats->bytes += frame_row_bytes(frame);
    stats->tx_frames += (frame->flags & FRAME_TX) != 0;
    if (!(frame->flags & FRAME_ERR))
        return;
    stats->error_frames++;
    if ((frame->id & CAN_ERR_CRTL) && frame->len > 1 && (frame->data[1] & CAN_ERR_CRTL_RX_OVERFLOW))
        stats->dropped_controller++;
}

/* What is owed goes before the frame that revealed it. Returns the items written, 0..3. */
static uint32_t tell_news(struct engine *engine, int64_t mono_ns, struct source_item *items)
{
    uint32_t n = 0;

    if (engine->link_news)
        items[n++] = (struct source_item){ .kind = SOURCE_LINK, .source = engine->index,
                                           .up = engine->stats.state == SOURCE_UP,
                                           .time.mono_ns = mono_ns };
    if (engine->stamp_news)
        items[n++] = (struct source_item){ .kind = SOURCE_STAMPS, .source = engine->index,
                                           .origin = engine->stats.origin,
                                           .time.mono_ns = mono_ns };
    engine->link_news = engine->stamp_news = false;
    if (engine->drops_owed)
        items[n++] = (struct source_item){ .kind = SOURCE_DROPPED, .source = engine->index,
                                           .count = engine->drops_owed };
    engine->drops_owed = 0;
    return n;
}

static uint32_t take_message(struct engine *engine, unsigned i, int64_t wall_ns, int64_t mono_ns,
                             struct source_item *items)
{
    struct msghdr *message = &engine->messages[i].msg_hdr;
    struct stamps stamps = read_controls(engine, message);
    int64_t stamp_ns = choose_stamp(engine, stamps, wall_ns);
    uint32_t n = tell_news(engine, mono_ns, items);
    struct frame *frame = &items[n].frame;

    if (!take_frame(engine, &engine->frames[i], engine->messages[i].msg_len, frame)) {
        engine->stats.malformed++;
        return n;
    }
    frame->stamp_ns = stamp_ns;
    /* DONTROUTE: sent by this host; CONFIRM: by this very socket, which never happens. */
    if (message->msg_flags & (MSG_DONTROUTE | MSG_CONFIRM))
        frame->flags |= FRAME_TX;
    items[n].kind = SOURCE_FRAME;
    items[n].source = engine->index;
    count_frame(engine, frame);
    return n + 1;
}

/* --- the table --- */

static void arm_messages(struct engine *engine, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *m = &engine->messages[i].msg_hdr;
        m->msg_iov = &engine->parts[i];
        m->msg_iovlen = 1;
        m->msg_control = engine->controls[i];
        m->msg_controllen = CONTROL_BYTES;
        m->msg_flags = 0;
        engine->parts[i] = (struct iovec){ &engine->frames[i], sizeof engine->frames[i] };
    }
}

static void receive_failed(struct engine *engine, int code)
{
    if (code == ENETDOWN)
        set_state(engine, SOURCE_DOWN, code); /* still bound: frames come again when it is up */
    else if (code == EAGAIN && engine->gone)
        forget_socket(engine); /* start over at the tick */
    else if (code != EAGAIN && code != EINTR)
        engine->gone = code; /* ENODEV, and what we do not know */
}

static int engine_fd(void *context)
{
    return ((struct engine *)context)->fd;
}

static int engine_read(void *context, int64_t wall_ns, int64_t mono_ns, struct source_item *items,
                       uint32_t room, bool *ret_more, struct err *err)
{
    struct engine *engine = context;
    uint32_t n = 0;
    /* A message may need four items: link, stamps, drops, frame. */
    unsigned batch = room / 4 < SOURCE_BATCH ? room / 4 : SOURCE_BATCH;

    (void)err;
    *ret_more = false;
    if (batch == 0)
        return 0;
    if (engine->fd < 0)
        return (int)tell_news(engine, mono_ns, items);
    arm_messages(engine, batch);
    int got = recvmmsg(engine->fd, engine->messages, batch, MSG_DONTWAIT, NULL);
    if (got < 0)
        receive_failed(engine, errno);
    for (int i = 0; i < got; i++)
        n += take_message(engine, (unsigned)i, wall_ns, mono_ns, items + n);
    n += n + 3 <= room ? tell_news(engine, mono_ns, items + n) : 0;
    *ret_more = got == (int)batch || engine->gone != 0;
    return (int)n;
}

static void engine_tick(void *context)
{
    struct engine *engine = context;

    if (engine->fd >= 0) {
        poll_drops(engine);
        raise_origin(engine);
        if (engine->stats.state == SOURCE_DOWN &&
            source_can_is_up(engine->fd, engine->config.address))
            set_state(engine, SOURCE_UP, 0);
        return;
    }
    if (open_socket(engine, NULL) == 0)
        engine->stats.rebinds++;
}

static int64_t engine_due_ns(void *context)
{
    const struct engine *engine = context;

    /* News that came without a frame (a drop found at the tick) wait for no frame. */
    return engine->link_news || engine->stamp_news || engine->drops_owed ? 0 : INT64_MAX;
}

static uint32_t engine_stats(void *context, struct source_stats *ret_stats)
{
    *ret_stats = ((struct engine *)context)->stats;
    return 1;
}

static void engine_close(void *context)
{
    struct engine *engine = context;

    if (!engine)
        return;
    if (engine->fd >= 0)
        (void)close(engine->fd);
    free(engine);
}

static const struct source_ops engine_ops = {
    .name = "socket", .fd = engine_fd, .read = engine_read, .tick = engine_tick,
    .due_ns = engine_due_ns, .stats = engine_stats, .close = engine_close,
};

int source_open_socket(const struct source_config *config, uint8_t index,
                       struct source_handle *ret_source, struct err *err)
{
    if (config->rcvbuf_bytes > SOURCE_RCVBUF_MAX)
        return err_plain(err, -EINVAL, "source %s: receive buffer of %u bytes: at most %u",
                         config->name, config->rcvbuf_bytes, SOURCE_RCVBUF_MAX);
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return err_plain(err, -ENOMEM, "source %s: out of memory", config->name);
    engine->config = *config;
    engine->index = index;
    engine->fd = -1;
    engine->stats.state = SOURCE_MISSING;
    engine->stats.origin = STAMP_KERNEL; /* until a frame says otherwise */
    int code = open_socket(engine, err);
    /* A bus may come later; a datagram address that cannot be bound is a mistake. */
    if (code < 0 && config->kind != SOURCE_KIND_CAN) {
        engine_close(engine);
        return code;
    }
    *ret_source = (struct source_handle){ &engine_ops, engine };
    return 0;
}
