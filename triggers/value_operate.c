/* Comparisons and arithmetic of values: folded when constant, exact where the raw bits allow it. */
#include "triggers/compile.h"

#include <math.h>

#define NONE ((union node_constant){ 0 })

/* --- comparisons ---------------------------------------------------------------------------- */

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

static struct val compare_constants(enum ast_op op, const struct val *a, const struct val *b)
{
    bool both_int = a->type != VAL_NUM && b->type != VAL_NUM;
    double x = val_const_number(a), y = val_const_number(b);
    bool less = both_int ? a->i < b->i : x < y, more = both_int ? a->i > b->i : x > y;

    if (a->type == VAL_BOOL) {
        less = a->logic < b->logic;
        more = a->logic > b->logic;
    }
    switch (op) {
    case OP_LT: return val_bool(less);
    case OP_LE: return val_bool(!more);
    case OP_GT: return val_bool(more);
    case OP_GE: return val_bool(!less);
    case OP_EQ: return val_bool(!less && !more);
    default: return val_bool(less || more);
    }
}

static struct val compare_bool(struct compiler *c, enum ast_op op, struct val a, struct val b,
                               const struct ast *ast)
{
    if (op != OP_EQ && op != OP_NE) {
        compile_error(c, ast->op_offset, "E304", "conditions have no order; use == or !=");
        return val_bad();
    }
    struct val equal = val_or(c, val_and(c, a, b), val_and(c, val_not(c, a), val_not(c, b)));
    return op == OP_EQ ? equal : val_not(c, equal);
}

/* A signal whose raw value is an integer, against a constant. */
static struct val compare_raw(struct compiler *c, enum ast_op op, struct val a, struct val b,
                              const struct ast *ast)
{
    struct raw_bounds r;

    if (a.is_raw || a.type == VAL_ENUM) {
        struct binding plain = *a.binding; /* raw numbers: as if factor 1, offset 0, no unit */
        struct dbc_signal dbc = *plain.dbc;
        dbc.layout.factor = 1;
        dbc.layout.offset = 0;
        dbc.layout.factor_integral = dbc.layout.offset_integral = true;
        dbc.layout.factor_int = 1;
        dbc.layout.offset_int = 0;
        plain.dbc = &dbc;
        plain.db_unit = b.unit = unit_none();
        if (b.type == VAL_ENUM)
            b.type = VAL_INT;
        r = exact_bounds(&plain, op, &b);
    } else {
        r = exact_bounds(a.binding, op, &b);
    }
    if (r.off_grid) {
        compile_error(c, ast->op_offset, "E305",
                      "'%s' moves in steps of %.15g %s and is never equal to this (nearest: %.15g "
                      "and %.15g); use near(a, b, tol: ...)", a.binding->name,
                      a.is_raw ? 1 : fabs(a.binding->dbc->layout.factor),
                      a.binding->db_unit.text, r.below, r.above);
        return val_bad();
    }
    if (r.is_empty || r.is_full)
        compile_warning(c, ast->op_offset, "W711",
                  (r.is_empty) == (op != OP_NE)
                      ? "always false: the signal's bits cannot hold such a value"
                      : "always true: the signal's bits hold no other value");
    union node_constant low = { .u = r.low }, high = { .u = r.high };
    struct val v = val_from_node(VAL_BOOL, graph_leaf(c->graph, NODE_RAW_IN, TYPE_LOGIC,
                                                      a.binding->signal, low, high), NULL);
    return op == OP_NE ? val_not(c, v) : v;
}

static struct val compare_nodes(struct compiler *c, enum ast_op op, struct val a, struct val b,
                                const struct ast *ast)
{
    bool ints = a.type != VAL_NUM && b.type != VAL_NUM;

    if (!ints && (op == OP_EQ || op == OP_NE)) {
        compile_error(c, ast->op_offset, "E304",
                      "%s between computed numbers is a matter of rounding; use "
                      "near(a, b, tol: ...)", op == OP_EQ ? "==" : "!=");
        return val_bad();
    }
    if (op == OP_GT || op == OP_GE) {
        struct val swap = a;
        a = b;
        b = swap;
        op = mirrored(op);
    }
    int32_t left = ints ? val_node(c, &a) : val_num_node(c, &a);
    int32_t right = ints ? val_node(c, &b) : val_num_node(c, &b);
    enum node_op node_op = op == OP_LT ? (ints ? NODE_INT_LT : NODE_LT)
        : op == OP_LE ? (ints ? NODE_INT_LE : NODE_LE) : NODE_INT_EQ;
    struct val v = val_from_node(VAL_BOOL, graph_op(c->graph, node_op, TYPE_LOGIC, left, right,
                                                    NODE_NONE), NULL);
    return op == OP_NE ? val_not(c, v) : v;
}

/* At exactly the bound a step still counts as younger, the timer there no longer (decision 1), so
 * `>` and `>=` are one and the same. */
static struct val compare_age(struct compiler *c, enum ast_op op, struct val a, struct val b,
                              const struct ast *ast)
{
    static const struct unit second = { .dim = { [DIM_S] = 1 }, .num = 1, .den = 1, .text = "s" };

    if (!b.is_const || !val_is_number(&b) || !unit_same_quantity(&b.unit, &second)) {
        compile_error(c, ast->offset, "E504", "age() compares with a constant duration only");
        return val_bad();
    }
    b = val_convert(c, b, &second);
    double ns = floor(val_const_number(&b) * 1e9 + 0.5);
    if (op == OP_EQ || op == OP_NE || !(ns >= 0) || ns > 1e18) {
        compile_error(c, ast->op_offset, "E504", "age() compares by <, <=, > and >= with a "
                      "duration of at least 0");
        return val_bad();
    }
    int32_t node = graph_leaf(c->graph, NODE_AGE_OVER, TYPE_LOGIC, a.binding->signal,
                              (union node_constant){ .i = (int64_t)ns }, NONE);
    struct val over = val_from_node(VAL_BOOL, node, NULL);
    return op == OP_GT || op == OP_GE ? over : val_not(c, over);
}

struct val val_compare(struct compiler *c, enum ast_op op, struct val a, struct val b,
                       const struct ast *ast)
{
    if (a.type == VAL_BAD || b.type == VAL_BAD)
        return val_bad();
    if (b.is_age || (a.is_const && !b.is_const)) {
        struct val swap = a;
        a = b;
        b = swap;
        op = mirrored(op);
    }
    if (a.is_age)
        return compare_age(c, op, a, b, ast);
    /* The exact path looks at the constant as it was written: units are converted there. */
    struct val written = b;
    if (!val_unify(c, &a, &b, "compare", ast))
        return val_bad();
    if (a.type == VAL_ENUM && op != OP_EQ && op != OP_NE) {
        compile_error(c, ast->op_offset, "E306", "labels have no order; use ==, != or in");
        return val_bad();
    }
    if (a.is_const && b.is_const)
        return compare_constants(op, &a, &b);
    if (a.type == VAL_BOOL)
        return compare_bool(c, op, a, b, ast);
    if (a.binding && b.is_const && (a.is_raw || !a.binding->is_float))
        return compare_raw(c, op, a, val_is_number(&b) ? written : b, ast);
    return compare_nodes(c, op, a, b, ast);
}

/* --- arithmetic ----------------------------------------------------------------------------- */

static bool is_offset_unit(const struct unit *unit)
{
    return unit->offset > 0 || unit->offset < 0;
}

static struct val checked_number(struct compiler *c, double value, const struct unit *unit,
                                 const struct ast *ast)
{
    if (isfinite(value))
        return val_num(value, unit);
    compile_error(c, ast->offset, "E311", "this constant is no finite number (a division by zero?)");
    return val_bad();
}

static struct val arithmetic(struct compiler *c, enum node_op int_op, enum node_op num_op,
                             struct val a, struct val b, const struct unit *unit)
{
    if (a.type == VAL_INT && b.type == VAL_INT && int_op != NODE_OP_COUNT)
        return val_from_node(VAL_INT, graph_op(c->graph, int_op, TYPE_INT, val_node(c, &a),
                                               val_node(c, &b), NODE_NONE), unit);
    return val_from_node(VAL_NUM, graph_op(c->graph, num_op, TYPE_NUM, val_num_node(c, &a),
                                           val_num_node(c, &b), NODE_NONE), unit);
}

static bool need_number(struct compiler *c, const struct val *v, const char *verb,
                        const struct ast *ast)
{
    if (!val_plain(c, v, ast))
        return false;
    if (val_is_number(v))
        return true;
    compile_error(c, ast->offset, "E303", "cannot %s %s", verb, val_describe(v));
    return false;
}

struct val val_sum(struct compiler *c, bool minus, struct val a, struct val b,
                   const struct ast *ast)
{
    const char *verb = minus ? "subtract" : "add";
    int64_t sum;

    if (!need_number(c, &a, verb, ast) || !need_number(c, &b, verb, ast))
        return val_bad();
    if (is_offset_unit(&a.unit) || is_offset_unit(&b.unit)) {
        compile_error(c, ast->op_offset, "E404", "cannot %s temperatures in %s; compare them, or "
                      "declare the signal in K", verb, is_offset_unit(&a.unit) ? a.unit.text
                                                                               : b.unit.text);
        return val_bad();
    }
    if (!val_unify(c, &a, &b, minus ? "subtract" : "add", ast))
        return val_bad();
    if (a.is_const && b.is_const) {
        if (a.type == VAL_INT && b.type == VAL_INT &&
            !(minus ? __builtin_sub_overflow(a.i, b.i, &sum)
                    : __builtin_add_overflow(a.i, b.i, &sum))) {
            a.i = sum;
            return a;
        }
        double x = val_const_number(&a), y = val_const_number(&b);
        return checked_number(c, minus ? x - y : x + y, &a.unit, ast);
    }
    return arithmetic(c, minus ? NODE_INT_SUB : NODE_INT_ADD, minus ? NODE_SUB : NODE_ADD, a, b,
                      &a.unit);
}

struct val val_negate(struct compiler *c, struct val v, const struct ast *ast)
{
    if (!need_number(c, &v, "negate", ast))
        return val_bad();
    if (v.is_const) {
        if (v.type == VAL_INT && v.i != INT64_MIN)
            v.i = -v.i;
        else
            v = val_num(-val_const_number(&v), &v.unit);
        return v;
    }
    if (is_offset_unit(&v.unit)) {
        compile_error(c, ast->offset, "E404", "cannot negate a temperature in %s", v.unit.text);
        return val_bad();
    }
    bool is_int = v.type == VAL_INT;
    int32_t node = graph_op(c->graph, is_int ? NODE_INT_NEG : NODE_NEG, is_int ? TYPE_INT : TYPE_NUM,
                            val_node(c, &v), NODE_NONE, NODE_NONE);
    return val_from_node(v.type, node, &v.unit);
}

/* The unit with ratio 1 of the same dimensions. */
static struct val to_si(struct compiler *c, struct val v)
{
    struct unit none = unit_none(), si;

    if (v.unit.is_opaque || !unit_product(&v.unit, &none, 1, &si))
        return v;
    return val_convert(c, v, &si);
}

struct val val_product(struct compiler *c, bool divide, struct val a, struct val b,
                          const struct ast *ast)
{
    struct unit unit;
    int64_t whole;

    if (!need_number(c, &a, divide ? "divide" : "multiply", ast) ||
        !need_number(c, &b, divide ? "divide" : "multiply", ast))
        return val_bad();
    if (a.unit.is_opaque && unit_is_none(&b.unit))
        unit = a.unit;
    else if (b.unit.is_opaque && unit_is_none(&a.unit) && !divide)
        unit = b.unit;
    else if (!unit_product(&a.unit, &b.unit, divide ? -1 : 1, &unit)) {
        compile_error(c, ast->op_offset, "E405", "cannot %s %s and %s", divide ? "divide"
                                                                               : "multiply",
                      val_describe(&a), val_describe(&b));
        return val_bad();
    }
    a = to_si(c, a);
    b = to_si(c, b);
    if (a.is_const && b.is_const) {
        if (!divide && a.type == VAL_INT && b.type == VAL_INT &&
            !__builtin_mul_overflow(a.i, b.i, &whole)) {
            a.i = whole;
            a.unit = unit;
            return a;
        }
        double x = val_const_number(&a), y = val_const_number(&b);
        return checked_number(c, divide ? x / y : x * y, &unit, ast);
    }
    return arithmetic(c, divide ? NODE_OP_COUNT : NODE_INT_MUL, divide ? NODE_DIV : NODE_MUL, a, b,
                      &unit);
}
