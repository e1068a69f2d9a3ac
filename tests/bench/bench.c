#include "tests/bench/bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

volatile uint64_t bench_sink;

int64_t bench_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Units a second of one round. */
static double rate(uint64_t (*run)(void *context), void *context)
{
    int64_t begin_ns = bench_now_ns();
    uint64_t count = run(context);
    int64_t took_ns = bench_now_ns() - begin_ns;

    return (double)count * 1e9 / (double)(took_ns > 0 ? took_ns : 1);
}

double bench_run(const struct bench_pair *pair)
{
    double ours = 0, control = 0;

    for (unsigned round = 0; round < pair->rounds; round++) {
        double r = rate(pair->run_ours, pair->context);
        ours = r > ours ? r : ours;
        r = rate(pair->run_control, pair->context);
        control = r > control ? r : control;
    }
    printf("%-34s %9.3f M %s/s   %s: %.3f M   ratio %.2f\n", pair->name, ours / 1e6, pair->unit,
           pair->control, control / 1e6, ours / control);
    return ours / control;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bench LOG PACK [BUS=]DBC...\n");
        return 2;
    }
    struct bench_log log = { .path = argv[1], .pack = argv[2] };
    for (int i = 3; i < argc && i < 6; i++)
        log.dbc[i - 3] = argv[i];
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench_capture();
    bench_ring();
    bench_decode(&log);
    bench_codec(&log);
    bench_replay(&log);
    bench_rules();
    return 0;
}
