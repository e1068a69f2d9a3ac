/* encode - writes one signal into the bytes of a frame: the inverse of decode.h, for frames that a
 * test of a rule makes. Values only. */
#ifndef PROTO_ENCODE_H
#define PROTO_ENCODE_H
#include "proto/decode.h"

/* Writes the low plan->bits bits of `raw`; other bits stay. Requires kind != DECODE_BYTES; `data` has
 * FRAME_DATA_MAX bytes. */
void encode_raw(const struct decode_plan *plan, uint64_t raw, uint8_t *data);

/* The raw bits whose physical value is nearest. Returns 0, or -ERANGE when the signal cannot hold
 * it, -EINVAL for DECODE_BYTES or NaN. */
int encode_physical(const struct decode_plan *plan, double physical, uint64_t *ret_raw);

#endif
