#include "triggers/compile.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#define NONE ((union node_constant){ 0 })

/* --- messages ------------------------------------------------------------------------------- */

void compile_error(struct compiler *c, uint32_t offset, const char *code, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    size_t at;
    va_list args;

    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    at = len < 0 ? 0 : (size_t)len;
    for (const struct scope *s = c->scope; s && at < sizeof text - 1; s = s->up) {
        uint32_t line, column;
        yaml_place(s->caller.tree, s->caller.node, s->caller_offset, &line, &column);
        len = snprintf(text + at, sizeof text - at, " (in macro '%s', used at %u:%u)",
                       s->macro->name, line, column);
        at += len < 0 ? 0 : (size_t)len;
    }
    source_error(c->pack->diags, &c->text, offset, code, "%s", text);
}

static void warn_here(struct compiler *c, uint32_t offset, const char *code, const char *text)
{
    uint32_t line, column;

    yaml_place(c->text.tree, c->text.node, offset, &line, &column);
    pack_warning(c->pack, line, column, code, "%s", text);
}

const char *val_describe(const struct val *v)
{
    switch (v->type) {
    case VAL_BOOL: return "a condition";
    case VAL_ENUM: return "an enum";
    case VAL_LABEL: return "a label";
    case VAL_INT:
    case VAL_NUM: return v->unit.text[0] ? v->unit.text : "a number without unit";
    default: return "nothing";
    }
}

/* --- making values -------------------------------------------------------------------------- */

struct val val_bad(void)
{
    return (struct val){ .type = VAL_BAD, .node = NODE_NONE };
}

struct val val_bool(bool value)
{
    return (struct val){ .type = VAL_BOOL, .is_const = true, .node = NODE_NONE,
                         .logic = value ? LOGIC_T : LOGIC_F, .unit = unit_none() };
}

struct val val_int(int64_t value)
{
    return (struct val){ .type = VAL_INT, .is_const = true, .node = NODE_NONE, .i = value,
                         .unit = unit_none() };
}

struct val val_num(double value, const struct unit *unit)
{
    return (struct val){ .type = VAL_NUM, .is_const = true, .node = NODE_NONE, .d = value,
                         .unit = *unit };
}

struct val val_from_node(enum val_type type, int32_t node, const struct unit *unit)
{
    return (struct val){ .type = node == NODE_NONE ? VAL_BAD : type, .node = node,
                         .unit = unit ? *unit : unit_none() };
}

bool val_is_number(const struct val *v)
{
    return v->type == VAL_INT || v->type == VAL_NUM;
}

static double const_double(const struct val *v)
{
    return v->type == VAL_INT ? (double)v->i : v->d;
}

static int32_t constant_node(struct compiler *c, const struct val *v)
{
    union node_constant k = { 0 };

    if (v->type == VAL_BOOL) {
        k.i = v->logic;
        return graph_leaf(c->graph, NODE_LOGIC, TYPE_LOGIC, NODE_NONE, k, NONE);
    }
    if (v->type == VAL_NUM) {
        k.d = v->d;
        return graph_leaf(c->graph, NODE_NUM, TYPE_NUM, NODE_NONE, k, NONE);
    }
    k.i = v->i;
    return graph_leaf(c->graph, NODE_INT, TYPE_INT, NODE_NONE, k, NONE);
}

static int32_t convert_node(struct compiler *c, int32_t node, const struct unit *from,
                            const struct unit *to)
{
    union node_constant mul = { 0 }, div = { 0 }, add = { 0 };

    unit_conversion(from, to, &mul.d, &div.d, &add.d);
    if (mul.d < div.d || mul.d > div.d)
        node = graph_op_const(c->graph, NODE_SCALE, TYPE_NUM, node, mul, div);
    if (add.d < 0 || add.d > 0)
        node = graph_op_const(c->graph, NODE_SHIFT, TYPE_NUM, node, add, NONE);
    return node;
}

static int32_t signal_node(struct compiler *c, struct val *v)
{
    const struct binding *b = v->binding;
    union node_constant one = { .u = 1 };

    assert(b); /* what is neither constant nor a node yet is a signal */
    if (v->type == VAL_BOOL)
        return graph_leaf(c->graph, NODE_RAW_IN, TYPE_LOGIC, b->signal, one, one);
    if (v->type == VAL_NUM) {
        int32_t node = graph_leaf(c->graph, NODE_SIGNAL_NUM, TYPE_NUM, b->signal, NONE, NONE);
        return v->is_converted ? convert_node(c, node, &b->db_unit, &b->unit) : node;
    }
    return graph_leaf(c->graph, NODE_SIGNAL_INT, TYPE_INT, b->signal, NONE, NONE);
}

int32_t val_node(struct compiler *c, struct val *v)
{
    if (v->node == NODE_NONE)
        v->node = v->is_const ? constant_node(c, v) : signal_node(c, v);
    return v->node;
}

int32_t val_num_node(struct compiler *c, struct val *v)
{
    if (v->type == VAL_NUM)
        return val_node(c, v);
    if (v->is_const) {
        struct val number = val_num((double)v->i, &v->unit);
        return constant_node(c, &number);
    }
    return graph_op(c->graph, NODE_FROM_INT, TYPE_NUM, val_node(c, v), NODE_NONE, NODE_NONE);
}

bool val_plain(struct compiler *c, const struct val *v, const struct ast *ast)
{
    if (v->type == VAL_BAD)
        return false;
    if (v->is_age)
        compile_error(c, ast->offset, "E504",
                      "age() may only be compared with a constant or stand alone in 'attach'");
    return !v->is_age;
}

/* --- logic ---------------------------------------------------------------------------------- */

struct val val_not(struct compiler *c, struct val v)
{
    if (v.type == VAL_BAD)
        return v;
    if (v.is_const)
        return val_bool(v.logic == LOGIC_F);
    int32_t node = val_node(c, &v);
    /* not (not x) is x. */
    if (node >= 0 && c->graph->nodes[node].op == NODE_NOT)
        return val_from_node(VAL_BOOL, c->graph->nodes[node].child[0], NULL);
    return val_from_node(VAL_BOOL, graph_op(c->graph, NODE_NOT, TYPE_LOGIC, node, NODE_NONE,
                                            NODE_NONE), NULL);
}

/* Two intervals of one signal are one: what chains and `in [a..b]` compile to. */
static int32_t and_nodes(struct compiler *c, int32_t a, int32_t b)
{
    if (a < 0 || b < 0)
        return NODE_NONE;
    const struct node x = c->graph->nodes[a], y = c->graph->nodes[b];
    if (x.op == NODE_RAW_IN && y.op == NODE_RAW_IN && x.signal == y.signal) {
        union node_constant low = x.k0.u > y.k0.u ? x.k0 : y.k0;
        union node_constant high = x.k1.u < y.k1.u ? x.k1 : y.k1;
        return graph_leaf(c->graph, NODE_RAW_IN, TYPE_LOGIC, x.signal, low, high);
    }
    return a == b ? a : graph_op(c->graph, NODE_AND, TYPE_LOGIC, a, b, NODE_NONE);
}

struct val val_and(struct compiler *c, struct val a, struct val b)
{
    if (a.type == VAL_BAD || b.type == VAL_BAD)
        return val_bad();
    if (a.is_const)
        return a.logic == LOGIC_F ? a : b;
    if (b.is_const)
        return b.logic == LOGIC_F ? b : a;
    int32_t left = val_node(c, &a), right = val_node(c, &b);
    return val_from_node(VAL_BOOL, and_nodes(c, left, right), NULL);
}

struct val val_or(struct compiler *c, struct val a, struct val b)
{
    if (a.type == VAL_BAD || b.type == VAL_BAD)
        return val_bad();
    if (a.is_const)
        return a.logic == LOGIC_T ? a : b;
    if (b.is_const)
        return b.logic == LOGIC_T ? b : a;
    int32_t left = val_node(c, &a), right = val_node(c, &b);
    if (left == right)
        return a;
    return val_from_node(VAL_BOOL, graph_op(c->graph, NODE_OR, TYPE_LOGIC, left, right, NODE_NONE),
                         NULL);
}

/* --- units ---------------------------------------------------------------------------------- */

struct val val_convert(struct compiler *c, struct val v, const struct unit *unit)
{
    double mul, div, add;

    if (v.type == VAL_BAD || unit_equal(&v.unit, unit) || unit->is_opaque) {
        v.unit = *unit;
        return v;
    }
    unit_conversion(&v.unit, unit, &mul, &div, &add);
    if (v.is_const)
        return val_num(const_double(&v) * mul / div + add, unit);
    int32_t node = convert_node(c, val_num_node(c, &v), &v.unit, unit);
    return val_from_node(VAL_NUM, node, unit);
}

/* A bare number beside one with a unit: nearly always a unit forgotten. */
static bool lacks_unit(const struct val *literal, const struct val *other)
{
    return literal->is_const && unit_is_none(&literal->unit) && !unit_is_none(&other->unit) &&
           !other->unit.is_opaque;
}

static void say_unit(struct compiler *c, const struct val *literal, const struct val *other,
                     const struct ast *ast)
{
    char number[32];

    if (literal->type == VAL_INT)
        (void)snprintf(number, sizeof number, "%lld", (long long)literal->i);
    else
        (void)snprintf(number, sizeof number, "%.15g", literal->d);
    compile_error(c, ast->offset, "E401", "%s%s%s has unit %s; write %s %s",
                  other->binding ? "'" : "", other->binding ? other->binding->name : "the other side",
                  other->binding ? "'" : "", other->unit.text, number, other->unit.text);
}

static bool unify_numbers(struct compiler *c, struct val *a, struct val *b, const char *verb,
                          const struct ast *ast)
{
    if (lacks_unit(b, a) || lacks_unit(a, b)) {
        bool second = lacks_unit(b, a);
        say_unit(c, second ? b : a, second ? a : b, ast);
        return false;
    }
    if (a->unit.is_opaque && b->is_const && unit_is_none(&b->unit))
        b->unit = a->unit;
    if (b->unit.is_opaque && a->is_const && unit_is_none(&a->unit))
        a->unit = b->unit;
    if (!unit_same_quantity(&a->unit, &b->unit)) {
        compile_error(c, ast->offset, "E403", "cannot %s %s with %s", verb, val_describe(a),
                      val_describe(b));
        return false;
    }
    *b = val_convert(c, *b, &a->unit);
    return true;
}

/* The raw value of a label of a table, in v. */
static bool label_value(struct compiler *c, struct val *v, const struct dbc_signal *table,
                        const struct ast *ast)
{
    const char *names[256];
    uint32_t found = 0, count = table->label_count < 256 ? table->label_count : 256;
    int64_t raw = 0;

    for (uint32_t i = 0; i < table->label_count; i++) {
        if (i < count)
            names[i] = table->labels[i].text;
        if (strcmp(table->labels[i].text, v->label) == 0) {
            raw = table->labels[i].raw;
            found++;
        }
    }
    if (found > 1)
        compile_error(c, ast->offset, "E310",
                      "label '%s' of '%s' stands for %u numbers; ask for the number by @raw",
                      v->label, table->name, found);
    if (!found) {
        const char *nearest = err_nearest(v->label, names, count);
        compile_error(c, ast->offset, "E212", "'%s' has no label '%s'%s%s%s", table->name,
                      v->label, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                      nearest ? "'?" : "");
    }
    if (found != 1)
        return false;
    *v = (struct val){ .type = VAL_ENUM, .is_const = true, .node = NODE_NONE, .i = raw,
                       .table = table, .unit = unit_none() };
    return true;
}

static bool same_table(const struct dbc_signal *a, const struct dbc_signal *b)
{
    if (a == b || a->labels == b->labels)
        return true;
    if (a->label_count != b->label_count)
        return false;
    for (uint32_t i = 0; i < a->label_count; i++)
        if (a->labels[i].raw != b->labels[i].raw ||
            strcmp(a->labels[i].text, b->labels[i].text) != 0)
            return false;
    return true;
}

/* A bit may be compared with 0 and 1. */
static bool number_to_bool(struct compiler *c, struct val *v, const struct ast *ast)
{
    if (v->type == VAL_INT && v->is_const && unit_is_none(&v->unit) && (v->i == 0 || v->i == 1)) {
        *v = val_bool(v->i == 1);
        return true;
    }
    compile_error(c, ast->offset, "E304", "a condition compares with true, false, 0 or 1 only");
    return false;
}

bool val_unify(struct compiler *c, struct val *a, struct val *b, const char *verb,
               const struct ast *ast)
{
    if (!val_plain(c, a, ast) || !val_plain(c, b, ast))
        return false;
    if (val_is_number(a) && val_is_number(b))
        return unify_numbers(c, a, b, verb, ast);
    if (a->type == VAL_BOOL && val_is_number(b))
        return number_to_bool(c, b, ast);
    if (b->type == VAL_BOOL && val_is_number(a))
        return number_to_bool(c, a, ast);
    if (a->type == VAL_BOOL && b->type == VAL_BOOL)
        return true;
    if (a->type == VAL_ENUM && b->type == VAL_LABEL)
        return label_value(c, b, a->table, ast);
    if (a->type == VAL_LABEL && b->type == VAL_ENUM)
        return label_value(c, a, b->table, ast);
    if (a->type == VAL_ENUM && b->type == VAL_ENUM && same_table(a->table, b->table))
        return true;
    if (a->type == VAL_ENUM && b->type == VAL_ENUM)
        compile_error(c, ast->offset, "E308", "cannot %s enums of two different tables", verb);
    else if (a->type == VAL_ENUM || b->type == VAL_ENUM)
        compile_error(c, ast->offset, "E306", "cannot %s an enum with %s: write a label, or @raw "
                      "behind the signal", verb, val_describe(a->type == VAL_ENUM ? b : a));
    else
        compile_error(c, ast->offset, "E303", "cannot %s %s with %s", verb, val_describe(a),
                      val_describe(b));
    return false;
}

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
    double x = const_double(a), y = const_double(b);
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
        warn_here(c, ast->op_offset, "W711",
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
    double ns = floor(const_double(&b) * 1e9 + 0.5);
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
        double x = const_double(&a), y = const_double(&b);
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
            v = val_num(-const_double(&v), &v.unit);
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

static struct val product(struct compiler *c, bool divide, struct val a, struct val b,
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
        double x = const_double(&a), y = const_double(&b);
        return checked_number(c, divide ? x / y : x * y, &unit, ast);
    }
    return arithmetic(c, divide ? NODE_OP_COUNT : NODE_INT_MUL, divide ? NODE_DIV : NODE_MUL, a, b,
                      &unit);
}

/* --- expressions ---------------------------------------------------------------------------- */

static struct val from_binding(struct compiler *c, const struct binding *b, bool is_raw,
                               const struct ast *ast)
{
    struct val v = { .binding = b, .node = NODE_NONE, .unit = b->unit, .is_raw = is_raw };

    if (is_raw) {
        if (b->is_float || (b->dbc->layout.kind == DECODE_UNSIGNED && b->dbc->layout.bits == 64)) {
            compile_error(c, ast->offset, "E304", "'%s' has no raw integer of at most 63 bits",
                          b->name);
            return val_bad();
        }
        v.type = VAL_INT;
        v.unit = unit_none();
    } else if (b->kind == BIND_ENUM) {
        v.type = VAL_ENUM;
        v.table = b->dbc;
    } else if (b->kind == BIND_BOOL) {
        v.type = VAL_BOOL;
    } else {
        v.is_converted = !unit_equal(&b->unit, &b->db_unit);
        v.type = b->is_int && !v.is_converted ? VAL_INT : VAL_NUM;
    }
    return v;
}

static const struct val *find_argument(const struct compiler *c, const char *name)
{
    for (uint32_t i = 0; c->scope && i < c->scope->macro->param_count; i++)
        if (strcmp(c->scope->macro->params[i], name) == 0)
            return &c->scope->args[i];
    return NULL;
}

static struct val unknown_name(struct compiler *c, const struct ast *ast)
{
    const char *names[PACK_SIGNALS_MAX];
    uint32_t count = 0;
    const struct pack *p = c->pack;

    for (uint32_t i = 0; i < p->signal_count && count < PACK_SIGNALS_MAX; i++)
        names[count++] = p->signals[i].name;
    for (uint32_t i = 0; i < p->macro_count && count < PACK_SIGNALS_MAX; i++)
        if (!p->macros[i].param_count)
            names[count++] = p->macros[i].name;
    const char *nearest = err_nearest(ast->parts[0], names, count);
    compile_error(c, ast->offset, "E201", "unknown signal '%s'%s%s%s", ast->parts[0],
                  nearest ? "; did you mean '" : "", nearest ? nearest : "",
                  nearest ? "'?" : "");
    return val_bad();
}

static struct val expand(struct compiler *c, struct pack_macro *macro, const struct val *args,
                         uint32_t offset)
{
    struct scope scope = { c->scope, macro, args, c->text, offset };

    macro->is_used = true;
    if (!macro->body)
        return val_bad();
    if (macro->is_open || c->macro_depth == MACRO_DEPTH_MAX) {
        compile_error(c, offset, "E204", macro->is_open ? "macro '%s' uses itself"
                                                        : "macro '%s' is nested more than 16 deep",
                      macro->name);
        return val_bad();
    }
    macro->is_open = true;
    c->macro_depth++;
    c->scope = &scope;
    c->text = macro->text;
    struct val v = compile_ast(c, macro->body);
    c->text = scope.caller;
    c->scope = scope.up;
    c->macro_depth--;
    macro->is_open = false;
    return v;
}

static struct val compile_path(struct compiler *c, const struct ast *ast)
{
    struct pack *p = c->pack;

    if (!ast->is_quoted && !ast->bus && ast->part_count > 1 &&
        (strcmp(ast->text, "bus") == 0 || strcmp(ast->text, "model") == 0 ||
         strcmp(ast->text, "vehicle") == 0 || strcmp(ast->text, "Vehicle") == 0)) {
        char name[160];
        (void)snprintf(name, sizeof name, "%s.%s", ast->text, ast->parts[1]);
        refuse_later(p->diags, &c->text, ast->offset, name);
        return val_bad();
    }
    if (ast->part_count == 2) {
        const struct binding *b = bind_path(c, ast);
        return b ? from_binding(c, b, ast->is_raw, ast) : val_bad();
    }
    if (ast->part_count > 2 || ast->bus) {
        compile_error(c, ast->offset, "E201",
                      "expected an alias, or [bus:]Message.Signal with two parts");
        return val_bad();
    }
    const struct val *argument = find_argument(c, ast->parts[0]);
    if (argument && ast->is_raw) {
        if (argument->binding && !argument->is_age)
            return from_binding(c, argument->binding, true, ast);
        compile_error(c, ast->offset, "E304", "@raw stands behind a signal only");
        return val_bad();
    }
    if (argument)
        return *argument;
    for (uint32_t i = 0; i < p->signal_count; i++)
        if (strcmp(p->signals[i].name, ast->parts[0]) == 0) {
            const struct binding *b = bind_alias(c, &p->signals[i]);
            return b ? from_binding(c, b, ast->is_raw, ast) : val_bad();
        }
    for (uint32_t i = 0; i < p->macro_count; i++)
        if (strcmp(p->macros[i].name, ast->parts[0]) == 0) {
            if (p->macros[i].param_count || ast->is_raw) {
                compile_error(c, ast->offset, "E203", "macro '%s' takes %u arguments%s",
                              ast->parts[0], p->macros[i].param_count,
                              ast->is_raw ? " and has no @raw" : "");
                return val_bad();
            }
            return expand(c, &p->macros[i], NULL, ast->offset);
        }
    return unknown_name(c, ast);
}

/* A macro with arguments; compile_call hands over what is no function. */
static struct val compile_macro(struct compiler *c, const struct ast *ast, struct pack_macro *m)
{
    struct val args[MACRO_PARAMS_MAX];
    uint32_t i = 0;

    if (ast->child_count != m->param_count) {
        compile_error(c, ast->offset, "E203", "macro '%s' takes %u arguments, found %u", m->name,
                      m->param_count, ast->child_count);
        return val_bad();
    }
    for (const struct ast *child = ast->first; child; child = child->next, i++) {
        args[i] = compile_ast(c, child);
        if (args[i].type == VAL_BAD)
            return val_bad();
        /* A node made once is used everywhere in the body; a bare signal stays one. */
    }
    return expand(c, m, args, ast->offset);
}

static struct val compile_param(struct compiler *c, const struct ast *ast)
{
    struct pack *p = c->pack;
    const char *names[512];
    uint32_t count = 0;

    for (uint32_t i = 0; i < p->param_count; i++) {
        struct pack_param *param = &p->params[i];
        if (count < 512)
            names[count++] = param->name;
        if (strcmp(param->name, ast->text) != 0)
            continue;
        param->is_used = true;
        if (!param->value)
            return val_bad();
        return compile_text(c, &param->value_text, param->value);
    }
    for (uint32_t i = 0; i < p->list_count; i++)
        if (strcmp(p->lists[i].name, ast->text) == 0) {
            compile_error(c, ast->offset, "E206", "'$%s' is a list; it stands behind 'in'",
                          ast->text);
            return val_bad();
        }
    const char *nearest = err_nearest(ast->text, names, count);
    compile_error(c, ast->offset, "E206", "unknown param '$%s'%s%s%s", ast->text,
                  nearest ? "; did you mean '$" : "", nearest ? nearest : "",
                  nearest ? "'?" : "");
    return val_bad();
}

static bool need_bool(struct compiler *c, const struct val *v, const struct ast *ast)
{
    if (!val_plain(c, v, ast))
        return false;
    if (v->type == VAL_BOOL)
        return true;
    compile_error(c, ast->offset, "E302", "expected a condition, found %s; compare it with "
                  "something", val_describe(v));
    return false;
}

static struct val compile_logic(struct compiler *c, const struct ast *ast)
{
    bool is_and = ast->kind == AST_AND;
    struct val v = val_bool(is_and);
    bool bad = false;

    for (const struct ast *child = ast->first; child; child = child->next) {
        struct val next = compile_ast(c, child);
        if (!need_bool(c, &next, child)) {
            bad = true; /* go on: the other operands may hold errors too */
            continue;
        }
        v = is_and ? val_and(c, v, next) : val_or(c, v, next);
    }
    return bad ? val_bad() : v;
}

static bool is_downward(enum ast_op op)
{
    return op == OP_GT || op == OP_GE;
}

static struct val compile_compare(struct compiler *c, const struct ast *ast)
{
    const struct ast *first = ast->first, *second = first->next, *third = second->next;
    struct val a = compile_ast(c, first), b = compile_ast(c, second);

    if (third && (third->next || second->op == OP_EQ || second->op == OP_NE ||
                  third->op == OP_EQ || third->op == OP_NE ||
                  is_downward(second->op) != is_downward(third->op))) {
        compile_error(c, third->op_offset, "E101",
                      "a chain has two relations of one direction, like 3 < x <= 5");
        return val_bad();
    }
    struct val left = val_compare(c, second->op, a, b, second);
    if (!third)
        return left;
    struct val right = val_compare(c, third->op, b, compile_ast(c, third), third);
    return val_and(c, left, right);
}

static struct val negated(struct compiler *c, struct val v, bool is_not)
{
    return is_not ? val_not(c, v) : v;
}

static struct val compile_in_set(struct compiler *c, const struct ast *ast)
{
    struct val operand = compile_ast(c, ast->first), any = val_bool(false);

    for (const struct ast *item = ast->first->next; item; item = item->next)
        any = val_or(c, any, val_compare(c, OP_EQ, operand, compile_ast(c, item), item));
    return negated(c, any, ast->flag);
}

static struct val compile_in_range(struct compiler *c, const struct ast *ast)
{
    const struct ast *low = ast->first->next, *high = low->next;
    struct val operand = compile_ast(c, ast->first);
    struct val from = val_compare(c, ast->open_low ? OP_GT : OP_GE, operand, compile_ast(c, low),
                                  low);
    struct val to = val_compare(c, ast->open_high ? OP_LT : OP_LE, operand, compile_ast(c, high),
                                high);

    return negated(c, val_and(c, from, to), ast->flag);
}

static struct pack_list *find_list(struct compiler *c, const struct ast *ast)
{
    const char *names[512];
    uint32_t count = 0;

    for (uint32_t i = 0; i < c->pack->list_count; i++) {
        if (strcmp(c->pack->lists[i].name, ast->text) == 0)
            return &c->pack->lists[i];
        if (count < 512)
            names[count++] = c->pack->lists[i].name;
    }
    const char *nearest = err_nearest(ast->text, names, count);
    compile_error(c, ast->op_offset, "E206", "unknown list '$%s'%s%s%s", ast->text,
                  nearest ? "; did you mean '$" : "", nearest ? nearest : "",
                  nearest ? "'?" : "");
    return NULL;
}

static struct val compile_in_list(struct compiler *c, const struct ast *ast)
{
    struct val operand = compile_ast(c, ast->first), any = val_bool(false);
    struct pack_list *list = find_list(c, ast);

    if (!list || operand.type == VAL_BAD)
        return val_bad();
    list->is_used = true;
    uint32_t i = 0;
    for (const struct ast *item = list->items; item; item = item->next, i++) {
        /* Errors of an item belong to the place where the list is used: the list may suit others. */
        struct ast at = *item;
        at.offset = at.op_offset = ast->op_offset;
        any = val_or(c, any, val_compare(c, OP_EQ, operand, compile_ast(c, item), &at));
    }
    return negated(c, any, ast->flag);
}

static struct val compile_is(struct compiler *c, const struct ast *ast)
{
    static const struct { const char *name; int64_t mask; } states[] = {
        { "known", 1 << SIGNAL_KNOWN },
        { "unknown", 1 << SIGNAL_MISSING | 1 << SIGNAL_STALE | 1 << SIGNAL_INVALID },
        { "stale", 1 << SIGNAL_STALE }, { "missing", 1 << SIGNAL_MISSING },
        { "invalid", 1 << SIGNAL_INVALID },
    };
    struct val v = compile_ast(c, ast->first);
    size_t which = 0;

    if (!val_plain(c, &v, ast))
        return val_bad();
    while (strcmp(states[which].name, ast->text) != 0)
        which++;
    if (v.binding) {
        int32_t node = graph_leaf(c->graph, NODE_STATE, TYPE_LOGIC, v.binding->signal,
                                  (union node_constant){ .i = states[which].mask }, NONE);
        return negated(c, val_from_node(VAL_BOOL, node, NULL), ast->flag);
    }
    if (which > 1) {
        compile_error(c, ast->op_offset, "E304", "'is %s' asks about a signal, not an expression",
                      ast->text);
        return val_bad();
    }
    if (v.is_const || v.type == VAL_LABEL)
        return val_bool((which == 0) != ast->flag);
    int32_t node = graph_op(c->graph, NODE_KNOWN, TYPE_LOGIC, val_node(c, &v), NODE_NONE,
                            NODE_NONE);
    return negated(c, val_from_node(VAL_BOOL, node, NULL), (which == 1) != ast->flag);
}

static struct val compile_chain(struct compiler *c, const struct ast *ast)
{
    struct val v = compile_ast(c, ast->first);

    for (const struct ast *next = ast->first->next; next; next = next->next) {
        struct val operand = compile_ast(c, next);
        if (v.type == VAL_BAD || operand.type == VAL_BAD)
            return val_bad();
        if (ast->kind == AST_SUM)
            v = val_sum(c, next->op == OP_SUB, v, operand, next);
        else
            v = product(c, next->op == OP_DIV, v, operand, next);
    }
    return v;
}

static struct val compile_coal(struct compiler *c, const struct ast *ast)
{
    struct val v = compile_ast(c, ast->first);

    for (const struct ast *next = ast->first->next; next; next = next->next) {
        struct val operand = compile_ast(c, next);
        if (v.type == VAL_BAD || operand.type == VAL_BAD)
            return val_bad();
        if (v.is_const)
            continue;
        if (!val_unify(c, &v, &operand, "replace", next))
            return val_bad();
        enum val_type type = v.type == VAL_INT && operand.type == VAL_NUM ? VAL_NUM : v.type;
        enum node_type node_type = type == VAL_BOOL ? TYPE_LOGIC : type == VAL_NUM ? TYPE_NUM
                                                                                   : TYPE_INT;
        int32_t a = type == VAL_NUM ? val_num_node(c, &v) : val_node(c, &v);
        int32_t b = type == VAL_NUM ? val_num_node(c, &operand) : val_node(c, &operand);
        const struct dbc_signal *table = v.table;
        v = val_from_node(type, graph_op(c->graph, NODE_COAL, node_type, a, b, NODE_NONE), &v.unit);
        v.table = table;
    }
    return v;
}

static struct val compile_literal(const struct ast *ast)
{
    struct val v = ast->is_integer ? val_int(ast->integer) : val_num(ast->number, &ast->unit);

    v.unit = ast->unit;
    return v;
}

static struct val compile_not(struct compiler *c, const struct ast *ast)
{
    struct val v = compile_ast(c, ast->first);

    if (!need_bool(c, &v, ast->first))
        return val_bad();
    return ast->flag ? val_not(c, v) : v;
}

static struct val compile_named_call(struct compiler *c, const struct ast *ast)
{
    for (uint32_t i = 0; i < c->pack->macro_count; i++)
        if (strcmp(c->pack->macros[i].name, ast->text) == 0)
            return compile_macro(c, ast, &c->pack->macros[i]);
    return compile_call(c, ast);
}

/* In the language, but not in this version. */
static struct val compile_later(struct compiler *c, uint32_t offset, const char *what)
{
    refuse_later(c->pack->diags, &c->text, offset, what);
    return val_bad();
}

struct val compile_ast(struct compiler *c, const struct ast *ast)
{
    if (++c->operations > RULE_OPERATIONS_MAX) {
        if (c->operations == RULE_OPERATIONS_MAX + 1)
            compile_error(c, ast->offset, "E601",
                          "the rule has more than 512 operations once its macros are expanded");
        return val_bad();
    }
    switch (ast->kind) {
    case AST_NUMBER: return compile_literal(ast);
    case AST_BOOL: return val_bool(ast->flag);
    case AST_LABEL:
        return (struct val){ .type = VAL_LABEL, .is_const = true, .label = ast->text,
                             .node = NODE_NONE, .unit = unit_none() };
    case AST_PARAM: return compile_param(c, ast);
    case AST_PATH: return compile_path(c, ast);
    case AST_CALL: return compile_named_call(c, ast);
    case AST_QUANT: return compile_later(c, ast->offset, ast->text);
    case AST_SEQ: return compile_seq(c, ast);
    case AST_OR:
    case AST_AND: return compile_logic(c, ast);
    case AST_NOT: return compile_not(c, ast);
    case AST_COMPARE: return compile_compare(c, ast);
    case AST_IN_SET: return compile_in_set(c, ast);
    case AST_IN_RANGE: return compile_in_range(c, ast);
    case AST_IN_LIST: return compile_in_list(c, ast);
    case AST_IS: return compile_is(c, ast);
    case AST_SUM:
    case AST_TERM: return compile_chain(c, ast);
    case AST_COAL: return compile_coal(c, ast);
    case AST_NEGATE: {
        struct val v = compile_ast(c, ast->first);
        return v.type == VAL_BAD ? v : val_negate(c, v, ast);
    }
    }
    return val_bad();
}

struct val compile_text(struct compiler *c, const struct source_text *text, const struct ast *ast)
{
    struct source_text outer = c->text;

    c->text = *text;
    struct val v = compile_ast(c, ast);
    c->text = outer;
    return v;
}
