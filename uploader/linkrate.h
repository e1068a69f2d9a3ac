/* linkrate - how fast the link really is, from delivery reports: the rate of the configuration is what the car may
 * use, not what the air gives. Pure value, zero at the start; no clock. Owner: the upload thread. */
#ifndef UPLOADER_LINKRATE_H
#define UPLOADER_LINKRATE_H
#include <stdint.h>

#define LINKRATE_WINDOW_US INT64_C(10000000) /* of busy time; what is older counts half, a quarter, ... */

struct linkrate {
    int64_t bytes, busy_us; /* delivered, and the time in which something was under way */
    int64_t last_ns;        /* when the last report came */
};

/* `bytes` handed over at sent_ns have their report. bytes 0: the time passed, and says nothing of the rate. */
void linkrate_put(struct linkrate *rate, uint32_t bytes, int64_t sent_ns, int64_t now_ns);
/* Bytes per second (>= 1), or 0 while nothing was measured. */
int64_t linkrate_get(const struct linkrate *rate);

#endif
