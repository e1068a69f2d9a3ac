/* trouble - what a broker or librdkafka says, as one of a few kinds with a remedy for each: the same words in the
 * daemon's log, in `roadloop doctor`, in the sink and in `roadloop topics`. Pure. */
#ifndef UPLOADER_TROUBLE_H
#define UPLOADER_TROUBLE_H
#include <stdint.h>

#define TROUBLE_MAX 32 /* kinds: they fit a mask */

struct trouble {
    uint32_t index;     /* below TROUBLE_MAX */
    const char *name;   /* "wrong password", ... */
    const char *remedy; /* what to do */
};

/* The kind that a reason belongs to; NULL: none of these. Static storage. */
const struct trouble *trouble_of(const char *reason);

#endif
