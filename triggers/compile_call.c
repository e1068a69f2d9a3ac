/* The functions of the language. To add one: a row of `functions` and a compile function. */
#include "triggers/compile_call.h"

#include <math.h>
#include <string.h>

#define NONE ((union node_constant){ 0 })

static double as_double(const struct val *v)
{
    return v->type == VAL_INT ? (double)v->i : v->d;
}

bool call_number(struct compiler *c, const struct val *v, const struct ast *place)
{
    if (!val_plain(c, v, place))
        return false;
    if (val_is_number(v))
        return true;
    compile_error(c, place->offset, "E303", "expected a number, found %s", val_describe(v));
    return false;
}

bool call_bool(struct compiler *c, const struct val *v, const struct ast *place)
{
    if (!val_plain(c, v, place))
        return false;
    if (v->type == VAL_BOOL)
        return true;
    compile_error(c, place->offset, "E302", "expected a condition, found %s", val_describe(v));
    return false;
}

/* sqrt, abs and sign of a temperature in degC mean nothing. */
bool call_no_offset(struct compiler *c, const struct val *v, const struct ast *place)
{
    if (!(v->unit.offset > 0 || v->unit.offset < 0))
        return true;
    compile_error(c, place->offset, "E404", "a temperature in %s has no meaning here",
                  v->unit.text);
    return false;
}

static struct val unary(struct compiler *c, enum node_op int_op, enum node_op num_op,
                        struct val v, const struct unit *unit)
{
    bool is_int = v.type == VAL_INT && int_op != NODE_OP_COUNT;
    int32_t node = graph_op(c->graph, is_int ? int_op : num_op, is_int ? TYPE_INT : TYPE_NUM,
                            is_int ? val_node(c, &v) : val_num_node(c, &v), NODE_NONE, NODE_NONE);

    return val_from_node(is_int ? VAL_INT : VAL_NUM, node, unit);
}

static struct val call_abs(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];

    if (!call_number(c, &v, call->places[0]) || !call_no_offset(c, &v, call->places[0]))
        return val_bad();
    if (v.is_const && v.type == VAL_INT && v.i != INT64_MIN) {
        v.i = v.i < 0 ? -v.i : v.i;
        return v;
    }
    if (v.is_const)
        return val_num(fabs(as_double(&v)), &v.unit);
    return unary(c, NODE_INT_ABS, NODE_ABS, v, &v.unit);
}

static struct val call_sign(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    struct unit none = unit_none();

    if (!call_number(c, &v, call->places[0]) || !call_no_offset(c, &v, call->places[0]))
        return val_bad();
    if (v.is_const)
        return val_int((as_double(&v) > 0) - (as_double(&v) < 0));
    return unary(c, NODE_INT_SIGN, NODE_SIGN, v, &none);
}

static struct val call_sqrt(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    struct unit unit;

    if (!call_number(c, &v, call->places[0]))
        return val_bad();
    if (!unit_root(&v.unit, &unit)) {
        compile_error(c, call->ast->offset, "E406", "%s has no square root", val_describe(&v));
        return val_bad();
    }
    struct unit none = unit_none(), si;
    if (unit_product(&v.unit, &none, 1, &si))
        v = val_convert(c, v, &si);
    if (v.is_const && as_double(&v) < 0) {
        compile_error(c, call->ast->offset, "E311", "the square root of a negative constant");
        return val_bad();
    }
    return v.is_const ? val_num(sqrt(as_double(&v)), &unit)
                      : unary(c, NODE_OP_COUNT, NODE_SQRT, v, &unit);
}

static struct val least_or_most(struct compiler *c, bool most, struct val a, struct val b,
                                const struct ast *place)
{
    if (!call_number(c, &a, place) || !call_number(c, &b, place) ||
        !val_unify(c, &a, &b, "compare", place))
        return val_bad();
    if (a.is_const && b.is_const) {
        bool a_more = as_double(&a) > as_double(&b);
        return a_more == most ? a : b;
    }
    bool ints = a.type == VAL_INT && b.type == VAL_INT;
    enum node_op op = ints ? (most ? NODE_INT_MAX : NODE_INT_MIN) : most ? NODE_MAX : NODE_MIN;
    int32_t left = ints ? val_node(c, &a) : val_num_node(c, &a);
    int32_t right = ints ? val_node(c, &b) : val_num_node(c, &b);
    return val_from_node(ints ? VAL_INT : VAL_NUM,
                         graph_op(c->graph, op, ints ? TYPE_INT : TYPE_NUM, left, right,
                                  NODE_NONE), &a.unit);
}

static struct val fold_extreme(struct compiler *c, struct call *call, bool most)
{
    struct val v = call->args[0];

    for (uint32_t i = 1; i < call->count && v.type != VAL_BAD; i++)
        v = least_or_most(c, most, v, call->args[i], call->places[i]);
    return v;
}

static struct val call_min(struct compiler *c, struct call *call)
{
    return fold_extreme(c, call, false);
}

static struct val call_max(struct compiler *c, struct call *call)
{
    return fold_extreme(c, call, true);
}

static struct val call_clamp(struct compiler *c, struct call *call)
{
    struct val v = least_or_most(c, true, call->args[0], call->args[1], call->places[1]);

    return v.type == VAL_BAD ? v : least_or_most(c, false, v, call->args[2], call->places[2]);
}

static struct val call_mod(struct compiler *c, struct call *call)
{
    struct val a = call->args[0], b = call->args[1];

    if (!call_number(c, &a, call->places[0]) || !call_number(c, &b, call->places[1]) ||
        !call_no_offset(c, &a, call->places[0]) ||
        !val_unify(c, &a, &b, "take the remainder of", call->places[1]))
        return val_bad();
    if (b.is_const && !(as_double(&b) > 0) && !(as_double(&b) < 0)) {
        compile_error(c, call->places[1]->offset, "E311", "the remainder of a division by zero");
        return val_bad();
    }
    bool ints = a.type == VAL_INT && b.type == VAL_INT;
    int32_t left = ints ? val_node(c, &a) : val_num_node(c, &a);
    int32_t right = ints ? val_node(c, &b) : val_num_node(c, &b);
    return val_from_node(ints ? VAL_INT : VAL_NUM,
                         graph_op(c->graph, ints ? NODE_INT_MOD : NODE_MOD,
                                  ints ? TYPE_INT : TYPE_NUM, left, right, NODE_NONE), &a.unit);
}

static struct val call_if(struct compiler *c, struct call *call)
{
    struct val when = call->args[0], a = call->args[1], b = call->args[2];

    if (!call_bool(c, &when, call->places[0]) ||
        !val_unify(c, &a, &b, "choose between", call->places[2]))
        return val_bad();
    if (when.is_const)
        return when.logic == LOGIC_T ? a : b;
    enum val_type type = a.type != b.type ? VAL_NUM : a.type;
    enum node_type node_type = type == VAL_BOOL ? TYPE_LOGIC : type == VAL_NUM ? TYPE_NUM
                                                                               : TYPE_INT;
    int32_t first = type == VAL_NUM ? val_num_node(c, &a) : val_node(c, &a);
    int32_t second = type == VAL_NUM ? val_num_node(c, &b) : val_node(c, &b);
    struct val v = val_from_node(type, graph_op(c->graph, NODE_IF, node_type, val_node(c, &when),
                                                first, second), &a.unit);
    v.table = a.table;
    return v;
}

static struct val call_bit(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    const struct val *n = &call->args[1];

    if (!val_plain(c, &v, call->places[0]))
        return val_bad();
    if (v.type == VAL_ENUM && v.binding) { /* bits are of the number: as @raw */
        v.type = VAL_INT;
        v.is_raw = true;
    }
    if (v.type != VAL_INT) {
        compile_error(c, call->places[0]->offset, "E303",
                      "bit() takes an integer; write @raw behind the signal");
        return val_bad();
    }
    if (!n->is_const || n->type != VAL_INT || !unit_is_none(&n->unit) || n->i < 0 || n->i > 62) {
        compile_error(c, call->places[1]->offset, "E304", "the bit is a constant of 0 to 62");
        return val_bad();
    }
    return val_from_node(VAL_BOOL, graph_op_const(c->graph, NODE_BIT, TYPE_LOGIC, val_node(c, &v),
                                                  (union node_constant){ .i = n->i }, NONE), NULL);
}

/* abs(a - b) <= tol, in the unit of a. */
static struct val call_near(struct compiler *c, struct call *call)
{
    struct val a = call->args[0], b = call->args[1], tol = call->named[0];

    if (!call->has_named[0]) {
        compile_error(c, call->ast->offset, "E203", "near(a, b, tol: ...) needs its tol");
        return val_bad();
    }
    if (!call_number(c, &a, call->places[0]) || !call_number(c, &b, call->places[1]) ||
        !val_unify(c, &a, &b, "compare", call->places[1]))
        return val_bad();
    struct unit unit = a.unit;
    if (unit.offset > 0 || unit.offset < 0) { /* a difference of temperatures is in K */
        unit_from_text("K", &unit);
        a = val_convert(c, a, &unit);
        b = val_convert(c, b, &unit);
    }
    struct val gap = val_sum(c, true, a, b, call->places[1]);
    if (gap.type == VAL_BAD)
        return gap;
    if (!gap.is_const)
        gap = unary(c, NODE_INT_ABS, NODE_ABS, gap, &unit);
    else
        gap = val_num(fabs(as_double(&gap)), &unit);
    return val_compare(c, OP_LE, gap, tol, call->named_places[0]);
}

static struct val pulse(struct compiler *c, struct call *call, enum node_op op)
{
    struct val v = call->args[0];

    if (!call_bool(c, &v, call->places[0]))
        return val_bad();
    if (v.is_const) {
        compile_error(c, call->places[0]->offset, "E304", "a constant has no edges");
        return val_bad();
    }
    int32_t node = graph_op(c->graph, op, TYPE_LOGIC, val_node(c, &v), NODE_NONE, NODE_NONE);
    return val_from_node(VAL_BOOL, node, NULL);
}

static struct val call_rise(struct compiler *c, struct call *call)
{
    return pulse(c, call, NODE_RISE);
}

static struct val call_fall(struct compiler *c, struct call *call)
{
    return pulse(c, call, NODE_FALL);
}

/* `from` or `to` of changed() as a node that equals the operand's value exactly. */
static bool change_end(struct compiler *c, const struct val *operand, struct val end,
                       const struct ast *place, int32_t *ret_node)
{
    struct val same = *operand;

    if (end.type == VAL_BAD)
        return false;
    struct val written = end;
    if (!val_unify(c, &same, &end, "compare", place))
        return false;
    if (!end.is_const) {
        compile_error(c, place->offset, "E304", "'from' and 'to' are constants");
        return false;
    }
    if (operand->type == VAL_NUM) {
        if (!operand->binding || operand->binding->is_float) {
            compile_error(c, place->offset, "E304",
                          "'from' and 'to' need labels, integers or a plain signal");
            return false;
        }
        struct raw_bounds r = exact_bounds(operand->binding, OP_EQ, &written);
        if (r.off_grid || r.is_empty) {
            compile_error(c, place->offset, "E305", "'%s' never has this value",
                          operand->binding->name);
            return false;
        }
        uint64_t raw = operand->binding->dbc->plan.kind == DECODE_SIGNED
            ? (r.low ^ UINT64_C(1) << 63) & operand->binding->dbc->plan.mask : r.low;
        struct unit none = unit_none();
        end = val_num(decode_physical(&operand->binding->dbc->plan, raw), &none);
    }
    *ret_node = val_node(c, &end);
    return true;
}

static struct val call_changed(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    int32_t from = NODE_NONE, to = NODE_NONE;

    if (!val_plain(c, &v, call->places[0]))
        return val_bad();
    if (v.is_const || v.type == VAL_LABEL) {
        compile_error(c, call->places[0]->offset, "E304", "a constant never changes");
        return val_bad();
    }
    if (call->has_named[0] &&
        !change_end(c, &v, call->named[0], call->named_places[0], &from))
        return val_bad();
    if (call->has_named[1] && !change_end(c, &v, call->named[1], call->named_places[1], &to))
        return val_bad();
    v.is_converted = false; /* the database's own number changes when the converted one does */
    struct node node = { .op = NODE_CHANGED, .type = TYPE_LOGIC, .signal = NODE_NONE,
                         .child = { val_node(c, &v), from, to } };
    node.k0.i = (from != NODE_NONE ? 1 : 0) | (to != NODE_NONE ? 2 : 0);
    if (from == NODE_NONE && to != NODE_NONE) { /* children stand without gaps */
        node.child[1] = to;
        node.child[2] = NODE_NONE;
    }
    return val_from_node(VAL_BOOL, graph_node(c->graph, &node), NULL);
}

static struct val call_prev(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];

    if (!val_plain(c, &v, call->places[0]))
        return val_bad();
    if (v.is_const || v.type == VAL_LABEL) {
        compile_error(c, call->places[0]->offset, "E304", "a constant has no samples");
        return val_bad();
    }
    enum node_type type = v.type == VAL_BOOL ? TYPE_LOGIC : v.type == VAL_NUM ? TYPE_NUM : TYPE_INT;
    struct val before = val_from_node(v.type, graph_op(c->graph, NODE_PREV, type, val_node(c, &v),
                                                       NODE_NONE, NODE_NONE), &v.unit);
    before.table = v.table;
    return before;
}

static struct val call_age(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];

    if (!val_plain(c, &v, call->places[0]))
        return val_bad();
    if (!v.binding) {
        compile_error(c, call->places[0]->offset, "E304", "age() asks about a signal");
        return val_bad();
    }
    struct val age = { .type = VAL_NUM, .is_age = true, .binding = v.binding, .node = NODE_NONE };
    unit_from_text("s", &age.unit);
    return age;
}

static struct val decided(struct compiler *c, struct call *call, enum node_op op)
{
    struct val v = call->args[0];

    if (!call_bool(c, &v, call->places[0]) || v.is_const)
        return v.type == VAL_BOOL ? v : val_bad();
    return val_from_node(VAL_BOOL, graph_op(c->graph, op, TYPE_LOGIC, val_node(c, &v), NODE_NONE,
                                            NODE_NONE), NULL);
}

static struct val call_must(struct compiler *c, struct call *call)
{
    return decided(c, call, NODE_MUST);
}

static struct val call_maybe(struct compiler *c, struct call *call)
{
    return decided(c, call, NODE_MAYBE);
}

static const struct function functions[] = {
    { "abs", 1, 1, call_abs, { NULL }, false },
    { "min", 2, ARGS_MAX, call_min, { NULL }, false },
    { "max", 2, ARGS_MAX, call_max, { NULL }, false },
    { "clamp", 3, 3, call_clamp, { NULL }, false },
    { "sqrt", 1, 1, call_sqrt, { NULL }, false },
    { "sign", 1, 1, call_sign, { NULL }, false },
    { "mod", 2, 2, call_mod, { NULL }, false },
    { "if", 3, 3, call_if, { NULL }, false },
    { "bit", 2, 2, call_bit, { NULL }, false },
    { "near", 2, 2, call_near, { "tol" }, false },
    { "rise", 1, 1, call_rise, { NULL }, false },
    { "fall", 1, 1, call_fall, { NULL }, false },
    { "changed", 1, 1, call_changed, { "from", "to" }, false },
    { "prev", 1, 1, call_prev, { NULL }, false },
    { "age", 1, 1, call_age, { NULL }, false },
    { "must", 1, 1, call_must, { NULL }, false },
    { "maybe", 1, 1, call_maybe, { NULL }, false },
    { "held", 2, 2, past_held, { NULL }, false },
    { "once", 2, 2, past_once, { NULL }, false },
    { "since", 2, 3, past_since, { NULL }, false },
    { "hyst", 1, 1, past_hyst, { "on", "off" }, true },
    { "debounce", 1, 1, past_debounce, { "on", "off" }, false },
    { "latch", 0, 0, past_latch, { "set", "reset" }, false },
    { "frozen", 2, 2, past_frozen, { NULL }, false },
    { "period", 1, 1, past_period, { NULL }, false },
    { "count_over", 2, 2, past_count_over, { NULL }, false },
    { "at", 2, 2, past_window, { "cover", "exact" }, false },
    { "delta", 2, 2, past_window, { "cover", "exact" }, false },
    { "min_over", 2, 2, past_window, { "cover", "exact" }, false },
    { "max_over", 2, 2, past_window, { "cover", "exact" }, false },
    { "range_over", 2, 2, past_window, { "cover", "exact" }, false },
    { "sum_over", 2, 2, past_window, { "cover", "exact" }, false },
    { "samples", 2, 2, past_window, { "cover", "exact" }, false },
    { "mean_over", 2, 2, past_window, { "cover", "exact" }, false },
    { "std_over", 2, 2, past_window, { "cover", "exact" }, false },
    { "integral", 2, 2, past_window, { "cover", "exact" }, false },
    { "deriv", 2, 2, past_window, { "cover", "exact" }, false },
    { "duty", 2, 2, past_window, { "cover", "exact" }, false },
};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

static struct val unknown_function(struct compiler *c, const struct ast *ast)
{
    const char *names[FUNCTIONS + 512];
    uint32_t count = 0;

    for (size_t i = 0; i < FUNCTIONS; i++)
        names[count++] = functions[i].name;
    for (uint32_t i = 0; i < c->pack->macro_count && i < 512; i++)
        names[count++] = c->pack->macros[i].name;
    if (is_language_function(ast->text)) {
        refuse_later(c->pack->diags, &c->text, ast->offset, ast->text);
        return val_bad();
    }
    const char *nearest = err_nearest(ast->text, names, count);
    compile_error(c, ast->offset, "E203", "unknown function '%s'%s%s%s", ast->text,
                  nearest ? "; did you mean '" : "", nearest ? nearest : "",
                  nearest ? "'?" : "");
    return val_bad();
}

static bool take_named(struct compiler *c, const struct function *f, struct call *call,
                       const struct ast *child)
{
    for (int i = 0; i < 2; i++) {
        if (!f->named[i] || strcmp(f->named[i], child->name) != 0)
            continue;
        if (call->has_named[i])
            break;
        call->has_named[i] = true;
        call->named_places[i] = child;
        call->named[i] = compile_ast(c, child);
        return call->named[i].type != VAL_BAD;
    }
    compile_error(c, child->name_offset, "E203", "'%s:' stands twice in %s()", child->name,
                  f->name);
    return false;
}

struct val compile_call(struct compiler *c, const struct ast *ast)
{
    struct call call = { .ast = ast };
    const struct function *f = NULL;
    bool bad = false;

    for (size_t i = 0; i < FUNCTIONS; i++)
        if (strcmp(functions[i].name, ast->text) == 0)
            f = &functions[i];
    if (!f)
        return unknown_function(c, ast);
    for (const struct ast *child = ast->first; child; child = child->next) {
        if (child->op != OP_NONE && !f->takes_relation) {
            compile_error(c, child->offset, "E101", "'%s:' takes no relation in %s()",
                          child->name, f->name);
            return val_bad();
        }
        if (child->name) {
            bad = !take_named(c, f, &call, child) || bad;
        } else if (call.count < ARGS_MAX) {
            call.places[call.count] = child;
            call.args[call.count] = compile_ast(c, child);
            bad = call.args[call.count++].type == VAL_BAD || bad;
        } else {
            call.count = ARGS_MAX + 1;
        }
    }
    if (call.count < f->min || call.count > f->max) {
        if (f->min == f->max)
            compile_error(c, ast->offset, "E203", "%s() takes %u argument%s, found %u", f->name,
                          f->min, f->min == 1 ? "" : "s", call.count);
        else
            compile_error(c, ast->offset, "E203", "%s() takes %u to %u arguments, found %u",
                          f->name, f->min, f->max, call.count);
        return val_bad();
    }
    struct val v = bad ? val_bad() : f->compile(c, &call);
    if (v.node >= 0 && c->graph->nodes[v.node].pulse_depth > PULSE_DEPTH_MAX) {
        compile_error(c, ast->offset, "E514", "pulses stand more than 4 deep");
        return val_bad();
    }
    return v;
}
