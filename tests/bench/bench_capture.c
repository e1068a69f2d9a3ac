/* The receive engine on UDP loopback, and a plain recv() loop over the same datagrams. Bursts that
 * fit the socket's buffer are sent first and only the receiving side is timed. */
#include "daemon/clock.h"
#include "daemon/source.h"
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <linux/can.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BURST 128
#define BURSTS 1500

struct capture {
    struct source_handle source;
    int plain, to_source, to_plain;
    int64_t source_ns, plain_ns;
};

static int connected(int receiver)
{
    struct sockaddr_in to;
    socklen_t size = sizeof to;
    int sender = socket(AF_INET, SOCK_DGRAM, 0);

    if (getsockname(receiver, (struct sockaddr *)&to, &size) != 0 ||
        connect(sender, (struct sockaddr *)&to, size) != 0)
        abort();
    return sender;
}

static void send_burst(int sender)
{
    struct can_frame frame = { .can_id = 0x123, .len = 8 };

    for (int i = 0; i < BURST; i++) {
        frame.data[0] = (uint8_t)i;
        if (send(sender, &frame, sizeof frame, 0) != (ssize_t)sizeof frame)
            abort();
    }
}

static void report(const char *name, uint64_t frames, int64_t ns, const char *control,
                   uint64_t control_frames, int64_t control_ns)
{
    double ours = (double)frames * 1e3 / (double)ns;
    double theirs = (double)control_frames * 1e3 / (double)control_ns;

    printf("%-34s %9.3f M frames/s   %s: %.3f M   ratio %.2f\n", name, ours, control, theirs,
           ours / theirs);
}

void bench_capture(void)
{
    static struct source_item items[2 * BURST];
    struct source_config config = { .name = "can0", .kind = SOURCE_KIND_DATAGRAM,
                                    .address = "udp:127.0.0.1:0", .rcvbuf_bytes = 1 << 20 };
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct capture c = { .plain = socket(AF_INET, SOCK_DGRAM, 0) };
    uint64_t ours = 0, control = 0;
    struct err err;

    if (source_open_socket(&config, 0, &c.source, &err) != 0 ||
        bind(c.plain, (struct sockaddr *)&any, sizeof any) != 0)
        abort();
    c.to_source = connected(c.source.ops->fd(c.source.context));
    c.to_plain = connected(c.plain);
    for (int burst = 0; burst < BURSTS; burst++) {
        bool more = true;
        send_burst(c.to_source);
        int64_t begin_ns = bench_now_ns();
        for (int got = 0; got < BURST;) {
            struct clock_reading now;
            clock_read(&now);
            int n = c.source.ops->read(c.source.context, now.wall_ns, now.mono_ns, items,
                                       2 * BURST, &more, &err);
            for (int i = 0; i < n; i++)
                got += items[i].kind == SOURCE_FRAME;
        }
        c.source_ns += bench_now_ns() - begin_ns;
        ours += BURST;

        send_burst(c.to_plain);
        begin_ns = bench_now_ns();
        for (int got = 0; got < BURST; got++) {
            struct can_frame frame;
            if (recv(c.plain, &frame, sizeof frame, 0) != (ssize_t)sizeof frame)
                abort();
            bench_sink += frame.data[0];
        }
        c.plain_ns += bench_now_ns() - begin_ns;
        control += BURST;
    }
    report("capture: stamped frames, one core", ours, c.source_ns, "plain recv, no stamps", control,
           c.plain_ns);
    c.source.ops->close(c.source.context);
    (void)close(c.plain);
    (void)close(c.to_plain);
    (void)close(c.to_source);
}
