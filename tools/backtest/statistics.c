#include "tools/backtest/statistics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define TERMS_MAX 100000
#define BISECTIONS 200
#define CHUNK_MEAN 500.0 /* exp(-mean) must not vanish: larger means are drawn in parts */

/* --- the incomplete gamma function --- */

static double gamma_scale(double a, double x)
{
    return exp(a * log(x) - x - lgamma(a));
}

/* P(a, x) by its series; for x < a + 1. */
static double gamma_series(double a, double x)
{
    double term = 1.0 / a, sum = term;

    for (int k = 1; k < TERMS_MAX && term > sum * 1e-17; k++) {
        term *= x / (a + k);
        sum += term;
    }
    return sum * gamma_scale(a, x);
}

/* Q(a, x) = 1 - P by its continued fraction, evaluated by Lentz's method; for x >= a + 1. */
static double gamma_fraction(double a, double x)
{
    double b = x + 1 - a, c = 1e300, d = 1 / b, value = d;

    for (int k = 1; k < TERMS_MAX; k++) {
        double factor = k * (a - k);

        b += 2;
        d = 1 / (factor * d + b);
        c = b + factor / c;
        value *= c * d;
        if (fabs(c * d - 1) < 1e-16)
            break;
    }
    return value * gamma_scale(a, x);
}

/* The chance of at least `events` when `mean` are expected. */
static double at_least(uint64_t events, double mean)
{
    double a = (double)events;

    if (!events)
        return 1;
    if (mean <= 0)
        return 0;
    return mean < a + 1 ? gamma_series(a, mean) : 1 - gamma_fraction(a, mean);
}

/* The mean at which at least `events` have that chance; it grows with the mean. */
static double mean_for(uint64_t events, double chance)
{
    double low = 0, high = (double)events + 12 * sqrt((double)events + 1) + 20;

    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;

        if (at_least(events, middle) < chance)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

void poisson_interval(uint64_t events, double *ret_low, double *ret_high)
{
    *ret_low = events ? mean_for(events, 0.025) : 0;
    *ret_high = events ? mean_for(events + 1, 0.975) : -log(0.05);
}

/* --- days --- */

/* splitmix64 (Steele, Lea, Flood 2014), from a fixed seed. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double draw_unit(uint64_t *state)
{
    return (double)(draw(state) >> 11) * 0x1p-53;
}

/* Knuth's product of uniform numbers; a sum of Poisson numbers is one. */
static uint64_t draw_poisson(double mean, uint64_t *state)
{
    uint64_t count = 0;

    while (mean > 0) {
        double part = mean > CHUNK_MEAN ? CHUNK_MEAN : mean, limit = exp(-part);

        for (double product = draw_unit(state); product > limit; product *= draw_unit(state))
            count++;
        mean -= part;
    }
    return count;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int day_percentiles(const uint64_t *bytes, size_t count, double clips_a_day, double *ret_p50,
                    double *ret_p99)
{
    double *days = calloc(DAYS_SIMULATED, sizeof *days);
    uint64_t state = 1;

    if (!days)
        return -ENOMEM;
    for (size_t day = 0; day < DAYS_SIMULATED && count; day++)
        for (uint64_t clips = draw_poisson(clips_a_day, &state); clips; clips--)
            days[day] += (double)bytes[draw(&state) % count];
    qsort(days, DAYS_SIMULATED, sizeof *days, by_size);
    *ret_p50 = days[DAYS_SIMULATED / 2];
    *ret_p99 = days[DAYS_SIMULATED * 99 / 100];
    free(days);
    return 0;
}
