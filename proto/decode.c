#include "proto/decode.h"

#include "proto/dbc.h"

#include <errno.h>
#include <math.h>

#define DOUBLE_EXACT_BITS 53
#define WINDOW_BYTES 8u

/* Bits counted from the first byte's most significant bit, as they come over the wire. */
static uint32_t network_bit(uint32_t start)
{
    return start / 8 * 8 + 7 - start % 8;
}

static uint32_t first_bit(const struct decode_layout *layout)
{
    return layout->big_endian ? network_bit(layout->start) : layout->start;
}

uint32_t decode_layout_end(const struct decode_layout *layout)
{
    return (first_bit(layout) + layout->bits + 7) / 8;
}

static bool float_has_its_size(const struct decode_layout *layout)
{
    if (layout->kind == DECODE_FLOAT32)
        return layout->bits == 32;
    return layout->kind != DECODE_FLOAT64 || layout->bits == 64;
}

/* Places the 64-bit window so that it never reaches beyond FRAME_DATA_MAX. */
static void place_window(struct decode_plan *plan, uint32_t first)
{
    uint32_t byte = first / 8, last_window = FRAME_DATA_MAX - WINDOW_BYTES;

    plan->byte = (uint8_t)(byte > last_window ? last_window : byte);
    uint32_t skip = first - 8u * plan->byte, used = skip + plan->bits;
    plan->straddles = used > 64;
    if (plan->straddles)
        plan->shift = (uint8_t)(plan->swap ? used - 64 : skip);
    else
        plan->shift = (uint8_t)(plan->swap ? 64 - used : skip);
}

static void place_scale(struct decode_plan *plan, const struct decode_layout *layout)
{
    plan->factor = layout->factor;
    plan->offset = layout->offset;
    plan->factor_integral = layout->factor_integral;
    plan->offset_integral = layout->offset_integral;
    plan->factor_int = layout->factor_int;
    plan->offset_int = layout->offset_int;
    plan->identity = layout->factor == 1.0 && layout->offset == 0.0;
    bool integer = plan->kind == DECODE_UNSIGNED || plan->kind == DECODE_SIGNED;
    double largest = ldexp(fabs(layout->factor), (int)plan->bits) + fabs(layout->offset);
    plan->wide_product = integer && plan->factor_integral && !plan->identity &&
                         largest >= ldexp(1.0, DOUBLE_EXACT_BITS);
    plan->simple = integer && !plan->wide_product;
}

int decode_plan_init(struct decode_plan *plan, const struct decode_layout *layout,
                     uint32_t limit_bytes)
{
    if (limit_bytes > FRAME_DATA_MAX)
        limit_bytes = FRAME_DATA_MAX;
    if (layout->bits == 0 || layout->bits > 8 * FRAME_DATA_MAX ||
        layout->start >= 8 * FRAME_DATA_MAX || !float_has_its_size(layout))
        return -ERANGE;
    uint32_t end = decode_layout_end(layout);
    if (end > limit_bytes)
        return -ERANGE;
    *plan = (struct decode_plan){ .end_byte = (uint16_t)end,
                                  .start = (uint16_t)layout->start,
                                  .bits = (uint16_t)layout->bits,
                                  .swap = layout->big_endian };
    plan->kind = (uint8_t)(layout->bits > 64 ? DECODE_BYTES : layout->kind);
    if (plan->kind == DECODE_BYTES)
        return 0;
    plan->mask = UINT64_MAX >> (64 - plan->bits);
    place_window(plan, first_bit(layout));
    place_scale(plan, layout);
    return 0;
}

/* At most 64 by 63 bits, plus 63: within 128. */
static double scale_wide(const struct decode_plan *plan, __int128 value)
{
    value *= plan->factor_int;
    if (!plan->offset_integral)
        return (double)value + plan->offset;
    return (double)(value + plan->offset_int);
}

static double float32_of(uint64_t raw)
{
    uint32_t bits = (uint32_t)raw;
    float value;

    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static double float64_of(uint64_t raw)
{
    double value;

    memcpy(&value, &raw, sizeof value);
    return value;
}

double decode_float(const struct decode_plan *plan, uint64_t raw)
{
    return plan->kind == DECODE_FLOAT32 ? float32_of(raw) : float64_of(raw);
}

double decode_physical_rare(const struct decode_plan *plan, uint64_t raw)
{
    if (plan->kind == DECODE_BYTES)
        return (double)NAN;
    if (plan->kind == DECODE_UNSIGNED)
        return scale_wide(plan, raw);
    if (plan->kind == DECODE_SIGNED)
        return scale_wide(plan, decode_extend(plan, raw));
    double value = decode_float(plan, raw);
    return plan->identity ? value : value * plan->factor + plan->offset;
}

void decode_value(const struct decode_plan *plan, const uint8_t *data, uint8_t len,
                  struct decoded *ret_value)
{
    *ret_value = (struct decoded){ .present = true, .fits = len >= plan->end_byte };
    ret_value->kind = plan->kind;
    if (!ret_value->fits)
        return;
    if (plan->kind == DECODE_BYTES) {
        ret_value->physical = (double)NAN;
        return;
    }
    uint64_t raw = decode_raw(plan, data);
    ret_value->raw = raw;
    ret_value->raw_signed =
        plan->kind == DECODE_SIGNED ? decode_extend(plan, raw) : (int64_t)raw;
    ret_value->physical = decode_physical(plan, raw);
}

/* Nearly always there is one range; they are in order and do not meet. */
static bool in_ranges(const struct dbc_signal *signal, uint64_t raw)
{
    uint32_t low = 0, high = signal->range_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (raw < signal->ranges[middle].first)
            high = middle;
        else if (raw > signal->ranges[middle].last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

bool decode_present(const struct dbc_message *message, const struct dbc_signal *signal,
                    const uint8_t *data, uint8_t len)
{
    while (signal->multiplexor != DBC_NONE) {
        const struct dbc_signal *above = &message->signals[signal->multiplexor];
        if (len < above->plan.end_byte || !in_ranges(signal, decode_raw(&above->plan, data)))
            return false;
        signal = above;
    }
    return true;
}

/* SAE J1939-71 table 1: of a parameter of whole bytes the top code 0xff.. is "not available" and
 * 0xfe.. is "error indicator", whatever follows in the lower bytes. */
static enum decode_quality j1939_quality(const struct decode_plan *plan, uint64_t raw)
{
    if (plan->kind != DECODE_UNSIGNED || plan->bits % 8 != 0 || plan->bits > 32)
        return QUALITY_GOOD;
    uint64_t top = raw >> (plan->bits - 8);
    if (top == 0xff)
        return QUALITY_NOT_AVAILABLE;
    return top == 0xfe ? QUALITY_ERROR : QUALITY_GOOD;
}

void decode_signal(const struct dbc_message *message, const struct dbc_signal *signal,
                   const uint8_t *data, uint8_t len, struct decoded *ret_value)
{
    if (!decode_present(message, signal, data, len)) {
        *ret_value = (struct decoded){ .kind = signal->plan.kind };
        return;
    }
    decode_value(&signal->plan, data, len, ret_value);
    if (message->is_j1939 && ret_value->fits)
        ret_value->quality = (uint8_t)j1939_quality(&signal->plan, ret_value->raw);
}

static unsigned bit_at(const struct decode_plan *plan, const uint8_t *data, uint32_t from_lsb)
{
    if (!plan->swap) {
        uint32_t bit = plan->start + from_lsb;
        return (unsigned)data[bit / 8] >> bit % 8 & 1u;
    }
    uint32_t bit = network_bit(plan->start) + plan->bits - 1 - from_lsb;
    return (unsigned)data[bit / 8] >> (7 - bit % 8) & 1u;
}

size_t decode_bytes(const struct decode_plan *plan, const uint8_t *data,
                    uint8_t ret_bytes[FRAME_DATA_MAX])
{
    size_t size = (plan->bits + 7u) / 8;

    memset(ret_bytes, 0, size);
    for (uint32_t i = 0; i < plan->bits; i++) {
        uint8_t *to = &ret_bytes[size - 1 - i / 8];
        *to = (uint8_t)(*to | bit_at(plan, data, i) << i % 8);
    }
    return size;
}

const char *decode_label(const struct dbc_signal *signal, int64_t raw)
{
    uint32_t low = 0, high = signal->label_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (signal->labels[middle].raw < raw)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < signal->label_count && signal->labels[low].raw == raw;
    return found ? signal->labels[low].text : NULL;
}

const char *decode_label_of(const struct dbc_signal *signal, const struct decoded *value)
{
    if (!value->present || !value->fits || value->kind == DECODE_BYTES)
        return NULL;
    if (value->kind == DECODE_UNSIGNED || value->kind == DECODE_SIGNED)
        return decode_label(signal, value->raw_signed);
    double number = decode_float(&signal->plan, value->raw);
    /* NaN fails the comparison; 2^62 is far above any label and safe to convert. */
    return fabs(number) < ldexp(1.0, 62) ? decode_label(signal, (int64_t)number) : NULL;
}

int decode_label_raw(const struct dbc_signal *signal, const char *label, int64_t *ret_raw)
{
    for (uint32_t i = 0; i < signal->label_count; i++) {
        if (strcmp(signal->labels[i].text, label) != 0)
            continue;
        *ret_raw = signal->labels[i].raw;
        return 0;
    }
    return -ENOENT;
}
