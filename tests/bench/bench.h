/* bench - timing for `make bench`: ours and a control are run in turns in the same process, the
 * best of several rounds counts for each, and the ratio is what is worth quoting. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H
#include <stddef.h>
#include <stdint.h>

struct bench_pair {
    const char *name;            /* "ring: rows through the queue" */
    const char *unit;            /* "frames": what `run` returns a count of */
    const char *ours, *control;  /* what each side is */
    uint64_t (*run_ours)(void *context);
    uint64_t (*run_control)(void *context);
    void *context;
    unsigned rounds;             /* 1..64 */
};

/* Prints a line; returns ours divided by the control. */
double bench_run(const struct bench_pair *pair);

int64_t bench_now_ns(void);

/* Keeps the compiler from leaving work out. */
extern volatile uint64_t bench_sink;

/* The sections, one a file. `log` is a candump text log in memory. */
struct bench_log {
    const char *path;                   /* of the recording, unpacked */
    const char *dbc[4];                 /* [BUS=]FILE, then NULL */
    const char *pack;
};
void bench_ring(void);
void bench_capture(void);
void bench_decode(const struct bench_log *log);
void bench_codec(const struct bench_log *log);
void bench_replay(const struct bench_log *log);
void bench_rules(void);

#endif
