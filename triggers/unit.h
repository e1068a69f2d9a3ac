/* unit - units of measure: what two numbers must share to be compared.
 * A unit is seven SI exponents and the plane angle, an exact ratio to the SI unit (times a power of
 * pi) and an offset (temperatures). A text that nobody knows is opaque: equal to itself only.
 * Values only; no allocation, no thread. */
#ifndef TRIGGERS_UNIT_H
#define TRIGGERS_UNIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unit_dimension { DIM_M, DIM_KG, DIM_S, DIM_A, DIM_K, DIM_MOL, DIM_CD, DIM_ANGLE, DIM_COUNT };

#define UNIT_TEXT_MAX 32

struct unit {
    int8_t dim[DIM_COUNT];
    int8_t pi;           /* the ratio holds pi to this power */
    bool is_opaque;
    int64_t num, den;    /* SI value = value * num / den * pi^pi + offset; both > 0 */
    double offset;
    char text[UNIT_TEXT_MAX]; /* as written; "" for none */
};

struct unit unit_none(void);

/* The unit of a text of the table, or a product of these ("deg/s^2", "N*m/s", "1/min"). "" and the
 * texts that databases use for "no unit" give none. Returns whether it is known; an unknown text
 * gives an opaque unit. */
bool unit_from_text(const char *text, struct unit *ret_unit);

/* The longest unit of the table that text begins with and that ends there (no letter follows one
 * that ends with a letter). Returns its length, or 0. */
size_t unit_match(const char *text, struct unit *ret_unit);

/* The table's text nearest to `found`, or NULL. */
const char *unit_nearest(const char *found);

bool unit_same_quantity(const struct unit *a, const struct unit *b);
/* Also the same ratio and offset: no conversion is needed. */
bool unit_equal(const struct unit *a, const struct unit *b);
bool unit_is_none(const struct unit *unit); /* no dimension and ratio 1 */
bool unit_is_number(const struct unit *unit); /* no dimension: none or percent */

/* In SI units, for products. `sign` 1 multiplies, -1 divides. Returns whether the result can be
 * held (exponents within a byte, no offset and nothing opaque among the operands). */
bool unit_product(const struct unit *a, const struct unit *b, int sign, struct unit *ret_unit);
/* Halves every exponent; false when one is odd. */
bool unit_root(const struct unit *a, struct unit *ret_unit);

/* value in `from` times *ret_mul divided by *ret_div plus *ret_add is the value in `to`. Requires
 * the same quantity. A number and its unit's exact ratio never lose more than these roundings. */
void unit_conversion(const struct unit *from, const struct unit *to, double *ret_mul,
                     double *ret_div, double *ret_add);

#endif
