/* statistics - what a count of events on recorded drives says about the fleet. Pure. */
#ifndef TOOLS_BACKTEST_STATISTICS_H
#define TOOLS_BACKTEST_STATISTICS_H
#include <stddef.h>
#include <stdint.h>

/* Expected counts that go with `events` seen, at 95 %: the exact interval of Garwood (Biometrika 28,
 * 1936), half the chi-squared quantiles of 2n and 2n + 2 degrees of freedom. Of no event: 0 to
 * -ln(0.05) = 3.0, one-sided ("rule of three"). */
void poisson_interval(uint64_t events, double *ret_low, double *ret_high);

#define DAYS_SIMULATED 10000

/* Bytes of a vehicle's day that half and 99 of 100 days stay below: each day draws a Poisson number
 * of clips with mean `clips_a_day`, each with the size of one of bytes[0..count). Same input, same
 * answer. Returns 0 or -ENOMEM. */
int day_percentiles(const uint64_t *bytes, size_t count, double clips_a_day, double *ret_p50,
                    double *ret_p99);

#endif
