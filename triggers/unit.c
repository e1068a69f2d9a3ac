#include "triggers/unit.h"

#include "proto/err.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PI 3.14159265358979323846
#define RATIO_MAX INT64_C(1000000000000000)

struct row {
    const char *text;
    int8_t dim[DIM_COUNT]; /* m kg s A K mol cd angle */
    int8_t pi;
    int64_t num, den;
    double offset;
};

/* Names after COVESA's units.yaml and the spellings that databases use. */
static const struct row table[] = {
    { "%", { 0 }, 0, 1, 100, 0 },
    { "percent", { 0 }, 0, 1, 100, 0 },
    /* length */
    { "m", { 1 }, 0, 1, 1, 0 },
    { "mm", { 1 }, 0, 1, 1000, 0 },
    { "cm", { 1 }, 0, 1, 100, 0 },
    { "km", { 1 }, 0, 1000, 1, 0 },
    { "um", { 1 }, 0, 1, 1000000, 0 },
    { "inch", { 1 }, 0, 127, 5000, 0 },
    { "ft", { 1 }, 0, 381, 1250, 0 },
    { "mile", { 1 }, 0, 201168, 125, 0 },
    { "miles", { 1 }, 0, 201168, 125, 0 },
    { "1/m", { -1 }, 0, 1, 1, 0 },
    { "m^2", { 2 }, 0, 1, 1, 0 },
    { "m^3", { 3 }, 0, 1, 1, 0 },
    { "l", { 3 }, 0, 1, 1000, 0 },
    { "L", { 3 }, 0, 1, 1000, 0 },
    { "ml", { 3 }, 0, 1, 1000000, 0 },
    { "cm^3", { 3 }, 0, 1, 1000000, 0 },
    { "l/h", { 3, 0, -1 }, 0, 1, 3600000, 0 },
    { "L/h", { 3, 0, -1 }, 0, 1, 3600000, 0 },
    { "l/100km", { 2 }, 0, 1, 100000000, 0 },
    /* speed and acceleration */
    { "m/s", { 1, 0, -1 }, 0, 1, 1, 0 },
    { "mps", { 1, 0, -1 }, 0, 1, 1, 0 },
    { "cm/s", { 1, 0, -1 }, 0, 1, 100, 0 },
    { "mm/s", { 1, 0, -1 }, 0, 1, 1000, 0 },
    { "km/h", { 1, 0, -1 }, 0, 5, 18, 0 },
    { "kph", { 1, 0, -1 }, 0, 5, 18, 0 },
    { "kmh", { 1, 0, -1 }, 0, 5, 18, 0 },
    { "KPH", { 1, 0, -1 }, 0, 5, 18, 0 },
    { "Km/h", { 1, 0, -1 }, 0, 5, 18, 0 },
    { "km/hr", { 1, 0, -1 }, 0, 5, 18, 0 },
    { "KmPerHr", { 1, 0, -1 }, 0, 5, 18, 0 },
    { "mph", { 1, 0, -1 }, 0, 1397, 3125, 0 },
    { "MPH", { 1, 0, -1 }, 0, 1397, 3125, 0 },
    { "m/s^2", { 1, 0, -2 }, 0, 1, 1, 0 },
    { "m/s2", { 1, 0, -2 }, 0, 1, 1, 0 },
    { "m/s/s", { 1, 0, -2 }, 0, 1, 1, 0 },
    { "m/s\xc2\xb2", { 1, 0, -2 }, 0, 1, 1, 0 },
    { "cm/s^2", { 1, 0, -2 }, 0, 1, 100, 0 },
    { "m/s^3", { 1, 0, -3 }, 0, 1, 1, 0 },
    { "m/s3", { 1, 0, -3 }, 0, 1, 1, 0 },
    { "G", { 1, 0, -2 }, 0, 196133, 20000, 0 },
    { "g_n", { 1, 0, -2 }, 0, 196133, 20000, 0 },
    /* angle */
    { "rad", { [DIM_ANGLE] = 1 }, 0, 1, 1, 0 },
    { "mrad", { [DIM_ANGLE] = 1 }, 0, 1, 1000, 0 },
    { "deg", { [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "degree", { [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "degrees", { [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "Deg", { [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "\xc2\xb0", { [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "rad/s", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 0, 1, 1, 0 },
    { "deg/s", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "degree/s", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "degrees/s", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "deg/sec", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "Deg/s", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "\xc2\xb0/s", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "rad/s^2", { [DIM_S] = -2, [DIM_ANGLE] = 1 }, 0, 1, 1, 0 },
    { "deg/s^2", { [DIM_S] = -2, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "deg/s2", { [DIM_S] = -2, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "deg/m", { -1, [DIM_ANGLE] = 1 }, 1, 1, 180, 0 },
    { "rad/m", { -1, [DIM_ANGLE] = 1 }, 0, 1, 1, 0 },
    { "rpm", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 30, 0 },
    { "RPM", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 30, 0 },
    { "r/min", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 30, 0 },
    { "U/min", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 30, 0 },
    { "rev/min", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 30, 0 },
    { "1/min", { [DIM_S] = -1, [DIM_ANGLE] = 1 }, 1, 1, 30, 0 },
    /* time */
    { "s", { [DIM_S] = 1 }, 0, 1, 1, 0 },
    { "sec", { [DIM_S] = 1 }, 0, 1, 1, 0 },
    { "ms", { [DIM_S] = 1 }, 0, 1, 1000, 0 },
    { "us", { [DIM_S] = 1 }, 0, 1, 1000000, 0 },
    { "ns", { [DIM_S] = 1 }, 0, 1, 1000000000, 0 },
    { "min", { [DIM_S] = 1 }, 0, 60, 1, 0 },
    { "h", { [DIM_S] = 1 }, 0, 3600, 1, 0 },
    { "hr", { [DIM_S] = 1 }, 0, 3600, 1, 0 },
    { "d", { [DIM_S] = 1 }, 0, 86400, 1, 0 },
    { "day", { [DIM_S] = 1 }, 0, 86400, 1, 0 },
    { "days", { [DIM_S] = 1 }, 0, 86400, 1, 0 },
    { "Hz", { [DIM_S] = -1 }, 0, 1, 1, 0 },
    { "kHz", { [DIM_S] = -1 }, 0, 1000, 1, 0 },
    { "MHz", { [DIM_S] = -1 }, 0, 1000000, 1, 0 },
    { "1/s", { [DIM_S] = -1 }, 0, 1, 1, 0 },
    { "%/s", { [DIM_S] = -1 }, 0, 1, 100, 0 },
    /* mass, force, torque, pressure */
    { "kg", { 0, 1 }, 0, 1, 1, 0 },
    { "g", { 0, 1 }, 0, 1, 1000, 0 },
    { "mg", { 0, 1 }, 0, 1, 1000000, 0 },
    { "t", { 0, 1 }, 0, 1000, 1, 0 },
    { "kg/h", { 0, 1, -1 }, 0, 1, 3600, 0 },
    { "g/s", { 0, 1, -1 }, 0, 1, 1000, 0 },
    { "kg/s", { 0, 1, -1 }, 0, 1, 1, 0 },
    { "N", { 1, 1, -2 }, 0, 1, 1, 0 },
    { "kN", { 1, 1, -2 }, 0, 1000, 1, 0 },
    { "N*m", { 2, 1, -2 }, 0, 1, 1, 0 },
    { "Nm", { 2, 1, -2 }, 0, 1, 1, 0 },
    { "N.m", { 2, 1, -2 }, 0, 1, 1, 0 },
    { "NM", { 2, 1, -2 }, 0, 1, 1, 0 },
    { "cNm", { 2, 1, -2 }, 0, 1, 100, 0 },
    { "Nm/s", { 2, 1, -3 }, 0, 1, 1, 0 },
    { "N/m", { 0, 1, -2 }, 0, 1, 1, 0 },
    { "Pa", { -1, 1, -2 }, 0, 1, 1, 0 },
    { "hPa", { -1, 1, -2 }, 0, 100, 1, 0 },
    { "kPa", { -1, 1, -2 }, 0, 1000, 1, 0 },
    { "MPa", { -1, 1, -2 }, 0, 1000000, 1, 0 },
    { "bar", { -1, 1, -2 }, 0, 100000, 1, 0 },
    { "Bar", { -1, 1, -2 }, 0, 100000, 1, 0 },
    { "mbar", { -1, 1, -2 }, 0, 100, 1, 0 },
    { "psi", { -1, 1, -2 }, 0, 689475729, 100000, 0 },
    /* energy, power, electricity */
    { "J", { 2, 1, -2 }, 0, 1, 1, 0 },
    { "kJ", { 2, 1, -2 }, 0, 1000, 1, 0 },
    { "W", { 2, 1, -3 }, 0, 1, 1, 0 },
    { "kW", { 2, 1, -3 }, 0, 1000, 1, 0 },
    { "Wh", { 2, 1, -2 }, 0, 3600, 1, 0 },
    { "kWh", { 2, 1, -2 }, 0, 3600000, 1, 0 },
    { "PS", { 2, 1, -3 }, 0, 588399, 800, 0 },
    { "V", { 2, 1, -3, -1 }, 0, 1, 1, 0 },
    { "mV", { 2, 1, -3, -1 }, 0, 1, 1000, 0 },
    { "kV", { 2, 1, -3, -1 }, 0, 1000, 1, 0 },
    { "A", { 0, 0, 0, 1 }, 0, 1, 1, 0 },
    { "mA", { 0, 0, 0, 1 }, 0, 1, 1000, 0 },
    { "Ah", { 0, 0, 1, 1 }, 0, 3600, 1, 0 },
    { "Ohm", { 2, 1, -3, -2 }, 0, 1, 1, 0 },
    { "ohm", { 2, 1, -3, -2 }, 0, 1, 1, 0 },
    { "lx", { -2, [DIM_CD] = 1 }, 0, 1, 1, 0 },
    { "cd", { [DIM_CD] = 1 }, 0, 1, 1, 0 },
    { "mol", { [DIM_MOL] = 1 }, 0, 1, 1, 0 },
    /* temperature */
    { "K", { [DIM_K] = 1 }, 0, 1, 1, 0 },
    { "degC", { [DIM_K] = 1 }, 0, 1, 1, 273.15 },
    { "\xc2\xb0" "C", { [DIM_K] = 1 }, 0, 1, 1, 273.15 },
    { "DegC", { [DIM_K] = 1 }, 0, 1, 1, 273.15 },
    { "deg C", { [DIM_K] = 1 }, 0, 1, 1, 273.15 },
    { "C", { [DIM_K] = 1 }, 0, 1, 1, 273.15 },
    { "celsius", { [DIM_K] = 1 }, 0, 1, 1, 273.15 },
    { "degF", { [DIM_K] = 1 }, 0, 5, 9, 255.37222222222223 },
};
#define ROWS (sizeof table / sizeof table[0])

struct unit unit_none(void)
{
    return (struct unit){ .num = 1, .den = 1 };
}

static struct unit from_row(const struct row *row)
{
    struct unit unit = { .pi = row->pi, .num = row->num, .den = row->den, .offset = row->offset };

    memcpy(unit.dim, row->dim, sizeof unit.dim);
    (void)snprintf(unit.text, sizeof unit.text, "%s", row->text);
    return unit;
}

static const struct row *find_row(const char *text, size_t len)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strlen(table[i].text) == len && memcmp(table[i].text, text, len) == 0)
            return &table[i];
    return NULL;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Multiplies unit by other^sign. Returns false when the ratio or an exponent leaves its bounds. */
static bool multiply(struct unit *unit, const struct unit *other, int sign)
{
    int64_t num = sign > 0 ? other->num : other->den, den = sign > 0 ? other->den : other->num;
    int64_t a = gcd(unit->num, den), b = gcd(num, unit->den);

    assert(a > 0 && b > 0 && num > 0 && den > 0); /* all ratios are positive */
    num /= b;
    den /= a;
    unit->num /= a;
    unit->den /= b;
    if (unit->num > RATIO_MAX / num || unit->den > RATIO_MAX / den)
        return false;
    unit->num *= num;
    unit->den *= den;
    unit->pi = (int8_t)(unit->pi + sign * other->pi);
    for (int i = 0; i < DIM_COUNT; i++) {
        int power = unit->dim[i] + sign * other->dim[i];
        if (power < -32 || power > 32)
            return false;
        unit->dim[i] = (int8_t)power;
    }
    return unit->pi >= -8 && unit->pi <= 8;
}

/* base [^digit] { (*|/|.) base [^digit] } with bases of the table, or 1 in the numerator. */
static bool from_product(const char *text, struct unit *unit)
{
    int sign = 1;

    *unit = unit_none();
    for (;;) {
        size_t len = strcspn(text, "*/.^");
        const struct row *row = find_row(text, len);
        bool is_one = len == 1 && *text == '1';
        if ((!row && !is_one) || (row && row->offset != 0))
            return false;
        text += len;
        int power = 1;
        if (*text == '^' && text[1] >= '1' && text[1] <= '9') {
            power = text[1] - '0';
            text += 2;
        }
        struct unit factor = row ? from_row(row) : unit_none();
        for (int i = 0; i < power; i++)
            if (!multiply(unit, &factor, sign))
                return false;
        if (!*text)
            return true;
        sign = *text == '/' ? -1 : 1;
        text++;
    }
}

static bool means_none(const char *text)
{
    static const char *const names[] = { "", "1", "-", "none", "unitless" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

bool unit_from_text(const char *text, struct unit *ret_unit)
{
    const struct row *row = find_row(text, strlen(text));
    struct unit unit = unit_none();

    if (means_none(text)) {
        *ret_unit = unit;
        return true;
    }
    if (row) {
        *ret_unit = from_row(row);
        return true;
    }
    bool known = strlen(text) < UNIT_TEXT_MAX && from_product(text, &unit);
    if (!known) {
        unit = unit_none();
        unit.is_opaque = true;
    }
    (void)snprintf(unit.text, sizeof unit.text, "%s", text);
    *ret_unit = unit;
    return known;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

size_t unit_match(const char *text, struct unit *ret_unit)
{
    const struct row *best = NULL;
    size_t best_len = 0;

    if (isdigit((unsigned char)*text))
        return 0;
    for (size_t i = 0; i < ROWS; i++) {
        size_t len = strlen(table[i].text);
        if (len <= best_len || strncmp(text, table[i].text, len) != 0)
            continue;
        if (strchr(table[i].text, ' ') || (is_word(text[len - 1]) && is_word(text[len])))
            continue;
        best = &table[i];
        best_len = len;
    }
    if (best)
        *ret_unit = from_row(best);
    return best_len;
}

const char *unit_nearest(const char *found)
{
    const char *names[ROWS];

    for (size_t i = 0; i < ROWS; i++)
        names[i] = table[i].text;
    return err_nearest(found, names, ROWS);
}

bool unit_same_quantity(const struct unit *a, const struct unit *b)
{
    if (a->is_opaque || b->is_opaque)
        return a->is_opaque && b->is_opaque && strcmp(a->text, b->text) == 0;
    return memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

bool unit_equal(const struct unit *a, const struct unit *b)
{
    return unit_same_quantity(a, b) && a->num == b->num && a->den == b->den && a->pi == b->pi &&
           !(a->offset < b->offset) && !(a->offset > b->offset);
}

bool unit_is_number(const struct unit *unit)
{
    static const int8_t zero[DIM_COUNT];

    return !unit->is_opaque && memcmp(unit->dim, zero, sizeof zero) == 0;
}

bool unit_is_none(const struct unit *unit)
{
    return unit_is_number(unit) && unit->num == 1 && unit->den == 1 && unit->pi == 0;
}

static const char *base_names[DIM_COUNT] = { "m", "kg", "s", "A", "K", "mol", "cd", "rad" };

/* "m/s^2", "kg*m/s"; the name of the table where one fits. */
static void name_si(struct unit *unit)
{
    size_t at = 0;

    for (size_t i = 0; i < ROWS; i++)
        if (table[i].num == 1 && table[i].den == 1 && table[i].pi == 0 && !(table[i].offset > 0) &&
            memcmp(table[i].dim, unit->dim, sizeof unit->dim) == 0) {
            *unit = from_row(&table[i]);
            return;
        }
    unit->text[0] = 0;
    for (int sign = 1; sign >= -1; sign -= 2)
        for (int i = 0; i < DIM_COUNT; i++) {
            int power = unit->dim[i] * sign;
            if (power <= 0 || at >= sizeof unit->text - 1)
                continue;
            const char *glue = sign < 0 ? (at ? "/" : "1/") : (at ? "*" : "");
            int len = power > 1
                ? snprintf(unit->text + at, sizeof unit->text - at, "%s%s^%d", glue, base_names[i],
                           power)
                : snprintf(unit->text + at, sizeof unit->text - at, "%s%s", glue, base_names[i]);
            at += (size_t)len;
        }
}

bool unit_product(const struct unit *a, const struct unit *b, int sign, struct unit *ret_unit)
{
    struct unit unit = unit_none();

    if (a->is_opaque || b->is_opaque || a->offset > 0 || b->offset > 0)
        return false;
    for (int i = 0; i < DIM_COUNT; i++) {
        int power = a->dim[i] + sign * b->dim[i];
        if (power < -32 || power > 32)
            return false;
        unit.dim[i] = (int8_t)power;
    }
    if (!unit_is_number(&unit))
        name_si(&unit);
    *ret_unit = unit;
    return true;
}

bool unit_root(const struct unit *a, struct unit *ret_unit)
{
    struct unit unit = unit_none();

    if (a->is_opaque || a->offset > 0)
        return false;
    for (int i = 0; i < DIM_COUNT; i++) {
        if (a->dim[i] % 2)
            return false;
        unit.dim[i] = (int8_t)(a->dim[i] / 2);
    }
    if (!unit_is_number(&unit))
        name_si(&unit);
    *ret_unit = unit;
    return true;
}

void unit_conversion(const struct unit *from, const struct unit *to, double *ret_mul,
                     double *ret_div, double *ret_add)
{
    struct unit ratio = *from;

    *ret_add = 0;
    if (!multiply(&ratio, to, -1)) { /* bounds: cannot be held exactly */
        *ret_mul = (double)from->num / (double)from->den;
        *ret_div = (double)to->num / (double)to->den;
        ratio.pi = (int8_t)(from->pi - to->pi);
    } else {
        *ret_mul = (double)ratio.num;
        *ret_div = (double)ratio.den;
    }
    for (int i = ratio.pi; i > 0; i--)
        *ret_mul *= PI;
    for (int i = ratio.pi; i < 0; i++)
        *ret_div *= PI;
    if (from->offset < to->offset || from->offset > to->offset)
        *ret_add = (from->offset - to->offset) * (double)to->den / (double)to->num;
}
