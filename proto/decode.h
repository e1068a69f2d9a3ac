/* decode - reads one signal out of the bytes of a frame.
 * A plan is compiled once from the layout that a database gives: one unaligned 64-bit load, a shift
 * and a mask read any signal of up to 64 bits (a ninth byte when the bits straddle nine). Plans are
 * values; nothing here allocates, keeps state or knows a thread.
 *
 * `data` in every call has FRAME_DATA_MAX readable bytes, as struct frame has; only the first `len`
 * count. Bytes beyond `len` never reach a result: a signal that ends there does not fit. */
#ifndef PROTO_DECODE_H
#define PROTO_DECODE_H
#include "proto/limits.h"

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dbc_message;
struct dbc_signal;

enum decode_kind {
    DECODE_UNSIGNED,
    DECODE_SIGNED,  /* two's complement */
    DECODE_FLOAT32, /* IEEE 754, either byte order */
    DECODE_FLOAT64,
    DECODE_BYTES, /* more than 64 bits: decode_bytes; no raw, no physical value */
};

/* What SAE J1939-71 says of a value whose top codes are reserved. */
enum decode_quality { QUALITY_GOOD, QUALITY_ERROR, QUALITY_NOT_AVAILABLE };

/* How a database lays a signal out: start is the DBC's own number (LSB for little-endian, MSB in the
 * sawtooth numbering byte * 8 + 7..0 for big-endian). */
struct decode_layout {
    uint32_t start, bits;
    bool big_endian;
    enum decode_kind kind;
    double factor, offset;
    bool factor_integral, offset_integral; /* written as an integer */
    int64_t factor_int, offset_int;        /* then its value, at most 2^62 in magnitude */
};

struct decode_plan {
    uint64_t mask;     /* of `bits` ones; 0 for DECODE_BYTES */
    uint16_t end_byte; /* the frame must have at least so many bytes */
    uint16_t start;    /* as in the layout, for decode_bytes */
    uint16_t bits;
    uint8_t byte;      /* of the 64-bit window, 0..56 */
    uint8_t shift;     /* right, 0..63; a straddling big-endian signal: left, 1..7 */
    uint8_t kind;      /* enum decode_kind */
    bool swap;         /* big-endian */
    bool straddles;    /* nine bytes */
    bool identity;     /* factor 1, offset 0 */
    bool wide_product; /* integers whose scaled value needs more than the 53 bits of a double */
    bool simple;       /* an integer, and no wide product */
    bool factor_integral, offset_integral;
    int64_t factor_int, offset_int;
    double factor, offset;
};

struct decoded {
    bool present; /* no multiplexor hides it in this frame */
    bool fits;    /* the frame is long enough; the rest is set only if present and fits */
    uint8_t kind; /* enum decode_kind */
    uint8_t quality; /* enum decode_quality; always good outside J1939 */
    uint64_t raw;    /* the bits, right-aligned; IEEE bits of a float */
    int64_t raw_signed; /* DECODE_SIGNED: sign extended; else raw as it is */
    double physical;    /* raw * factor + offset; integers are scaled exactly, then rounded once */
};

/* Returns 0; or -ERANGE when bits is 0, the signal ends beyond `limit_bytes` (at most
 * FRAME_DATA_MAX), or a float has neither 32 nor 64 bits (FLOAT32: 32, FLOAT64: 64). */
int decode_plan_init(struct decode_plan *plan, const struct decode_layout *layout,
                     uint32_t limit_bytes);

/* The first byte beyond the signal's last bit, for any layout. */
uint32_t decode_layout_end(const struct decode_layout *layout);

/* The bits, right-aligned. Requires kind != DECODE_BYTES; the caller has checked end_byte. */
static inline uint64_t decode_raw(const struct decode_plan *plan, const uint8_t *data)
{
    uint64_t window;

    memcpy(&window, data + plan->byte, sizeof window);
    window = plan->swap ? be64toh(window) : le64toh(window);
    if (!plan->straddles)
        return window >> plan->shift & plan->mask;
    uint8_t ninth = data[plan->byte + 8];
    if (plan->swap)
        return (window << plan->shift | (uint64_t)ninth >> (8 - plan->shift)) & plan->mask;
    return (window >> plan->shift | (uint64_t)ninth << (64 - plan->shift)) & plan->mask;
}

/* Two's complement of plan->bits bits. */
static inline int64_t decode_extend(const struct decode_plan *plan, uint64_t raw)
{
    uint64_t sign = (plan->mask >> 1) + 1;

    return (int64_t)((raw ^ sign) - sign);
}

/* decode_physical for floats, wide products and bytes. */
double decode_physical_rare(const struct decode_plan *plan, uint64_t raw);

/* The physical value of raw bits as decode_raw gives them. NaN for DECODE_BYTES. */
static inline double decode_physical(const struct decode_plan *plan, uint64_t raw)
{
    if (!plan->simple)
        return decode_physical_rare(plan, raw);
    double value =
        plan->kind == DECODE_SIGNED ? (double)decode_extend(plan, raw) : (double)raw;
    return plan->identity ? value : value * plan->factor + plan->offset;
}

/* The number that the IEEE bits of a float signal are, before factor and offset. */
double decode_float(const struct decode_plan *plan, uint64_t raw);

/* Reads the signal, multiplexors not asked: present is always true. */
void decode_value(const struct decode_plan *plan, const uint8_t *data, uint8_t len,
                  struct decoded *ret_value);

/* Does every multiplexor above the signal select it in this frame? False when one does not fit. */
bool decode_present(const struct dbc_message *message, const struct dbc_signal *signal,
                    const uint8_t *data, uint8_t len);

/* The whole: multiplexors, length, value, J1939 quality. */
void decode_signal(const struct dbc_message *message, const struct dbc_signal *signal,
                   const uint8_t *data, uint8_t len, struct decoded *ret_value);

/* Copies a signal of any length, most significant bit first, left-padded with zero bits to whole
 * bytes. Returns the bytes written, at most FRAME_DATA_MAX. The caller has checked end_byte. */
size_t decode_bytes(const struct decode_plan *plan, const uint8_t *data,
                    uint8_t ret_bytes[FRAME_DATA_MAX]);

/* The text that the value table has for a raw value (raw_signed of struct decoded; a float's
 * integer part), or NULL. */
const char *decode_label(const struct dbc_signal *signal, int64_t raw);
const char *decode_label_of(const struct dbc_signal *signal, const struct decoded *value);

/* The raw value of a label, exact spelling. Returns 0 or -ENOENT. */
int decode_label_raw(const struct dbc_signal *signal, const char *label, int64_t *ret_raw);

#endif
