#include "uploader/linkrate.h"

#define NS_PER_US 1000
#define US_PER_S INT64_C(1000000)

/* Of several values under way each counts only the time since the report before it: the link carries them one after the
 * other, and the sum is the time in which it was busy. */
void linkrate_put(struct linkrate *rate, uint32_t bytes, int64_t sent_ns, int64_t now_ns)
{
    int64_t from_ns = sent_ns > rate->last_ns ? sent_ns : rate->last_ns;

    rate->last_ns = now_ns;
    if (!bytes)
        return;
    rate->bytes += bytes;
    rate->busy_us += (now_ns - from_ns) / NS_PER_US;
    while (rate->busy_us > LINKRATE_WINDOW_US) {
        rate->busy_us /= 2;
        rate->bytes /= 2;
    }
}

int64_t linkrate_get(const struct linkrate *rate)
{
    if (!rate->bytes)
        return 0;
    int64_t busy_us = rate->busy_us > 0 ? rate->busy_us : 1;
    int64_t per_s = rate->bytes * US_PER_S / busy_us;

    return per_s > 0 ? per_s : 1;
}
