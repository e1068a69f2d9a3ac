/* A comparison of a signal with a constant is decided on raw integers, so that no rounding of the
 * physical value can move a threshold: raw = (constant - offset) / factor is taken as a ratio of
 * integers. Numbers count as the shortest decimal that reads back as the same double, which is what
 * their author wrote. */
#include "triggers/compile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 wide; /* structs are not typedef'd; this is no struct */

struct decimal {
    wide mantissa;
    int exponent; /* value = mantissa * 10^exponent */
};

static struct decimal to_decimal(double value)
{
    char text[48];
    struct decimal d = { 0 };

    (void)snprintf(text, sizeof text, "%.14e", value);
    double back = strtod(text, NULL);
    if (back < value || back > value)
        (void)snprintf(text, sizeof text, "%.16e", value);
    bool negative = text[0] == '-';
    const char *at = text + negative;
    for (; *at && *at != 'e'; at++)
        if (*at != '.')
            d.mantissa = d.mantissa * 10 + (*at - '0');
    const char *point = strchr(text, '.');
    d.exponent = (int)strtol(at + 1, NULL, 10) - (int)(at - point - 1);
    while (d.mantissa && d.mantissa % 10 == 0) {
        d.mantissa /= 10;
        d.exponent++;
    }
    if (!d.mantissa)
        d.exponent = 0;
    if (negative)
        d.mantissa = -d.mantissa;
    return d;
}

static bool scale10(wide *value, int power)
{
    for (; power > 0; power--)
        if (__builtin_mul_overflow(*value, (wide)10, value))
            return false;
    return true;
}

struct quotient {
    wide floor;
    bool is_exact; /* the quotient is `floor` */
};

static struct quotient divide(wide a, wide b)
{
    if (b < 0) {
        a = -a;
        b = -b;
    }
    wide q = a / b, rest = a % b;
    return (struct quotient){ rest < 0 ? q - 1 : q, rest == 0 };
}

/* (L * num / den - offset) / factor in integers. Returns false when 128 bits do not hold it. */
static bool exact_quotient(struct decimal l, int64_t num, int64_t den, struct decimal offset,
                           struct decimal factor, struct quotient *ret)
{
    int low = l.exponent < offset.exponent ? l.exponent : offset.exponent;
    wide a = l.mantissa, o = offset.mantissa, b = factor.mantissa;

    if (!scale10(&a, l.exponent - low) || !scale10(&o, offset.exponent - low) ||
        __builtin_mul_overflow(a, (wide)num, &a) || __builtin_mul_overflow(o, (wide)den, &o) ||
        __builtin_sub_overflow(a, o, &a) || __builtin_mul_overflow(b, (wide)den, &b))
        return false;
    int power = low - factor.exponent;
    if (!scale10(power > 0 ? &a : &b, power > 0 ? power : -power))
        return false;
    *ret = divide(a, b);
    return true;
}

/* Where integers do not reach (pi, temperatures, huge exponents): the nearest raw value counts as
 * exact when the quotient lies within its rounding of it. */
static struct quotient rounded_quotient(double value, double offset, double factor)
{
    double q = (value - offset) / factor;

    if (!(fabs(q) < 1e30))
        q = q > 0 ? 1e30 : -1e30;
    double near = floor(q + 0.5), slack = 1e-9 + fabs(q) * 1e-15;
    if (fabs(q - near) <= (slack < 0.25 ? slack : 0.25))
        return (struct quotient){ (wide)near, true };
    return (struct quotient){ (wide)floor(q), false };
}

static struct quotient quotient_of(const struct binding *b, const struct val *v)
{
    const struct decode_layout *l = &b->dbc->layout;
    struct decimal value = to_decimal(v->d);
    struct unit from = v->unit.is_opaque || b->db_unit.is_opaque ? b->db_unit : v->unit;
    struct quotient q;
    double mul, div, add;

    if (v->type == VAL_INT)
        value = (struct decimal){ v->i, 0 };
    bool same = unit_equal(&from, &b->db_unit);
    bool ratio = same || (from.pi == b->db_unit.pi && !(from.offset > 0) &&
                          !(b->db_unit.offset > 0));
    int64_t num = 1, den = 1;
    if (!same && ratio && (__builtin_mul_overflow(from.num, b->db_unit.den, &num) ||
                           __builtin_mul_overflow(from.den, b->db_unit.num, &den)))
        ratio = false;
    struct decimal offset = l->offset_integral ? (struct decimal){ l->offset_int, 0 }
                                               : to_decimal(l->offset);
    struct decimal factor = l->factor_integral ? (struct decimal){ l->factor_int, 0 }
                                               : to_decimal(l->factor);
    if (ratio && factor.mantissa && exact_quotient(value, num, den, offset, factor, &q))
        return q;
    unit_conversion(&from, &b->db_unit, &mul, &div, &add);
    double number = v->type == VAL_INT ? (double)v->i : v->d;
    return rounded_quotient(number * mul / div + add, l->offset, l->factor);
}

static wide from_key(const struct binding *b, uint64_t key)
{
    if (b->dbc->plan.kind == DECODE_SIGNED)
        return (wide)(int64_t)(key ^ UINT64_C(1) << 63);
    return (wide)key;
}

static uint64_t to_key(const struct binding *b, wide raw)
{
    if (b->dbc->plan.kind == DECODE_SIGNED)
        return (uint64_t)(int64_t)raw ^ UINT64_C(1) << 63;
    return (uint64_t)raw;
}

void exact_range(const struct binding *b, uint64_t *ret_low, uint64_t *ret_high)
{
    const struct decode_plan *plan = &b->dbc->plan;

    if (plan->kind == DECODE_SIGNED) {
        int64_t top = (int64_t)(plan->mask >> 1);
        *ret_low = (uint64_t)(-top - 1) ^ UINT64_C(1) << 63;
        *ret_high = (uint64_t)top ^ UINT64_C(1) << 63;
    } else {
        *ret_low = 0;
        *ret_high = plan->mask;
    }
}

static enum ast_op mirrored(enum ast_op op)
{
    switch (op) {
    case OP_LT: return OP_GT;
    case OP_LE: return OP_GE;
    case OP_GT: return OP_LT;
    case OP_GE: return OP_LE;
    default: return op;
    }
}

struct raw_bounds exact_bounds(const struct binding *b, enum ast_op op, const struct val *v)
{
    const struct decode_layout *l = &b->dbc->layout;
    struct quotient q = quotient_of(b, v);
    uint64_t least, most;

    exact_range(b, &least, &most);
    wide low = from_key(b, least), high = from_key(b, most);
    const wide whole_low = low, whole_high = high;
    if (l->factor < 0)
        op = mirrored(op);
    if (op == OP_GT)
        low = q.floor + 1;
    else if (op == OP_GE)
        low = q.is_exact ? q.floor : q.floor + 1;
    else if (op == OP_LT)
        high = q.is_exact ? q.floor - 1 : q.floor;
    else if (op == OP_LE)
        high = q.floor;
    else
        low = high = q.floor;
    struct raw_bounds bounds = { .off_grid = (op == OP_EQ || op == OP_NE) && !q.is_exact };
    double step = fabs(l->factor);
    double at = (double)q.floor * l->factor + l->offset;
    bounds.below = l->factor < 0 ? at - step : at;
    bounds.above = bounds.below + step;
    if (low < whole_low)
        low = whole_low;
    if (high > whole_high)
        high = whole_high;
    bounds.is_empty = low > high;
    bounds.is_full = low == whole_low && high == whole_high;
    bounds.low = bounds.is_empty ? 1 : to_key(b, low);
    bounds.high = bounds.is_empty ? 0 : to_key(b, high);
    return bounds;
}
