#include "uploader/rate.h"

#include <assert.h>
#include <errno.h>

/* bytes_per_s times nanoseconds is nanobytes: exact integers, so no remainder is ever lost. */
#define NANOBYTES_PER_BYTE INT64_C(1000000000)
static_assert(RATE_BURST_BYTES_MAX <= INT64_MAX / NANOBYTES_PER_BYTE, "burst must fit");

static int64_t div_ceil(int64_t a, int64_t b) { return a / b + (a % b != 0); }

int rate_init(struct rate *rate, const struct rate_config *config, int64_t now_ns)
{
    if (config->bytes_per_s < 1 || config->bytes_per_s > RATE_BYTES_PER_S_MAX)
        return -ERANGE;
    if (config->burst_bytes < 1 || config->burst_bytes > RATE_BURST_BYTES_MAX)
        return -ERANGE;
    *rate = (struct rate){ *config, config->burst_bytes * NANOBYTES_PER_BYTE, now_ns };
    return 0;
}

static void refill(struct rate *rate, int64_t now_ns)
{
    int64_t elapsed_ns = now_ns - rate->last_ns;
    int64_t full = rate->config.burst_bytes * NANOBYTES_PER_BYTE;

    assert(elapsed_ns >= 0);
    /* Compare times first: at the highest rate, ten idle seconds would overflow the product. */
    if (elapsed_ns >= div_ceil(full - rate->credit_nanobytes, rate->config.bytes_per_s))
        rate->credit_nanobytes = full;
    else
        rate->credit_nanobytes += elapsed_ns * rate->config.bytes_per_s;
    rate->last_ns = now_ns;
    assert(rate->credit_nanobytes <= full);
}

int64_t rate_pay(struct rate *rate, int64_t bytes, int64_t now_ns)
{
    assert(bytes >= 0);
    if (bytes > rate->config.burst_bytes)
        return -EMSGSIZE;
    refill(rate, now_ns);

    int64_t short_by = bytes * NANOBYTES_PER_BYTE - rate->credit_nanobytes;
    if (short_by > 0)
        return div_ceil(short_by, rate->config.bytes_per_s);
    rate->credit_nanobytes = -short_by;
    return 0;
}
