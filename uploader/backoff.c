#include "uploader/backoff.h"

#include <errno.h>

int backoff_init(struct backoff *backoff, const struct backoff_config *config)
{
    if (config->base_ns < 1 || config->cap_ns < config->base_ns ||
        config->cap_ns > BACKOFF_CAP_NS_MAX)
        return -ERANGE;
    *backoff = (struct backoff){ *config, 0 };
    return 0;
}

int64_t backoff_next(struct backoff *backoff, uint64_t random)
{
    int64_t most_ns = backoff->config.base_ns;

    for (uint32_t i = 0; i < backoff->failures && most_ns < backoff->config.cap_ns; i++)
        most_ns *= 2; /* at most twice a day of nanoseconds: no overflow */
    if (most_ns > backoff->config.cap_ns)
        most_ns = backoff->config.cap_ns;
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    return 1 + (int64_t)(random % (uint64_t)most_ns);
}

void backoff_reset(struct backoff *backoff) { backoff->failures = 0; }
