/* Names, types and units of expressions, for the reference evaluator. */
#include "tests/rules/ref.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct scope {
    const struct scope *up;
    const struct pack_macro *macro;
    struct ref_node **args;
};

struct typer {
    struct ref_pack *p;
    const struct scope *scope;
};

static struct ref_node *type_ast(struct typer *t, const struct ast *ast);

static struct ref_node *give_up(struct typer *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static struct ref_node *give_up(struct typer *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!t->p->problem[0])
        (void)vsnprintf(t->p->problem, sizeof t->p->problem, format, args);
    va_end(args);
    return NULL;
}

/* --- nodes ---------------------------------------------------------------------------------- */

static struct ref_node *node(struct typer *t, enum ref_op op, enum ref_type type,
                             const struct unit *unit)
{
    struct ref_node *n = arena_alloc(&t->p->arena, sizeof *n);

    if (!n)
        abort();
    n->op = op;
    n->type = type;
    n->unit = unit ? *unit : unit_none();
    if (t->p->last)
        t->p->last->next = n;
    else
        t->p->first = n;
    t->p->last = n;
    return n;
}

static struct ref_node *with(struct typer *t, enum ref_op op, enum ref_type type,
                             const struct unit *unit, struct ref_node *a, struct ref_node *b)
{
    struct ref_node *n = node(t, op, type, unit);

    n->kids[n->kid_count++] = a;
    if (b)
        n->kids[n->kid_count++] = b;
    return n;
}

static struct ref_node *boolean(struct typer *t, bool value)
{
    struct ref_node *n = node(t, X_CONST, REF_BOOL, NULL);

    n->is_const = true;
    n->value.v = value ? REF_T : REF_F;
    return n;
}

static struct ref_node *whole(struct typer *t, int64_t value, const struct unit *unit)
{
    struct ref_node *n = node(t, X_CONST, REF_INT, unit);

    n->is_const = true;
    n->value = (struct ref_value){ .v = REF_T, .i = value };
    return n;
}

static struct ref_node *number(struct typer *t, double value, const struct unit *unit)
{
    struct ref_node *n = node(t, X_CONST, REF_NUM, unit);

    n->is_const = true;
    n->value = (struct ref_value){ .v = REF_T, .d = value };
    return n;
}

static bool is_number(const struct ref_node *n)
{
    return n->type == REF_INT || n->type == REF_NUM;
}

static double const_double(const struct ref_node *n)
{
    return n->type == REF_INT ? (double)n->value.i : n->value.d;
}

static struct ref_node *to_num(struct typer *t, struct ref_node *n)
{
    if (n->type == REF_NUM)
        return n;
    return n->is_const ? number(t, (double)n->value.i, &n->unit)
                       : with(t, X_TO_NUM, REF_NUM, &n->unit, n, NULL);
}

/* --- units ---------------------------------------------------------------------------------- */

static struct ref_node *convert(struct typer *t, struct ref_node *n, const struct unit *unit)
{
    double mul, div, add;

    if (unit_equal(&n->unit, unit) || unit->is_opaque)
        return n;
    unit_conversion(&n->unit, unit, &mul, &div, &add);
    if (n->is_const)
        return number(t, const_double(n) * mul / div + add, unit);
    struct ref_node *c = with(t, X_CONVERT, REF_NUM, unit, to_num(t, n), NULL);
    c->mul = mul;
    c->div = div;
    c->add = add;
    return c;
}

static struct ref_node *to_si(struct typer *t, struct ref_node *n)
{
    struct unit none = unit_none(), si;

    return n->unit.is_opaque || !unit_product(&n->unit, &none, 1, &si) ? n : convert(t, n, &si);
}

static struct ref_node *label_number(struct typer *t, const struct ref_node *label,
                                     const struct dbc_signal *table)
{
    for (uint32_t i = 0; i < table->label_count; i++)
        if (strcmp(table->labels[i].text, label->label) == 0) {
            struct ref_node *n = whole(t, table->labels[i].raw, NULL);
            n->type = REF_ENUM;
            n->table = table;
            return n;
        }
    return give_up(t, "no label '%s'", label->label);
}

/* Two operands in one type and the unit of the first. */
static bool unify(struct typer *t, struct ref_node **a, struct ref_node **b)
{
    if (!*a || !*b)
        return false;
    if (is_number(*a) && is_number(*b)) {
        *b = convert(t, *b, &(*a)->unit);
        if ((*a)->type != (*b)->type) {
            *a = to_num(t, *a);
            *b = to_num(t, *b);
        }
    } else if ((*a)->type == REF_ENUM && (*b)->type == REF_LABEL) {
        *b = label_number(t, *b, (*a)->table);
    } else if ((*a)->type == REF_LABEL && (*b)->type == REF_ENUM) {
        *a = label_number(t, *a, (*b)->table);
    } else if ((*a)->type == REF_BOOL && is_number(*b)) {
        *b = boolean(t, (*b)->value.i == 1);
    } else if (is_number(*a) && (*b)->type == REF_BOOL) {
        *a = boolean(t, (*a)->value.i == 1);
    }
    return *a && *b;
}

/* --- exact comparison ----------------------------------------------------------------------- */

__extension__ typedef __int128 wide;

struct decimal {
    wide mantissa;
    int exponent;
};

/* The shortest decimal that reads back as the double: what its author wrote. */
static struct decimal decimal_of(double value)
{
    char text[64];
    struct decimal d = { 0, 0 };
    bool point = false;

    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*e", digits - 1, value);
        double back = strtod(text, NULL);
        if (!(back < value) && !(back > value))
            break;
    }
    const char *at = text;
    for (; *at && *at != 'e'; at++) {
        if (*at == '.')
            point = true;
        if (!isdigit((unsigned char)*at))
            continue;
        d.mantissa = d.mantissa * 10 + (*at - '0');
        d.exponent -= point;
    }
    d.exponent += (int)strtol(at + 1, NULL, 10);
    if (text[0] == '-')
        d.mantissa = -d.mantissa;
    return d;
}

static bool times10(wide *value, int power)
{
    while (power-- > 0)
        if (__builtin_mul_overflow(*value, (wide)10, value))
            return false;
    return true;
}

/* raw * factor + offset beside number * num / den, all over the common power of ten. */
static bool exact_integers(wide raw, struct decimal factor, struct decimal offset,
                           struct decimal value, int64_t num, int64_t den, int *ret)
{
    int low = factor.exponent < offset.exponent ? factor.exponent : offset.exponent;
    wide a = factor.mantissa, o = offset.mantissa, v = value.mantissa;

    low = value.exponent < low ? value.exponent : low;
    if (!times10(&a, factor.exponent - low) || !times10(&o, offset.exponent - low) ||
        !times10(&v, value.exponent - low) || __builtin_mul_overflow(a, raw, &a) ||
        __builtin_add_overflow(a, o, &a) || __builtin_mul_overflow(a, (wide)den, &a) ||
        __builtin_mul_overflow(v, (wide)num, &v))
        return false;
    *ret = (a > v) - (a < v);
    return true;
}

int ref_exact(const struct ref_signal *s, const struct decoded *d, bool is_raw,
              const struct ref_node *n)
{
    const struct dbc_signal *dbc = s->dbc.signal;
    wide raw = d->kind == DECODE_SIGNED ? (wide)d->raw_signed : (wide)d->raw;
    struct decimal factor = { 1, 0 }, offset = { 0, 0 }, value;
    int64_t num = 1, den = 1;
    int order;

    if (!is_raw) {
        factor = decimal_of(strtod(dbc->factor_text, NULL));
        offset = decimal_of(strtod(dbc->offset_text, NULL));
    }
    value = n->type == REF_NUM ? decimal_of(n->value.d) : (struct decimal){ n->value.i, 0 };
    if (!is_raw && !n->unit.is_opaque && !unit_equal(&n->unit, &s->db_unit)) {
        num = n->unit.num * s->db_unit.den;
        den = n->unit.den * s->db_unit.num;
    }
    if (exact_integers(raw, factor, offset, value, num, den, &order))
        return order;
    long double left = ((long double)raw * strtold(dbc->factor_text, NULL) +
                        strtold(dbc->offset_text, NULL)) * (long double)den;
    long double right = (n->type == REF_NUM ? (long double)n->value.d : (long double)n->value.i) *
                        (long double)num;
    return (left > right) - (left < right);
}

/* --- signals -------------------------------------------------------------------------------- */

static bool literal_value(struct typer *t, const struct ast *ast, struct ref_value *ret,
                          bool *ret_int, struct unit *unit, const struct unit *usual)
{
    const struct ref_node *n = type_ast(t, ast);

    if (!n || !n->is_const || !is_number(n))
        return false;
    *ret = n->value;
    *ret_int = n->type == REF_INT;
    *unit = unit_is_none(&n->unit) ? *usual : n->unit;
    return true;
}

/* Decision 25. */
static void signal_type(struct ref_signal *s, bool declared)
{
    const struct decode_layout *l = &s->dbc.signal->layout;
    bool integer = l->kind == DECODE_UNSIGNED || l->kind == DECODE_SIGNED;
    bool plain = integer && !(l->factor < 1) && !(l->factor > 1) && !(l->offset < 0) &&
                 !(l->offset > 0);
    struct unit unit;
    bool known = declared || (unit_from_text(s->dbc.signal->unit, &unit) && !unit_is_none(&unit));
    bool converted = !unit_equal(&s->unit, &s->db_unit);

    s->is_float = !integer;
    s->is_integer = plain && (l->kind == DECODE_SIGNED || l->bits < 64) && !converted;
    s->type = s->is_integer ? REF_INT : REF_NUM;
    if (plain && s->dbc.signal->label_count && !known)
        s->type = REF_ENUM;
    else if (plain && l->kind == DECODE_UNSIGNED && l->bits == 1 && !declared &&
             !s->dbc.signal->label_count)
        s->type = REF_BOOL;
}

static int64_t usual_age(const struct ref_signal *s)
{
    int64_t cycle = (int64_t)s->dbc.message->cycle_ms * NS_PER_MS;

    if (!cycle || s->dbc.signal->multiplexor != DBC_NONE)
        return 2 * NS_PER_S;
    return 3 * cycle > 50 * NS_PER_MS ? 3 * cycle : 50 * NS_PER_MS;
}

static struct ref_signal *signal_of(struct typer *t, const char *name, const char *path,
                                    const struct pack_signal *alias)
{
    struct ref_pack *p = t->p;
    struct err err = { 0 };

    for (uint32_t i = 0; i < p->signal_count; i++)
        if (strcmp(p->signals[i].name, name) == 0)
            return &p->signals[i];
    if (p->signal_count == p->signal_room)
        return NULL;
    struct ref_signal *s = &p->signals[p->signal_count];
    memset(s, 0, sizeof *s);
    if (dbset_signal_path(p->dbset, path, &s->dbc, &err))
        return NULL;
    s->name = name;
    s->bus = s->dbc.bus;
    bool known = unit_from_text(s->dbc.signal->unit, &s->db_unit);
    s->unit = s->db_unit;
    if (alias && alias->unit && unit_from_text(alias->unit->text, &s->unit) &&
        (!known || unit_is_none(&s->db_unit)))
        s->db_unit = s->unit; /* decision 24 */
    signal_type(s, alias && alias->unit);
    s->max_age = alias && alias->max_age_ns >= 0 ? alias->max_age_ns : usual_age(s);
    s->invalid = alias ? alias->invalid : NULL;
    p->signal_count++;
    if (!alias || !alias->valid)
        return s;
    s->has_valid = true;
    s->open_low = alias->valid->open_low;
    s->open_high = alias->valid->open_high;
    if (!literal_value(t, alias->valid->first, &s->low, &s->low_is_int, &s->low_unit, &s->unit) ||
        !literal_value(t, alias->valid->last, &s->high, &s->high_is_int, &s->high_unit, &s->unit))
        return NULL;
    return s;
}

static struct ref_node *signal_node(struct typer *t, struct ref_signal *s, bool is_raw)
{
    if (!s)
        return give_up(t, "a signal does not resolve");
    struct ref_node *n = node(t, X_SIGNAL, is_raw ? REF_INT : s->type, is_raw ? NULL : &s->unit);

    n->bare = s;
    n->is_raw = is_raw;
    n->table = s->dbc.signal;
    return n;
}

/* --- comparisons ---------------------------------------------------------------------------- */

static enum ast_op mirrored(enum ast_op op)
{
    return op == OP_LT ? OP_GT : op == OP_LE ? OP_GE : op == OP_GT ? OP_LT : op == OP_GE ? OP_LE
                                                                                         : op;
}

static struct ref_node *negated(struct typer *t, struct ref_node *n, bool yes)
{
    return n && yes ? with(t, X_NOT, REF_BOOL, NULL, n, NULL) : n;
}

static struct ref_node *compare(struct typer *t, enum ast_op op, struct ref_node *a,
                                struct ref_node *b)
{
    if (!a || !b)
        return NULL;
    if (b->type == REF_AGE || (a->is_const && !b->is_const)) {
        struct ref_node *swap = a;
        a = b;
        b = swap;
        op = mirrored(op);
    }
    if (a->type == REF_AGE) {
        struct unit second;
        unit_from_text("s", &second);
        struct ref_node *over = node(t, X_AGE_OVER, REF_BOOL, NULL);
        over->bare = a->bare;
        over->d = (int64_t)floor(const_double(convert(t, b, &second)) * 1e9 + 0.5);
        return negated(t, over, op == OP_LT || op == OP_LE);
    }
    struct ref_node *written = b;
    if (!unify(t, &a, &b))
        return NULL;
    if (a->type == REF_BOOL)
        return negated(t, with(t, X_SAME_BOOL, REF_BOOL, NULL, a, b), op == OP_NE);
    bool exact = a->op == X_SIGNAL && b->is_const && (a->is_raw || !a->bare->is_float);
    /* unify may have put the signal behind a conversion to double: it is bare all the same. */
    if (a->op == X_TO_NUM && a->kids[0]->op == X_SIGNAL && b->is_const) {
        a = a->kids[0];
        exact = true;
    }
    struct ref_node *n = with(t, exact ? X_EXACT : X_COMPARE, REF_BOOL, NULL, a,
                              exact && is_number(b) ? written : b);
    n->relation = op;
    return n;
}

static struct ref_node *both(struct typer *t, struct ref_node *a, struct ref_node *b)
{
    return a && b ? with(t, X_AND, REF_BOOL, NULL, a, b) : NULL;
}

static struct ref_node *type_compare(struct typer *t, const struct ast *ast)
{
    const struct ast *second = ast->first->next, *third = second->next;
    struct ref_node *a = type_ast(t, ast->first), *b = type_ast(t, second);
    struct ref_node *left = compare(t, second->op, a, b);

    return third ? both(t, left, compare(t, third->op, b, type_ast(t, third))) : left;
}

static struct ref_node *in_items(struct typer *t, const struct ast *ast, const struct ast *items)
{
    struct ref_node *operand = type_ast(t, ast->first), *any = boolean(t, false);

    for (const struct ast *item = items; item && any; item = item->next) {
        struct ref_node *equal = compare(t, OP_EQ, operand, type_ast(t, item));
        any = equal ? with(t, X_OR, REF_BOOL, NULL, any, equal) : NULL;
    }
    return negated(t, any, ast->flag);
}

static struct ref_node *type_in_range(struct typer *t, const struct ast *ast)
{
    const struct ast *low = ast->first->next, *high = low->next;
    struct ref_node *operand = type_ast(t, ast->first);
    struct ref_node *from = compare(t, ast->open_low ? OP_GT : OP_GE, operand, type_ast(t, low));
    struct ref_node *to = compare(t, ast->open_high ? OP_LT : OP_LE, operand, type_ast(t, high));

    return negated(t, both(t, from, to), ast->flag);
}

static struct ref_node *type_in_list(struct typer *t, const struct ast *ast)
{
    const struct pack *pack = t->p->pack;

    for (uint32_t i = 0; i < pack->list_count; i++)
        if (strcmp(pack->lists[i].name, ast->text) == 0)
            return in_items(t, ast, pack->lists[i].items);
    return give_up(t, "no list '%s'", ast->text);
}

static struct ref_node *type_is(struct typer *t, const struct ast *ast)
{
    struct ref_node *operand = type_ast(t, ast->first), *n;
    bool unknown = strcmp(ast->text, "unknown") == 0;

    if (!operand)
        return NULL;
    if (operand->is_const)
        return boolean(t, unknown == ast->flag);
    if (operand->op != X_SIGNAL) {
        n = with(t, X_KNOWN, REF_BOOL, NULL, operand, NULL);
        return negated(t, n, unknown != ast->flag);
    }
    n = node(t, X_STATE, REF_BOOL, NULL);
    n->bare = operand->bare;
    n->d = strcmp(ast->text, "known") == 0 ? 1 << REF_KNOWN
        : strcmp(ast->text, "stale") == 0 ? 1 << REF_STALE
        : strcmp(ast->text, "missing") == 0 ? 1 << REF_MISSING
        : strcmp(ast->text, "invalid") == 0 ? 1 << REF_INVALID
        : 1 << REF_STALE | 1 << REF_MISSING | 1 << REF_INVALID;
    return negated(t, n, ast->flag);
}

/* --- arithmetic ----------------------------------------------------------------------------- */

static struct ref_node *fold(struct typer *t, enum ref_op op, struct ref_node *a,
                             struct ref_node *b, const struct unit *unit)
{
    int64_t i = 0;

    if (a->type == REF_INT && b->type == REF_INT && op != X_DIV) {
        bool lost = op == X_ADD ? __builtin_add_overflow(a->value.i, b->value.i, &i)
            : op == X_SUB ? __builtin_sub_overflow(a->value.i, b->value.i, &i)
            : __builtin_mul_overflow(a->value.i, b->value.i, &i);
        if (!lost)
            return whole(t, i, unit);
    }
    double x = const_double(a), y = const_double(b);
    return number(t, op == X_ADD ? x + y : op == X_SUB ? x - y : op == X_MUL ? x * y : x / y,
                  unit);
}

static struct ref_node *sum(struct typer *t, enum ref_op op, struct ref_node *a, struct ref_node *b)
{
    if (!unify(t, &a, &b))
        return NULL;
    if (a->is_const && b->is_const)
        return fold(t, op, a, b, &a->unit);
    return with(t, op, a->type, &a->unit, a, b);
}

static struct ref_node *product(struct typer *t, bool divide, struct ref_node *a,
                                struct ref_node *b)
{
    struct unit unit;

    if (!a || !b)
        return NULL;
    if (a->unit.is_opaque && unit_is_none(&b->unit))
        unit = a->unit;
    else if (b->unit.is_opaque && unit_is_none(&a->unit) && !divide)
        unit = b->unit;
    else if (!unit_product(&a->unit, &b->unit, divide ? -1 : 1, &unit))
        return give_up(t, "a product without unit");
    a = to_si(t, a);
    b = to_si(t, b);
    if (a->is_const && b->is_const)
        return fold(t, divide ? X_DIV : X_MUL, a, b, &unit);
    if (divide || a->type != b->type) {
        a = to_num(t, a);
        b = to_num(t, b);
    }
    return with(t, divide ? X_DIV : X_MUL, a->type, &unit, a, b);
}

static struct ref_node *type_chain(struct typer *t, const struct ast *ast)
{
    struct ref_node *n = type_ast(t, ast->first);

    for (const struct ast *k = ast->first->next; k && n; k = k->next) {
        struct ref_node *next = type_ast(t, k);
        if (ast->kind == AST_SUM)
            n = sum(t, k->op == OP_SUB ? X_SUB : X_ADD, n, next);
        else
            n = product(t, k->op == OP_DIV, n, next);
    }
    return n;
}

static struct ref_node *type_coal(struct typer *t, const struct ast *ast)
{
    struct ref_node *n = type_ast(t, ast->first);

    for (const struct ast *k = ast->first->next; k && n; k = k->next) {
        struct ref_node *next = type_ast(t, k);
        if (n->is_const)
            continue;
        const struct unit unit = n->unit;
        const struct dbc_signal *table = n->table;
        if (!unify(t, &n, &next))
            return NULL;
        n = with(t, X_COAL, n->type, &unit, n, next);
        n->table = table;
    }
    return n;
}

static struct ref_node *type_negate(struct typer *t, const struct ast *ast)
{
    struct ref_node *n = type_ast(t, ast->first);

    if (!n)
        return NULL;
    if (n->is_const && n->type == REF_INT && n->value.i != INT64_MIN)
        return whole(t, -n->value.i, &n->unit);
    if (n->is_const)
        return number(t, -const_double(n), &n->unit);
    return with(t, X_NEG, n->type, &n->unit, n, NULL);
}

/* --- functions ------------------------------------------------------------------------------ */

static struct ref_node *extreme(struct typer *t, enum ref_op op, struct ref_node *a,
                                struct ref_node *b)
{
    if (!a || !b)
        return NULL;
    if (a->is_const && b->is_const) {
        b = convert(t, b, &a->unit);
        return (const_double(a) > const_double(b)) == (op == X_MAX) ? a : b;
    }
    return unify(t, &a, &b) ? with(t, op, a->type, &a->unit, a, b) : NULL;
}

static struct ref_node *call_near(struct typer *t, struct ref_node *a, struct ref_node *b,
                                  struct ref_node *tol)
{
    struct unit kelvin;

    unit_from_text("K", &kelvin);
    if (!unify(t, &a, &b) || !tol)
        return NULL;
    if (a->unit.offset > 0) {
        a = convert(t, a, &kelvin);
        b = convert(t, b, &kelvin);
    }
    struct ref_node *gap = sum(t, X_SUB, a, b);
    gap = gap->is_const ? number(t, fabs(const_double(gap)), &gap->unit)
                        : with(t, X_ABS, gap->type, &gap->unit, gap, NULL);
    return compare(t, OP_LE, gap, tol);
}

static struct ref_node *equal_to(struct typer *t, struct ref_node *operand, struct ref_node *end)
{
    if (operand->type == REF_BOOL && end && is_number(end))
        end = boolean(t, end->value.i == 1);
    return compare(t, OP_EQ, operand, end);
}

static struct ref_node *call_changed(struct typer *t, struct ref_node *operand,
                                     struct ref_node *from, struct ref_node *to)
{
    struct ref_node *n = with(t, X_CHANGED, REF_BOOL, NULL, operand, NULL);

    /* kids[1]: the operand equals `from`; kids[2]: it equals `to`. Both stand before the node. */
    n->has_from = from != NULL;
    n->has_to = to != NULL;
    return n;
}

static struct ref_node *call_if(struct typer *t, struct ref_node *when, struct ref_node *a,
                                struct ref_node *b)
{
    const struct dbc_signal *table = a ? a->table : NULL;

    if (!when || !unify(t, &a, &b))
        return NULL;
    if (when->is_const)
        return when->value.v == REF_T ? a : b;
    struct ref_node *n = with(t, X_IF, a->type, &a->unit, when, a);
    n->kids[n->kid_count++] = b;
    n->table = table;
    return n;
}

static struct ref_node *call_sqrt(struct typer *t, struct ref_node *a)
{
    struct unit unit;

    if (!unit_root(&a->unit, &unit))
        return give_up(t, "no root");
    a = to_num(t, to_si(t, a));
    return a->is_const ? number(t, sqrt(a->value.d), &unit)
                       : with(t, X_SQRT, REF_NUM, &unit, a, NULL);
}

static struct ref_node *call_pulse(struct typer *t, enum ref_op op, struct ref_node *a)
{
    return with(t, op, REF_BOOL, NULL, a, NULL);
}

struct arguments {
    struct ref_node *at[REF_KIDS_MAX];
    uint32_t count;
    struct ref_node *tol, *from, *to, *on, *off, *set, *reset, *cover, *exact;
    enum ast_op on_op, off_op;
};

/* --- operators that look back --- */

static int64_t nanoseconds(struct typer *t, struct ref_node *n)
{
    struct unit second;

    unit_from_text("s", &second);
    return (int64_t)floor(const_double(convert(t, n, &second)) * 1e9 + 0.5);
}

static struct ref_node *back(struct typer *t, enum ref_op op, enum ref_type type,
                             const struct unit *unit, struct ref_node *x, struct ref_node *d)
{
    struct ref_node *n = with(t, op, type, unit, x, NULL);

    n->d = nanoseconds(t, d);
    n->table = x->table;
    return n;
}

static struct ref_node *call_window(struct typer *t, enum ref_op op, struct arguments *args)
{
    struct ref_node *x = args->at[0], *n;
    struct unit kelvin, second, unit, none = unit_none();

    unit_from_text("K", &kelvin);
    unit_from_text("s", &second);
    if (op == X_AT)
        return back(t, op, x->type, &x->unit, x, args->at[1]);
    if (op == X_COUNT || op == X_SAMPLES)
        return back(t, op, REF_INT, NULL, x, args->at[1]);
    bool is_difference = op == X_DELTA || op == X_RANGE_OVER || op == X_STD_OVER || op == X_DERIV;
    if (op != X_DUTY && is_difference && x->unit.offset > 0)
        x = convert(t, x, &kelvin);
    if (op == X_DERIV || op == X_INTEGRAL)
        x = to_si(t, x);
    unit = x->unit;
    if ((op == X_DERIV || op == X_INTEGRAL) &&
        !unit_product(&x->unit, &second, op == X_DERIV ? -1 : 1, &unit))
        return give_up(t, "a window without unit");
    n = back(t, op, REF_NUM, op == X_DUTY ? &none : &unit, op == X_DUTY ? x : to_num(t, x),
             args->at[1]);
    double part = args->cover ? const_double(convert(t, args->cover, &none)) : 0.5;
    n->cover_ppm = (uint32_t)floor(part * 1e6 + 0.5);
    return n;
}

static struct ref_node *back_call(struct typer *t, const char *name, struct arguments *args)
{
    static const struct { const char *name; enum ref_op op; } windows[] = {
        { "count_over", X_COUNT }, { "samples", X_SAMPLES }, { "at", X_AT }, { "delta", X_DELTA },
        { "min_over", X_MIN_OVER }, { "max_over", X_MAX_OVER }, { "range_over", X_RANGE_OVER },
        { "sum_over", X_SUM_OVER }, { "mean_over", X_MEAN_OVER }, { "std_over", X_STD_OVER },
        { "integral", X_INTEGRAL }, { "deriv", X_DERIV }, { "duty", X_DUTY },
    };
    struct ref_node *n;
    struct unit second;

    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++)
        if (strcmp(windows[i].name, name) == 0)
            return call_window(t, windows[i].op, args);
    if (strcmp(name, "held") == 0 || strcmp(name, "once") == 0)
        return back(t, name[0] == 'h' ? X_HELD : X_ONCE, REF_BOOL, NULL, args->at[0], args->at[1]);
    if (strcmp(name, "frozen") == 0)
        return back(t, X_FROZEN, REF_BOOL, NULL, args->at[0], args->at[1]);
    if (strcmp(name, "since") == 0) {
        n = with(t, X_SINCE, REF_BOOL, NULL, args->at[0], args->at[1]);
        n->d = args->count > 2 ? nanoseconds(t, args->at[2]) : 0;
        return n;
    }
    if (strcmp(name, "period") == 0) {
        unit_from_text("s", &second);
        return with(t, X_PERIOD, REF_NUM, &second, args->at[0], NULL);
    }
    if (strcmp(name, "latch") == 0)
        return with(t, X_LATCH, REF_BOOL, NULL, args->set, args->reset);
    if (strcmp(name, "debounce") == 0) {
        n = with(t, X_DEBOUNCE, REF_BOOL, NULL, args->at[0], NULL);
        n->d = nanoseconds(t, args->on);
        n->d2 = nanoseconds(t, args->off);
        return n;
    }
    if (strcmp(name, "hyst") != 0)
        return give_up(t, "the evaluator has no %s()", name);
    struct ref_node *on = compare(t, args->on_op, args->at[0], args->on);
    struct ref_node *off = compare(t, args->off_op, args->at[0], args->off);
    return on && off ? with(t, X_HYST, REF_BOOL, NULL, on, off) : NULL;
}

static bool type_arguments(struct typer *t, const struct ast *ast, struct arguments *args)
{
    for (const struct ast *k = ast->first; k; k = k->next) {
        struct ref_node *n = type_ast(t, k);
        if (!n)
            return false;
        if (!k->name) {
            args->at[args->count++] = n;
            continue;
        }
        const struct { const char *name; struct ref_node **place; } named[] = {
            { "tol", &args->tol }, { "from", &args->from }, { "to", &args->to }, { "on", &args->on },
            { "off", &args->off }, { "set", &args->set }, { "reset", &args->reset },
            { "cover", &args->cover }, { "exact", &args->exact },
        };
        for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
            if (strcmp(named[i].name, k->name) == 0)
                *named[i].place = n;
        if (strcmp(k->name, "on") == 0)
            args->on_op = k->op;
        if (strcmp(k->name, "off") == 0)
            args->off_op = k->op;
    }
    return true;
}

static struct ref_node *number_call(struct typer *t, const char *name, struct arguments *args)
{
    struct ref_node *a = args->at[0], *n;

    if (strcmp(name, "abs") == 0 || strcmp(name, "sign") == 0) {
        bool is_abs = name[0] == 'a';
        if (a->is_const && is_abs && a->type == REF_INT)
            return whole(t, a->value.i < 0 ? -a->value.i : a->value.i, &a->unit);
        if (a->is_const && is_abs)
            return number(t, fabs(const_double(a)), &a->unit);
        if (a->is_const)
            return whole(t, (const_double(a) > 0) - (const_double(a) < 0), NULL);
        return with(t, is_abs ? X_ABS : X_SIGN, a->type, is_abs ? &a->unit : NULL, a, NULL);
    }
    if (strcmp(name, "sqrt") == 0)
        return call_sqrt(t, a);
    if (strcmp(name, "mod") == 0)
        return unify(t, &args->at[0], &args->at[1])
            ? with(t, X_MOD, args->at[0]->type, &a->unit, args->at[0], args->at[1]) : NULL;
    if (strcmp(name, "clamp") == 0)
        return extreme(t, X_MIN, extreme(t, X_MAX, a, args->at[1]), args->at[2]);
    if (strcmp(name, "bit") == 0) {
        n = with(t, X_BIT, REF_BOOL, NULL, a, NULL);
        n->d = args->at[1]->value.i;
        return n;
    }
    for (uint32_t i = 1; i < args->count && a; i++)
        a = extreme(t, strcmp(name, "min") == 0 ? X_MIN : X_MAX, a, args->at[i]);
    return a;
}

static struct ref_node *other_call(struct typer *t, const char *name, struct arguments *args)
{
    struct ref_node *a = args->at[0], *from = NULL, *to = NULL, *n;

    if (strcmp(name, "rise") == 0 || strcmp(name, "fall") == 0)
        return call_pulse(t, name[0] == 'r' ? X_RISE : X_FALL, a);
    if (strcmp(name, "must") == 0 || strcmp(name, "maybe") == 0)
        return a->is_const ? a : with(t, name[1] == 'u' ? X_MUST : X_MAYBE, REF_BOOL, NULL, a, NULL);
    if (strcmp(name, "if") == 0)
        return call_if(t, a, args->at[1], args->at[2]);
    if (strcmp(name, "near") == 0)
        return call_near(t, a, args->at[1], args->tol);
    if (strcmp(name, "age") == 0) {
        n = node(t, X_AGE, REF_AGE, NULL);
        n->bare = a->bare;
        return n;
    }
    if (strcmp(name, "prev") == 0) {
        n = with(t, X_PREV, a->type, &a->unit, a, NULL);
        n->table = a->table;
        return n;
    }
    if (strcmp(name, "changed") != 0)
        return back_call(t, name, args);
    if (args->from)
        from = equal_to(t, a, args->from);
    if (args->to)
        to = equal_to(t, a, args->to);
    n = call_changed(t, a, from, to);
    n->kids[1] = from ? from : a;
    n->kids[2] = to ? to : a;
    n->kid_count = 3;
    return n;
}

static struct ref_node *type_call(struct typer *t, const struct ast *ast)
{
    static const char *const of_numbers[] = { "abs", "sign", "sqrt", "mod", "clamp", "bit", "min",
                                              "max" };
    const struct pack *pack = t->p->pack;
    struct arguments args = { .count = 0 };

    if (!type_arguments(t, ast, &args))
        return NULL;
    for (uint32_t i = 0; i < pack->macro_count; i++)
        if (strcmp(pack->macros[i].name, ast->text) == 0) {
            struct scope scope = { t->scope, &pack->macros[i], args.at };
            t->scope = &scope;
            struct ref_node *n = type_ast(t, pack->macros[i].body);
            t->scope = scope.up;
            return n;
        }
    for (size_t i = 0; i < sizeof of_numbers / sizeof of_numbers[0]; i++)
        if (strcmp(of_numbers[i], ast->text) == 0)
            return number_call(t, ast->text, &args);
    return other_call(t, ast->text, &args);
}

/* --- names ---------------------------------------------------------------------------------- */

static struct ref_node *type_name(struct typer *t, const char *name, bool is_raw)
{
    const struct pack *pack = t->p->pack;

    for (uint32_t i = 0; t->scope && i < t->scope->macro->param_count; i++)
        if (strcmp(t->scope->macro->params[i], name) == 0)
            return is_raw ? signal_node(t, t->scope->args[i]->bare, true) : t->scope->args[i];
    for (uint32_t i = 0; i < pack->signal_count; i++)
        if (strcmp(pack->signals[i].name, name) == 0)
            return signal_node(t, signal_of(t, name, pack->signals[i].from.node->text,
                                            &pack->signals[i]), is_raw);
    for (uint32_t i = 0; i < pack->macro_count; i++)
        if (strcmp(pack->macros[i].name, name) == 0) {
            struct scope scope = { t->scope, &pack->macros[i], NULL };
            t->scope = &scope;
            struct ref_node *n = type_ast(t, pack->macros[i].body);
            t->scope = scope.up;
            return n;
        }
    return give_up(t, "no name '%s'", name);
}

static struct ref_node *type_path(struct typer *t, const struct ast *ast)
{
    char text[160];

    if (ast->part_count == 1)
        return type_name(t, ast->parts[0], ast->is_raw);
    int len = snprintf(text, sizeof text, "%s%s%s.%s", ast->bus ? ast->bus : "",
                       ast->bus ? ":" : "", ast->parts[0], ast->parts[1]);
    const char *path = arena_text(&t->p->arena, text, (size_t)len);
    return signal_node(t, signal_of(t, path, path, NULL), ast->is_raw);
}

static struct ref_node *type_param(struct typer *t, const struct ast *ast)
{
    const struct pack *pack = t->p->pack;

    for (uint32_t i = 0; i < pack->param_count; i++)
        if (strcmp(pack->params[i].name, ast->text) == 0)
            return type_ast(t, pack->params[i].value);
    return give_up(t, "no param '%s'", ast->text);
}

static struct ref_node *type_logic(struct typer *t, const struct ast *ast)
{
    struct ref_node *n = type_ast(t, ast->first);

    for (const struct ast *k = ast->first->next; k && n; k = k->next) {
        struct ref_node *next = type_ast(t, k);
        n = next ? with(t, ast->kind == AST_AND ? X_AND : X_OR, REF_BOOL, NULL, n, next) : NULL;
    }
    return n;
}

static struct ref_node *type_seq(struct typer *t, const struct ast *ast)
{
    struct ref_node *kids[REF_KIDS_MAX];
    uint32_t count = 0;
    bool is_absence = false;

    for (const struct ast *k = ast->first; k; k = k->next) {
        if (!(kids[count++] = type_ast(t, k)))
            return NULL;
        is_absence = k->is_absence;
    }
    struct ref_node *n = node(t, is_absence ? X_THEN_NOT : X_THEN, REF_BOOL, NULL);
    n->total = ast->total_ns;
    for (const struct ast *k = ast->first; k; k = k->next) {
        n->within[n->kid_count] = k->within_ns;
        n->kids[n->kid_count] = kids[n->kid_count];
        n->kid_count++;
    }
    return n;
}

static struct ref_node *type_label(struct typer *t, const struct ast *ast)
{
    struct ref_node *n = node(t, X_CONST, REF_LABEL, NULL);

    n->is_const = true;
    n->label = ast->text;
    return n;
}

static struct ref_node *type_ast(struct typer *t, const struct ast *ast)
{
    switch (ast->kind) {
    case AST_NUMBER: return ast->is_integer ? whole(t, ast->integer, &ast->unit)
                                            : number(t, ast->number, &ast->unit);
    case AST_BOOL: return boolean(t, ast->flag);
    case AST_LABEL: return type_label(t, ast);
    case AST_PARAM: return type_param(t, ast);
    case AST_PATH: return type_path(t, ast);
    case AST_CALL: return type_call(t, ast);
    case AST_OR:
    case AST_AND: return type_logic(t, ast);
    case AST_SEQ: return type_seq(t, ast);
    case AST_NOT: return negated(t, type_ast(t, ast->first), ast->flag);
    case AST_COMPARE: return type_compare(t, ast);
    case AST_IN_SET: return in_items(t, ast, ast->first->next);
    case AST_IN_RANGE: return type_in_range(t, ast);
    case AST_IN_LIST: return type_in_list(t, ast);
    case AST_IS: return type_is(t, ast);
    case AST_SUM:
    case AST_TERM: return type_chain(t, ast);
    case AST_COAL: return type_coal(t, ast);
    case AST_NEGATE: return type_negate(t, ast);
    default: return give_up(t, "the evaluator does not know this kind of expression");
    }
}

/* --- a pack --------------------------------------------------------------------------------- */

static uint32_t pulses_above(const struct ref_node *n)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < n->kid_count; i++) {
        uint32_t depth = pulses_above(n->kids[i]);
        most = depth > most ? depth : most;
    }
    return most + (n->op == X_RISE || n->op == X_FALL || n->op == X_CHANGED || n->op == X_THEN ||
                   n->op == X_THEN_NOT);
}

static bool type_rule(struct typer *t, struct ref_rule *r, const struct pack_rule *from)
{
    r->rule = &from->rule;
    r->when = type_ast(t, from->when);
    r->not_when = negated(t, r->when, true);
    if (!r->when)
        return false;
    for (uint32_t i = 0; i < from->rule.unless_count; i++)
        if (!(r->unless[i] = type_ast(t, from->unless[i].body)))
            return false;
    for (uint32_t i = 0; i < from->rule.attach_count; i++)
        if (!(r->attach[i] = type_ast(t, from->attach[i].body)))
            return false;
    return true;
}

bool ref_open(struct ref_pack *p, const char *text, const struct dbset *dbset)
{
    struct diags diags = { 0 };
    struct err err = { 0 };
    struct typer t = { .p = p };

    memset(p, 0, sizeof *p);
    p->dbset = dbset;
    arena_init(&p->arena, 64u << 20);
    p->pack = calloc(1, sizeof *p->pack);
    if (!p->pack || yaml_open(text, strlen(text), "pack.yaml", &err, &p->tree) ||
        pack_read(p->pack, p->tree, &p->arena, dbset, 0, &diags) || diags.errors)
        return give_up(&t, "the pack does not read") != NULL;
    p->signal_room = p->pack->signal_count + 64;
    p->signals = arena_array(&p->arena, p->signal_room, sizeof *p->signals);
    p->rules = arena_array(&p->arena, p->pack->rule_count + 1, sizeof *p->rules);
    if (!p->signals || !p->rules)
        abort();
    for (uint32_t i = 0; i < p->pack->rule_count; i++) {
        if (!type_rule(&t, &p->rules[p->rule_count++], &p->pack->rules[i]))
            return give_up(&t, "rule %u", i) != NULL;
    }
    for (const struct ref_node *n = p->first; n; n = n->next) {
        uint32_t depth = pulses_above(n);
        p->pulse_depth = depth > p->pulse_depth ? depth : p->pulse_depth;
    }
    return true;
}

void ref_close(struct ref_pack *p)
{
    yaml_close(p->tree);
    free(p->pack);
    arena_deinit(&p->arena);
}
