/* rate - token bucket that keeps uploads below a configured bandwidth.
 * Credit grows by bytes_per_s up to burst_bytes; sending a byte costs one byte of credit.
 * Pure: no clock, no I/O, no allocation. Owner: the upload thread, so no locking.
 * Holds no resource, hence no rate_deinit. */
#ifndef UPLOADER_RATE_H
#define UPLOADER_RATE_H
#include <stdint.h>

#define RATE_BYTES_PER_S_MAX INT64_C(1000000000) /* 8 Gbit/s: above any vehicle link */
#define RATE_BURST_BYTES_MAX INT64_C(4294967296) /* 4 GiB: fits int64_t counted in nanobytes */

struct rate_config { int64_t bytes_per_s, burst_bytes; }; /* each 1..MAX */
struct rate {                 /* The caller owns the storage; the fields are private. */
    struct rate_config config;
    int64_t credit_nanobytes; /* invariant: 0..burst_bytes, in nanobytes */
    int64_t last_ns;
};

/* Copies *config and starts with a full bucket. Returns 0, or -ERANGE with *rate untouched. */
int rate_init(struct rate *rate, const struct rate_config *config, int64_t now_ns);

/* Pays for `bytes` or for nothing; now_ns is monotonic and never goes back. Returns 0 when paid;
 * else the wait in nanoseconds (> 0) after which the same call succeeds; or -EMSGSIZE when `bytes`
 * exceeds the burst, so that no wait can help. */
int64_t rate_pay(struct rate *rate, int64_t bytes, int64_t now_ns);
#endif
