#include "daemon/clock.h"

#include "daemon/source.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define OFFSET_SAME_NS NS_PER_US
#define SUSPEND_NS (10 * NS_PER_MS)
#define BUILT_AFTER_NS (INT64_C(1767225600) * NS_PER_S) /* 2026-01-01 UTC */
/* The timer itself must never expire: only its cancellation is wanted. */
#define FAR_AWAY_S INT64_C(1000000000)

static int64_t read_one(clockid_t id)
{
    struct timespec t = { 0, 0 };

    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* The wall reading lies between two monotonic ones; their middle is nearest to it. */
void clock_read(struct clock_reading *ret_reading)
{
    int64_t before = read_one(CLOCK_MONOTONIC);

    ret_reading->wall_ns = read_one(CLOCK_REALTIME);
    ret_reading->mono_ns = before + (read_one(CLOCK_MONOTONIC) - before) / 2;
    ret_reading->boot_ns = read_one(CLOCK_BOOTTIME);
}

bool clock_is_set(int64_t wall_ns)
{
    return wall_ns >= BUILT_AFTER_NS;
}

static void arm(struct clock *clock)
{
    struct itimerspec far = { .it_value = { .tv_sec = 0 } };

    far.it_value.tv_sec = (time_t)(read_one(CLOCK_REALTIME) / NS_PER_S + FAR_AWAY_S);
    if (timerfd_settime(clock->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) == 0 ||
        errno == ECANCELED)
        return;
    (void)close(clock->fd);
    clock->fd = -1;
}

void clock_open(struct clock *clock, const struct clock_reading *now)
{
    memset(clock, 0, sizeof *clock);
    clock->offset_ns = now->mono_ns - now->wall_ns;
    clock->suspended_ns = now->boot_ns - now->mono_ns;
    clock->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (clock->fd >= 0)
        arm(clock);
}

void clock_close(struct clock *clock)
{
    if (clock->fd >= 0)
        (void)close(clock->fd);
    clock->fd = -1;
}

bool clock_was_set(struct clock *clock)
{
    uint64_t count;

    if (clock->fd < 0)
        return false;
    bool cancelled = read(clock->fd, &count, sizeof count) < 0 && errno == ECANCELED;
    if (cancelled)
        arm(clock);
    return cancelled;
}

bool clock_disagrees(const struct clock *clock, int64_t stamp_ns, const struct clock_reading *now)
{
    int64_t mapped;

    return __builtin_add_overflow(stamp_ns, clock->offset_ns, &mapped) ||
           mapped > now->mono_ns + SOURCE_STAMP_AHEAD_NS ||
           mapped < now->mono_ns - SOURCE_STAMP_BEHIND_NS;
}

bool clock_event(struct clock *clock, const struct clock_reading *now)
{
    int64_t offset_ns = now->mono_ns - now->wall_ns;
    int64_t suspended_ns = now->boot_ns - now->mono_ns;
    int64_t moved = offset_ns - clock->offset_ns;
    bool suspended = suspended_ns - clock->suspended_ns > SUSPEND_NS;

    if (moved >= -OFFSET_SAME_NS && moved <= OFFSET_SAME_NS && !suspended)
        return false;
    clock->offset_ns = offset_ns;
    clock->suspended_ns = suspended_ns;
    clock->events++;
    clock->suspends += suspended;
    return true;
}
