/* What values are: made, turned into nodes, joined by logic, brought to one type and unit. */
#include "triggers/compile.h"

#include <assert.h>
#include <string.h>

#define NONE ((union node_constant){ 0 })

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

double val_const_number(const struct val *v)
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
        return val_num(val_const_number(&v) * mul / div + add, unit);
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
