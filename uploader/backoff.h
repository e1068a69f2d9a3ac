/* backoff - waits after failures, exponential with full jitter, so that ten thousand cars that lost
 * the same broker do not come back in the same second. Pure: the random number comes in. */
#ifndef UPLOADER_BACKOFF_H
#define UPLOADER_BACKOFF_H
#include <stdint.h>

struct backoff_config {
    int64_t base_ns, cap_ns; /* 1 <= base <= cap <= BACKOFF_CAP_NS_MAX */
};
#define BACKOFF_CAP_NS_MAX INT64_C(86400000000000) /* a day */

struct backoff {
    struct backoff_config config;
    uint32_t failures; /* in a row */
};

/* Returns 0, or -ERANGE with *backoff untouched. */
int backoff_init(struct backoff *backoff, const struct backoff_config *config);
/* After one more failure: the wait, uniform in 1 .. min(cap, base * 2^(failures before)) by
 * `random` (all 64 bits). */
int64_t backoff_next(struct backoff *backoff, uint64_t random);
void backoff_reset(struct backoff *backoff); /* after a success */

#endif
