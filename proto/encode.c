#include "proto/encode.h"

#include <errno.h>
#include <math.h>

void encode_raw(const struct decode_plan *plan, uint64_t raw, uint8_t *data)
{
    uint64_t window;

    raw &= plan->mask;
    memcpy(&window, data + plan->byte, sizeof window);
    window = plan->swap ? be64toh(window) : le64toh(window);
    if (!plan->straddles) {
        window = (window & ~(plan->mask << plan->shift)) | raw << plan->shift;
    } else if (plan->swap) { /* its low bits are the high ones of the ninth byte */
        unsigned keep = 8u - plan->shift;
        uint8_t *ninth = &data[plan->byte + 8];
        *ninth = (uint8_t)((*ninth & ((1u << keep) - 1)) | (raw << keep & 0xff));
        window = (window & ~(plan->mask >> plan->shift)) | raw >> plan->shift;
    } else {
        unsigned in_window = 64u - plan->shift;
        uint8_t high_mask = (uint8_t)(plan->mask >> in_window);
        uint8_t *ninth = &data[plan->byte + 8];
        *ninth = (uint8_t)((*ninth & ~high_mask) | (uint8_t)(raw >> in_window));
        window = (window & ~(plan->mask << plan->shift)) | raw << plan->shift;
    }
    window = plan->swap ? htobe64(window) : htole64(window);
    memcpy(data + plan->byte, &window, sizeof window);
}

static uint64_t float_bits(const struct decode_plan *plan, double value)
{
    uint64_t bits64;
    uint32_t bits32;
    float single = (float)value;

    memcpy(&bits32, &single, sizeof bits32);
    memcpy(&bits64, &value, sizeof bits64);
    return plan->kind == DECODE_FLOAT32 ? bits32 : bits64;
}

int encode_physical(const struct decode_plan *plan, double physical, uint64_t *ret_raw)
{
    double value = (physical - plan->offset) / plan->factor;

    if (plan->kind == DECODE_BYTES || isnan(value))
        return -EINVAL;
    if (plan->kind == DECODE_FLOAT32 || plan->kind == DECODE_FLOAT64) {
        *ret_raw = float_bits(plan, value);
        return 0;
    }
    value = round(value);
    double top = ldexp(1, plan->kind == DECODE_SIGNED ? plan->bits - 1 : plan->bits);
    double bottom = plan->kind == DECODE_SIGNED ? -top : 0;
    if (value < bottom || value >= top)
        return -ERANGE;
    *ret_raw = (value < 0 ? (uint64_t)(int64_t)value : (uint64_t)value) & plan->mask;
    return 0;
}
