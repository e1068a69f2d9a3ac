/* The receive engine on UDP and unix datagrams: the same code that runs on a CAN socket. */
#include "daemon/clock.h"
#include "daemon/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <time.h> /* linux/errqueue.h needs struct timespec before it */

#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#define ITEMS SOURCE_ITEMS

static struct source_item items[ITEMS];

/* --- what loopback has not: hardware stamps, and an interface that goes --- */

static int64_t hardware_after_ns; /* 0: none; else a hardware stamp this long after the kernel's */
static int fail_once;             /* errno of the next receive; 0: none */

static void add_hardware_stamp(struct msghdr *message)
{
    struct scm_timestamping stamping;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING)
            continue;
        memcpy(&stamping, CMSG_DATA(c), sizeof stamping);
        int64_t ns = (int64_t)stamping.ts[0].tv_sec * NS_PER_S + stamping.ts[0].tv_nsec +
                     hardware_after_ns;
        stamping.ts[2] = (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
        memcpy(CMSG_DATA(c), &stamping, sizeof stamping);
    }
}

/* In place of libc's: the linker takes this one for the engine too. */
int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
             struct timespec *timeout)
{
    if (fail_once) {
        errno = fail_once;
        fail_once = 0;
        return -1;
    }
    int got = (int)syscall(SYS_recvmmsg, fd, messages, count, flags, timeout);
    for (int i = 0; i < got && hardware_after_ns; i++)
        add_hardware_stamp(&messages[i].msg_hdr);
    return got;
}

/* Opens a source and a socket connected to it. */
static struct source_handle open_stamped(uint32_t rcvbuf_bytes, bool hardware, int *ret_sender)
{
    struct source_config config = { .name = "can0", .kind = SOURCE_KIND_DATAGRAM,
                                    .rcvbuf_bytes = rcvbuf_bytes, .hardware_stamps = hardware };
    struct source_handle source = { NULL, NULL };
    struct sockaddr_in to = { .sin_family = AF_INET };
    socklen_t size = sizeof to;
    struct err err;

    (void)snprintf(config.address, sizeof config.address, "udp:127.0.0.1:0");
    assert_int_equal(source_open_socket(&config, 3, &source, &err), 0);
    assert_int_equal(getsockname(source.ops->fd(source.context), (struct sockaddr *)&to, &size), 0);
    *ret_sender = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(*ret_sender, (struct sockaddr *)&to, size), 0);
    return source;
}

static struct source_handle open_udp(uint32_t rcvbuf_bytes, int *ret_sender)
{
    return open_stamped(rcvbuf_bytes, false, ret_sender);
}

static int read_items(struct source_handle *source, bool *ret_more)
{
    struct clock_reading now;
    struct err err;

    clock_read(&now);
    int n = source->ops->read(source->context, now.wall_ns, now.mono_ns, items, ITEMS, ret_more,
                              &err);
    assert_true(n >= 0);
    return n;
}

/* Sends one datagram and returns the frame that comes out, or NULL. */
static const struct frame *pass(struct source_handle *source, int sender, const void *bytes,
                                size_t size)
{
    bool more;

    assert_int_equal(send(sender, bytes, size, 0), (ssize_t)size);
    int n = read_items(source, &more);
    return n > 0 && items[n - 1].kind == SOURCE_FRAME ? &items[n - 1].frame : NULL;
}

static void test_frames_come_out_as_they_went_in(void **state)
{
    int sender;
    struct source_handle source = open_udp(0, &sender);
    struct can_frame classic = { .can_id = 0x123, .len = 3, .data = { 1, 2, 3, 9 } };
    struct canfd_frame fd = { .can_id = 0x18daf110u | CAN_EFF_FLAG, .len = 12, .flags = CANFD_BRS };
    const struct frame *frame;

    (void)state;
    frame = pass(&source, sender, &classic, sizeof classic);
    assert_non_null(frame);
    assert_int_equal(frame->id, 0x123);
    assert_int_equal(frame->flags, 0);
    assert_int_equal(frame->source, 3);
    assert_int_equal(frame->len, 3);
    assert_memory_equal(frame->data, "\1\2\3\0", 4); /* beyond len it is zero */
    classic.len = 8;
    classic.len8_dlc = 13;
    frame = pass(&source, sender, &classic, sizeof classic);
    assert_int_equal(frame->dlc, 13);
    assert_int_equal(frame->len, 8);
    classic.can_id |= CAN_RTR_FLAG;
    classic.len = 5;
    frame = pass(&source, sender, &classic, sizeof classic);
    assert_int_equal(frame->flags, FRAME_RTR);
    assert_int_equal(frame->dlc, 5);
    assert_int_equal(frame->len, 0);
    frame = pass(&source, sender, &fd, sizeof fd);
    assert_int_equal(frame->flags, FRAME_EFF | FRAME_FD | FRAME_BRS);
    assert_int_equal(frame->id, 0x18daf110);
    assert_int_equal(frame->dlc, 9);
    source.ops->close(source.context);
    (void)close(sender);
}

static void test_what_no_bus_carries_is_counted_and_left_out(void **state)
{
    int sender;
    struct source_handle source = open_udp(0, &sender);
    struct can_frame classic = { .can_id = 1, .len = 9 };
    struct canfd_frame fd = { .can_id = 1, .len = 9 }; /* no DLC code means 9 bytes */
    uint8_t bytes[128] = { 0 };
    struct source_stats stats;

    (void)state;
    assert_null(pass(&source, sender, &classic, sizeof classic));
    assert_null(pass(&source, sender, &fd, sizeof fd));
    fd.len = 65;
    assert_null(pass(&source, sender, &fd, sizeof fd));
    static const size_t sizes[] = { 0, 1, 15, 17, 71, 73, 128 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_null(pass(&source, sender, bytes, sizes[i]));
    source.ops->stats(source.context, &stats);
    assert_int_equal(stats.malformed, 10);
    assert_int_equal(stats.frames, 0);
    source.ops->close(source.context);
    (void)close(sender);
}

static void test_error_frames_tell_of_controller_loss(void **state)
{
    int sender;
    struct source_handle source = open_udp(0, &sender);
    struct can_frame error = { .can_id = CAN_ERR_FLAG | CAN_ERR_CRTL, .len = 8,
                               .data = { 0, CAN_ERR_CRTL_RX_OVERFLOW } };
    struct source_stats stats;

    (void)state;
    const struct frame *frame = pass(&source, sender, &error, sizeof error);
    assert_non_null(frame);
    assert_int_equal(frame->flags, FRAME_ERR);
    assert_int_equal(frame->id, CAN_ERR_CRTL);
    error.data[1] = CAN_ERR_CRTL_RX_PASSIVE;
    assert_non_null(pass(&source, sender, &error, sizeof error));
    source.ops->stats(source.context, &stats);
    assert_int_equal(stats.error_frames, 2);
    assert_int_equal(stats.dropped_controller, 1);
    source.ops->close(source.context);
    (void)close(sender);
}

static void test_stamps_lie_between_sending_and_reading(void **state)
{
    int sender;
    struct source_handle source = open_udp(0, &sender);
    struct can_frame classic = { .can_id = 1, .len = 0 };
    struct clock_reading before, after;
    struct source_stats stats = { .frames = 0 };
    int64_t give_up_ns;

    (void)state;
    clock_read(&after);
    give_up_ns = after.mono_ns + 20 * NS_PER_S;
    /* The first ones have no kernel stamp: the kernel turns its stamping on when it finds time. */
    while (stats.frames < 600 || stats.stamps_missing == stats.frames) {
        clock_read(&before);
        assert_true(before.mono_ns < give_up_ns);
        const struct frame *frame = pass(&source, sender, &classic, sizeof classic);
        clock_read(&after);
        assert_non_null(frame);
        /* The kernel's stamp of a moment may be coarser than the clock by some microseconds. */
        assert_true(frame->stamp_ns >= before.wall_ns - NS_PER_MS);
        assert_true(frame->stamp_ns <= after.wall_ns + NS_PER_MS);
        source.ops->stats(source.context, &stats);
    }
    source.ops->close(source.context);
    (void)close(sender);
}

/* Reads all there is; returns frames, adds the drops told by items. Payloads are numbered: they
 * rise, and each gap is a drop. */
static uint64_t drain(struct source_handle *source, uint64_t *next, uint64_t *gaps, uint64_t *told)
{
    uint64_t frames = 0, number;
    bool more = true;

    while (more) {
        int n = read_items(source, &more);
        for (int i = 0; i < n; i++) {
            *told += items[i].kind == SOURCE_DROPPED ? items[i].count : 0;
            if (items[i].kind != SOURCE_FRAME)
                continue;
            memcpy(&number, items[i].frame.data, sizeof number);
            assert_true(number >= *next);
            *gaps += number - *next;
            *next = number + 1;
            frames++;
        }
    }
    return frames;
}

static void test_flood_sent_is_received_plus_dropped(void **state)
{
    int sender;
    struct source_handle source = open_udp(4096, &sender);
    struct can_frame frame = { .can_id = 0x7ff, .len = 8 };
    uint64_t received = 0, next = 0, gaps = 0, told = 0, sent = 0;
    struct source_stats stats;

    (void)state;
    for (int burst = 0; burst < 50; burst++) {
        for (int i = 0; i < 400; i++, sent++) {
            memcpy(frame.data, &sent, sizeof sent);
            assert_int_equal(send(sender, &frame, sizeof frame, 0), sizeof frame);
        }
        received += drain(&source, &next, &gaps, &told);
    }
    source.ops->tick(source.context); /* the last burst's loss shows on no frame */
    assert_true(source.ops->due_ns(source.context) <= 0);
    received += drain(&source, &next, &gaps, &told);
    source.ops->stats(source.context, &stats);
    assert_int_equal(received, stats.frames);
    assert_int_equal(received + stats.dropped_kernel, sent);
    assert_int_equal(told, stats.dropped_kernel);
    assert_int_equal(gaps + (sent - next), told);
    assert_true(told > 1000); /* else the flood was none */
    assert_int_equal(source.ops->due_ns(source.context), INT64_MAX);
    source.ops->close(source.context);
    (void)close(sender);
}

static void test_a_clipped_buffer_shows(void **state)
{
    int sender;
    struct source_handle source = open_udp(SOURCE_RCVBUF_MAX, &sender);
    struct source_config config = { .name = "x", .rcvbuf_bytes = SOURCE_RCVBUF_MAX + 1 };
    struct source_stats stats;
    struct err err;

    (void)state;
    source.ops->stats(source.context, &stats);
    /* As root FORCE gives it all; as a user net.core.rmem_max clips it. Either way it is said. */
    assert_true(stats.rcvbuf_bytes > 0 && stats.rcvbuf_bytes <= SOURCE_RCVBUF_MAX);
    assert_int_equal(source_open_socket(&config, 0, &source, &err), -EINVAL);
    source.ops->close(source.context);
    (void)close(sender);
}

static void test_unix_datagrams_and_a_stale_socket(void **state)
{
    struct source_config config = { .name = "can1", .kind = SOURCE_KIND_DATAGRAM };
    struct can_frame frame = { .can_id = 0x55, .len = 1, .data = { 7 } };
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    char folder[] = "/tmp/roadloop-XXXXXX";
    struct source_handle source;
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s/bus", folder);
    (void)snprintf(config.address, sizeof config.address, "unix:%s/bus", folder);
    for (int again = 0; again < 2; again++) { /* the second time a stale socket is in the way */
        assert_int_equal(source_open_socket(&config, 0, &source, &err), 0);
        int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
        assert_int_equal(connect(sender, (struct sockaddr *)&to, sizeof to), 0);
        const struct frame *got = pass(&source, sender, &frame, sizeof frame);
        assert_non_null(got);
        assert_int_equal(got->data[0], 7);
        (void)close(sender);
        source.ops->close(source.context);
    }
    (void)unlink(to.sun_path);
    FILE *file = fopen(to.sun_path, "w"); /* not a socket: left alone, refused */
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(source_open_socket(&config, 0, &source, &err), -EADDRINUSE);
    (void)unlink(to.sun_path);
    (void)rmdir(folder);
}

static void test_bad_addresses_are_refused_in_words(void **state)
{
    static const char *const bad[] = { "", "can0", "udp:", "udp:127.0.0.1", "udp:127.0.0.1:",
        "udp:127.0.0.1:65536", "udp:127.0.0.1:1x", "udp:host:1", "unix:", "unix:relative",
        "tcp:1" };
    struct source_config config = { .name = "can0", .kind = SOURCE_KIND_DATAGRAM };
    struct source_handle source;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(config.address, sizeof config.address, "%s", bad[i]);
        assert_int_equal(source_open_socket(&config, 0, &source, &err), -EINVAL);
        assert_non_null(strstr(err.text, "source can0: address"));
    }
}

static void test_a_missing_bus_is_looked_for_again(void **state)
{
    struct source_config config = { .name = "can9", .kind = SOURCE_KIND_CAN, .address = "nocan9" };
    struct source_handle source;
    struct source_stats stats;
    struct err err;
    bool more;

    (void)state;
    assert_int_equal(source_open_socket(&config, 0, &source, &err), 0);
    assert_int_equal(source.ops->fd(source.context), -1);
    assert_int_equal(read_items(&source, &more), 0);
    source.ops->tick(source.context);
    source.ops->stats(source.context, &stats);
    assert_int_equal(stats.state, SOURCE_MISSING);
    assert_true(stats.last_errno == ENODEV || stats.last_errno == EAFNOSUPPORT ||
                stats.last_errno == EPROTONOSUPPORT || stats.last_errno == EPERM);
    assert_int_equal(stats.rebinds, 0);
    source.ops->close(source.context);
}

static int64_t kernel_stamp(struct source_handle *source, int sender, struct source_stats *stats)
{
    const struct can_frame can = { .can_id = 1, .len = 1 };
    const struct frame *frame = pass(source, sender, &can, sizeof can);
    struct clock_reading now;

    assert_non_null(frame);
    clock_read(&now);
    source->ops->stats(source->context, stats);
    return frame->stamp_ns - now.wall_ns;
}

static void test_hardware_stamps_are_asked_for_and_their_origin_told(void **state)
{
    const int asked = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                      SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
    int sender, flags = 0;
    struct source_handle source = open_stamped(0, true, &sender);
    socklen_t size = sizeof flags;
    struct source_stats stats;
    bool more;

    (void)state;
    assert_int_equal(getsockopt(source.ops->fd(source.context), SOL_SOCKET, SO_TIMESTAMPING, &flags,
                                &size), 0);
    assert_int_equal(flags & asked, asked);
    (void)kernel_stamp(&source, sender, &stats);
    usleep(20000); /* the kernel turns its stamping on a little later */
    source.ops->tick(source.context);
    (void)kernel_stamp(&source, sender, &stats);
    source.ops->tick(source.context);
    (void)read_items(&source, &more);
    hardware_after_ns = 300 * NS_PER_MS;
    int64_t ahead_ns = kernel_stamp(&source, sender, &stats);
    assert_true(ahead_ns > 200 * NS_PER_MS && ahead_ns <= 300 * NS_PER_MS);
    assert_int_equal(stats.origin, STAMP_KERNEL); /* stronger: told when it has held */
    source.ops->tick(source.context);
    assert_int_equal(read_items(&source, &more), 1);
    assert_int_equal(items[0].kind, SOURCE_STAMPS);
    assert_int_equal(items[0].origin, STAMP_HARDWARE);
    hardware_after_ns = 2 * NS_PER_S; /* a counter of its own: not on the wall clock */
    assert_true(kernel_stamp(&source, sender, &stats) <= 0);
    assert_int_equal(stats.origin, STAMP_KERNEL); /* weaker: told at once, before the frame */
    assert_int_equal(items[0].kind, SOURCE_STAMPS);
    assert_int_equal(items[0].origin, STAMP_KERNEL);
    assert_int_equal(items[1].kind, SOURCE_FRAME);
    assert_int_equal(stats.stamps_hardware, 1);
    hardware_after_ns = 0;
    source.ops->close(source.context);
    (void)close(sender);
}

/* The error comes first, then what was queued before it; only then is the socket given up. */
static void test_an_interface_that_goes_leaves_its_frames(void **state)
{
    const struct can_frame can = { .can_id = 1, .len = 1 };
    int sender;
    struct source_handle source = open_udp(0, &sender);
    struct source_stats stats;
    bool more;

    (void)state;
    assert_int_equal(read_items(&source, &more), 1); /* it is up */
    for (int i = 0; i < 100; i++)
        assert_int_equal(send(sender, &can, sizeof can, 0), sizeof can);
    fail_once = ENODEV;
    assert_int_equal(read_items(&source, &more), 0);
    assert_true(more);
    int frames = 0;
    while (more) {
        int n = read_items(&source, &more);
        for (int i = 0; i < n; i++)
            frames += items[i].kind == SOURCE_FRAME;
        if (!more) {
            assert_int_equal(items[n - 1].kind, SOURCE_LINK);
            assert_false(items[n - 1].up);
        }
    }
    assert_int_equal(frames, 100);
    source.ops->stats(source.context, &stats);
    assert_int_equal(stats.state, SOURCE_MISSING);
    assert_int_equal(stats.last_errno, ENODEV);
    assert_int_equal(source.ops->fd(source.context), -1);
    source.ops->close(source.context);
    (void)close(sender);
}

static void test_link_monitor_is_quiet_without_changes(void **state)
{
    int fd = source_link_monitor();

    (void)state;
    assert_true(fd >= 0);
    assert_false(source_link_changed(fd));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_come_out_as_they_went_in),
        cmocka_unit_test(test_what_no_bus_carries_is_counted_and_left_out),
        cmocka_unit_test(test_error_frames_tell_of_controller_loss),
        cmocka_unit_test(test_stamps_lie_between_sending_and_reading),
        cmocka_unit_test(test_flood_sent_is_received_plus_dropped),
        cmocka_unit_test(test_a_clipped_buffer_shows),
        cmocka_unit_test(test_unix_datagrams_and_a_stale_socket),
        cmocka_unit_test(test_bad_addresses_are_refused_in_words),
        cmocka_unit_test(test_a_missing_bus_is_looked_for_again),
        cmocka_unit_test(test_hardware_stamps_are_asked_for_and_their_origin_told),
        cmocka_unit_test(test_an_interface_that_goes_leaves_its_frames),
        cmocka_unit_test(test_link_monitor_is_quiet_without_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
