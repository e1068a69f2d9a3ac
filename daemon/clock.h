/* clock - how wall stamps of the kernel become time that never steps.
 * The offset mono - wall is taken at the start and again only at a clock event: the kernel says
 * that the wall clock was set (TFD_TIMER_CANCEL_ON_SET), or when a stamp cannot be. Between events it
 * is constant, never smoothed. The only module that reads a clock.
 * Threads: a struct clock belongs to the capture thread; clock_read may be called by any. */
#ifndef DAEMON_CLOCK_H
#define DAEMON_CLOCK_H
#include <stdbool.h>
#include <stdint.h>

/* One moment on three clocks. */
struct clock_reading {
    int64_t mono_ns; /* CLOCK_MONOTONIC */
    int64_t wall_ns; /* CLOCK_REALTIME */
    int64_t boot_ns; /* CLOCK_BOOTTIME: goes on in suspend */
};

struct clock {
    int64_t offset_ns;     /* mono - wall in force */
    int64_t suspended_ns;  /* boot - mono in force */
    int fd;                /* readable when the wall clock was set; -1 when the kernel cannot tell */
    uint64_t events;       /* offset changed, the start not counted */
    uint64_t suspends;     /* of those, with a suspend behind them */
};

void clock_read(struct clock_reading *ret_reading);

/* The wall clock has been set by someone since this machine started: it is past the build of this
 * program. A label's quality, nothing else depends on it. */
bool clock_is_set(int64_t wall_ns);

/* Takes the first offset and arms the timer. A kernel without the flag leaves fd at -1. */
void clock_open(struct clock *clock, const struct clock_reading *now);
void clock_close(struct clock *clock);
/* Quiets and rearms the timer; true when it was cancelled because the wall clock was set. */
bool clock_was_set(struct clock *clock);

/* Pure: the stamp cannot belong to the offset in force (more than SOURCE_STAMP_AHEAD_NS after the
 * reading, more than SOURCE_STAMP_BEHIND_NS before it). */
bool clock_disagrees(const struct clock *clock, int64_t stamp_ns, const struct clock_reading *now);
/* Pure: takes the reading's offset. Returns true when it differs from the one in force by more than
 * a microsecond, or a suspend lies between (growth of boot - mono over 10 ms): a clock event. */
bool clock_event(struct clock *clock, const struct clock_reading *now);

#endif
