/* The operators with memory: held to duty, and sequences. */
#include "triggers/compile_call.h"
#include "triggers/op.h"

#include <math.h>
#include <string.h>

#define NONE ((union node_constant){ 0 })

/* --- arguments ------------------------------------------------------------------------------ */

static double as_double(const struct val *v)
{
    return v->type == VAL_INT ? (double)v->i : v->d;
}

/* A constant time above 0. */
static bool duration(struct compiler *c, const struct val *v, const struct ast *place,
                     union node_constant *ret)
{
    int64_t ns = v->is_const && val_is_number(v) ? duration_ns(as_double(v), &v->unit) : 0;

    if (v->type == VAL_BAD)
        return false;
    if (!ns)
        compile_error(c, place->offset, "E501", "expected a constant duration above 0, like 500ms");
    ret->i = ns;
    return ns != 0;
}

static struct val from_op(struct compiler *c, enum val_type type, const struct node *node,
                          const struct unit *unit)
{
    return val_from_node(type, graph_node(c->graph, node), unit);
}

static struct node op_node(enum node_op op, int32_t a, int32_t b)
{
    return (struct node){ .op = (uint8_t)op, .type = TYPE_LOGIC, .signal = NODE_NONE,
                          .child = { a, b, NODE_NONE } };
}

static bool need_named(struct compiler *c, const struct call *call, const char *usage)
{
    if (call->has_named[0] && call->has_named[1])
        return true;
    compile_error(c, call->ast->offset, "E203", "%s", usage);
    return false;
}

/* --- conditions ----------------------------------------------------------------------------- */

static struct val hold(struct compiler *c, struct call *call, enum node_op op)
{
    struct val v = call->args[0];
    union node_constant d;

    if (!call_bool(c, &v, call->places[0]) ||
        !duration(c, &call->args[1], call->places[1], &d))
        return val_bad();
    struct node node = op_node(op, val_node(c, &v), NODE_NONE);
    node.k0 = d;
    return from_op(c, VAL_BOOL, &node, NULL);
}

struct val past_held(struct compiler *c, struct call *call)
{
    return hold(c, call, NODE_HELD);
}

struct val past_once(struct compiler *c, struct call *call)
{
    return hold(c, call, NODE_ONCE);
}

struct val past_since(struct compiler *c, struct call *call)
{
    struct val p = call->args[0], q = call->args[1];
    union node_constant d = NONE;

    if (!call_bool(c, &p, call->places[0]) || !call_bool(c, &q, call->places[1]) ||
        (call->count == 3 && !duration(c, &call->args[2], call->places[2], &d)))
        return val_bad();
    struct node node = op_node(NODE_SINCE, val_node(c, &p), val_node(c, &q));
    node.k0 = d;
    return from_op(c, VAL_BOOL, &node, NULL);
}

/* `on` and `off` of hyst as conditions. */
static struct val side(struct compiler *c, const struct call *call, int which)
{
    const struct ast *place = call->named_places[which];

    if (place->op == OP_NONE || place->op == OP_EQ || place->op == OP_NE) {
        compile_error(c, place->offset, "E101", "'%s:' needs one of < <= > >=, like 'on: >8'",
                      place->name);
        return val_bad();
    }
    return val_compare(c, place->op, call->args[0], call->named[which], place);
}

static bool is_upward(enum ast_op op)
{
    return op == OP_GT || op == OP_GE;
}

/* Constants must leave the two no common value. */
static bool sides_apart(struct compiler *c, const struct call *call)
{
    const struct ast *on = call->named_places[0], *off = call->named_places[1];
    struct val a = call->named[0], b = call->named[1];
    bool apart = is_upward(on->op) != is_upward(off->op);

    if (apart && a.is_const && b.is_const && val_is_number(&a) && val_is_number(&b) &&
        unit_same_quantity(&a.unit, &b.unit)) {
        struct val other = val_convert(c, b, &a.unit);
        double gap = as_double(&a) - as_double(&other);
        bool both_closed = (on->op == OP_GE || on->op == OP_LE) &&
                           (off->op == OP_GE || off->op == OP_LE);
        gap = is_upward(on->op) ? gap : -gap;
        apart = gap > 0 || (!(gap < 0) && !both_closed);
    }
    if (!apart)
        compile_error(c, off->offset, "E505", "'on' and 'off' overlap; hyst(x, on: >8, off: <6)");
    return apart;
}

struct val past_hyst(struct compiler *c, struct call *call)
{
    if (!call_number(c, &call->args[0], call->places[0]) ||
        !need_named(c, call, "hyst(x, on: >8, off: <6) needs both bounds"))
        return val_bad();
    struct val on = side(c, call, 0), off = side(c, call, 1);
    if (on.type == VAL_BAD || off.type == VAL_BAD || !sides_apart(c, call))
        return val_bad();
    struct node node = op_node(NODE_HYST, val_node(c, &on), val_node(c, &off));
    return from_op(c, VAL_BOOL, &node, NULL);
}

struct val past_debounce(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    union node_constant on, off;

    if (!call_bool(c, &v, call->places[0]) ||
        !need_named(c, call, "debounce(p, on: 100ms, off: 300ms) needs both times") ||
        !duration(c, &call->named[0], call->named_places[0], &on) ||
        !duration(c, &call->named[1], call->named_places[1], &off))
        return val_bad();
    struct node node = op_node(NODE_DEBOUNCE, val_node(c, &v), NODE_NONE);
    node.k0 = on;
    node.k1 = off;
    return from_op(c, VAL_BOOL, &node, NULL);
}

struct val past_latch(struct compiler *c, struct call *call)
{
    if (!need_named(c, call, "latch(set: p, reset: q) needs both conditions") ||
        !call_bool(c, &call->named[0], call->named_places[0]) ||
        !call_bool(c, &call->named[1], call->named_places[1]))
        return val_bad();
    struct node node = op_node(NODE_LATCH, val_node(c, &call->named[0]),
                               val_node(c, &call->named[1]));
    return from_op(c, VAL_BOOL, &node, NULL);
}

struct val past_count_over(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    union node_constant d;

    if (!call_bool(c, &v, call->places[0]) ||
        !duration(c, &call->args[1], call->places[1], &d))
        return val_bad();
    struct node node = op_node(NODE_COUNT_OVER, val_node(c, &v), NODE_NONE);
    node.type = TYPE_INT;
    node.k0 = d;
    return from_op(c, VAL_INT, &node, NULL);
}

/* --- signals -------------------------------------------------------------------------------- */

static bool need_signal(struct compiler *c, const struct val *v, const struct ast *place,
                        const char *name)
{
    if (!val_plain(c, v, place))
        return false;
    if (!v->binding)
        compile_error(c, place->offset, "E304", "%s() asks about a signal", name);
    return v->binding != NULL;
}

struct val past_frozen(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    union node_constant d;

    if (!need_signal(c, &v, call->places[0], "frozen") ||
        !duration(c, &call->args[1], call->places[1], &d))
        return val_bad();
    v.is_converted = false; /* the raw bits are what freezes */
    struct node node = op_node(NODE_FROZEN, val_node(c, &v), NODE_NONE);
    node.k0 = d;
    return from_op(c, VAL_BOOL, &node, NULL);
}

struct val past_period(struct compiler *c, struct call *call)
{
    struct val v = call->args[0];
    struct unit second;

    if (!need_signal(c, &v, call->places[0], "period"))
        return val_bad();
    unit_from_text("s", &second);
    v.is_converted = false;
    struct node node = op_node(NODE_PERIOD, val_node(c, &v), NODE_NONE);
    node.type = TYPE_NUM;
    return from_op(c, VAL_NUM, &node, &second);
}

/* --- windows -------------------------------------------------------------------------------- */

#define COVER_DEFAULT_PPM 500000
#define RING_SAMPLES_MAX 256 /* without `exact: true` */

enum window_operand { OPERAND_NUMBER, OPERAND_DIFFERENCE, OPERAND_PLAIN_UNIT, OPERAND_BOOL,
                      OPERAND_ANY };

static const struct window_function {
    const char *name;
    enum node_op op;
    enum window_operand operand; /* DIFFERENCE: degC gives K; PLAIN_UNIT: not of degC at all */
    bool has_cover;
} window_functions[] = {
    { "at", NODE_AT, OPERAND_ANY, false },
    { "delta", NODE_DELTA, OPERAND_DIFFERENCE, true },
    { "min_over", NODE_MIN_OVER, OPERAND_NUMBER, true },
    { "max_over", NODE_MAX_OVER, OPERAND_NUMBER, true },
    { "range_over", NODE_RANGE_OVER, OPERAND_DIFFERENCE, true },
    { "sum_over", NODE_SUM_OVER, OPERAND_PLAIN_UNIT, true },
    { "samples", NODE_SAMPLES, OPERAND_ANY, false },
    { "mean_over", NODE_MEAN_OVER, OPERAND_NUMBER, true },
    { "std_over", NODE_STD_OVER, OPERAND_DIFFERENCE, true },
    { "integral", NODE_INTEGRAL, OPERAND_PLAIN_UNIT, true },
    { "deriv", NODE_DERIV, OPERAND_DIFFERENCE, true },
    { "duty", NODE_DUTY, OPERAND_BOOL, true },
};

static bool window_operand(struct compiler *c, const struct window_function *f, struct val *v,
                           const struct ast *place)
{
    if (f->operand == OPERAND_BOOL)
        return call_bool(c, v, place);
    if (f->operand != OPERAND_ANY && !call_number(c, v, place))
        return false;
    if (!val_plain(c, v, place))
        return false;
    if (v->is_const || v->type == VAL_LABEL) {
        compile_error(c, place->offset, "E304", "a constant has no past");
        return false;
    }
    if (f->operand == OPERAND_PLAIN_UNIT && !call_no_offset(c, v, place))
        return false;
    if (f->operand == OPERAND_DIFFERENCE && (v->unit.offset > 0 || v->unit.offset < 0)) {
        struct unit kelvin; /* a difference of temperatures is in K */
        unit_from_text("K", &kelvin);
        *v = val_convert(c, *v, &kelvin);
    }
    return v->type != VAL_BAD;
}

/* `cover:`: a fraction or percent of d. */
static bool window_cover(struct compiler *c, const struct window_function *f,
                         const struct call *call, uint32_t *ret_ppm)
{
    struct val v = call->named[0];
    struct unit none = unit_none();

    *ret_ppm = f->has_cover ? COVER_DEFAULT_PPM : 0;
    if (!call->has_named[0])
        return true;
    if (!f->has_cover) {
        compile_error(c, call->named_places[0]->name_offset, "E203", "%s() has no 'cover:'",
                      f->name);
        return false;
    }
    bool is_fraction = v.is_const && val_is_number(&v) && unit_is_number(&v.unit);
    double part = is_fraction ? as_double(&v) : -1;
    if (is_fraction && !unit_is_none(&v.unit)) {
        v = val_convert(c, v, &none);
        part = as_double(&v);
    }
    if (!(part >= 0 && part <= 1)) {
        compile_error(c, call->named_places[0]->offset, "E501",
                      "'cover:' is a constant part of the window, 0 to 1 or 0 %% to 100 %%");
        return false;
    }
    *ret_ppm = (uint32_t)floor(part * 1e6 + 0.5);
    return true;
}

/* How many samples the window keeps; 0 after an error. */
static uint32_t window_samples(struct compiler *c, const struct call *call, int32_t node,
                               int64_t d)
{
    const struct val *exact = &call->named[1];
    unsigned __int128 twice = (unsigned __int128)graph_rate_millihz(c->graph, node) * 2 * (uint64_t)d;
    unsigned __int128 samples = (twice + UINT64_C(999999999999)) / UINT64_C(1000000000000);
    bool is_exact = call->has_named[1] && exact->logic == LOGIC_T;

    if (call->has_named[1] && (!exact->is_const || exact->type != VAL_BOOL)) {
        compile_error(c, call->named_places[1]->offset, "E304", "'exact:' is true or false");
        return 0;
    }
    if (samples > (is_exact ? WINDOW_SAMPLES_MAX : RING_SAMPLES_MAX)) {
        compile_error(c, call->ast->offset, "E520",
                      "the window would hold %llu samples at twice the rate of its source; at most "
                      "%d%s", (unsigned long long)(samples > UINT64_MAX ? UINT64_MAX : samples),
                      is_exact ? WINDOW_SAMPLES_MAX : RING_SAMPLES_MAX,
                      is_exact ? "" : ", or 4096 with 'exact: true'");
        return 0;
    }
    /* A slow source may burst: what fits is never cut down. */
    return samples > RING_SAMPLES_MAX ? (uint32_t)samples : RING_SAMPLES_MAX;
}

/* The unit of what the window gives. */
static bool window_unit(struct compiler *c, enum node_op op, struct unit *unit,
                        const struct ast *place)
{
    struct unit second, product;
    int sign = op == NODE_DERIV ? -1 : op == NODE_INTEGRAL ? 1 : 0;

    if (op == NODE_DUTY || op == NODE_SAMPLES)
        *unit = unit_none();
    unit_from_text("s", &second);
    if (!sign)
        return true;
    if (!unit_product(unit, &second, sign, &product)) {
        compile_error(c, place->offset, "E405", "'%s' has no %s", unit->text,
                      sign < 0 ? "slope" : "integral");
        return false;
    }
    *unit = product;
    return true;
}

struct val past_window(struct compiler *c, struct call *call)
{
    const struct window_function *f = window_functions;
    struct val v = call->args[0];
    struct window_shape shape;
    union node_constant d;

    while (strcmp(f->name, call->ast->text) != 0)
        f++;
    if (!window_operand(c, f, &v, call->places[0]) ||
        !duration(c, &call->args[1], call->places[1], &d) ||
        !window_cover(c, f, call, &shape.cover_ppm))
        return val_bad();
    struct unit unit = v.unit, none = unit_none();
    if (f->op == NODE_DERIV || f->op == NODE_INTEGRAL) { /* products have SI base units */
        struct unit si;
        if (!v.unit.is_opaque && unit_product(&v.unit, &none, 1, &si))
            v = val_convert(c, v, &si);
        unit = v.unit;
    }
    if (!window_unit(c, f->op, &unit, call->places[0]))
        return val_bad();
    int32_t child = f->operand <= OPERAND_PLAIN_UNIT ? val_num_node(c, &v) : val_node(c, &v);
    if (child == NODE_NONE || !(shape.samples = window_samples(c, call, child, d.i)))
        return val_bad();
    enum val_type type = f->op == NODE_AT ? v.type : f->op == NODE_SAMPLES ? VAL_INT : VAL_NUM;
    struct node node = op_node(f->op, child, NODE_NONE);
    node.type = type == VAL_BOOL ? TYPE_LOGIC : type == VAL_NUM ? TYPE_NUM : TYPE_INT;
    node.k0 = d;
    node.k1 = window_pack(shape);
    struct val result = from_op(c, type, &node, &unit);
    result.table = f->op == NODE_AT ? v.table : NULL;
    return result;
}

/* --- sequences ------------------------------------------------------------------------------ */

static bool seq_bounds(struct compiler *c, const struct ast *ast)
{
    for (const struct ast *step = ast->first->next; step; step = step->next) {
        if (ast->total_ns && step->within_ns) {
            compile_error(c, ast->total_offset, "E511",
                          "'total' bounds the whole chain; it and 'within' exclude each other");
            return false;
        }
        if (step->is_absence && (step->next || ast->total_ns)) {
            compile_error(c, step->op_offset, "E512",
                          "'then not' stands last in a chain, and never with 'total'");
            return false;
        }
        if (!ast->total_ns && !step->within_ns) {
            compile_error(c, step->op_offset, "E510",
                          "'then' needs its bound: a then b within 2s, or a then b then c total 5s");
            return false;
        }
    }
    return true;
}

static struct val seq_step(struct compiler *c, const struct ast *step)
{
    struct val v = compile_ast(c, step);

    if (!call_bool(c, &v, step))
        return val_bad();
    if (v.is_const) {
        compile_error(c, step->offset, "E304", "a constant has no edges");
        return val_bad();
    }
    return v;
}

struct val compile_seq(struct compiler *c, const struct ast *ast)
{
    if (!seq_bounds(c, ast))
        return val_bad();
    struct val chain = seq_step(c, ast->first);
    bool is_first = true;
    for (const struct ast *step = ast->first->next; step; step = step->next) {
        struct val next = seq_step(c, step);
        if (chain.type == VAL_BAD || next.type == VAL_BAD)
            return val_bad();
        struct node node = op_node(step->is_absence ? NODE_THEN_NOT
                                   : ast->total_ns ? NODE_THEN_TOTAL : NODE_THEN,
                                   val_node(c, &chain), val_node(c, &next));
        node.k0.i = ast->total_ns ? ast->total_ns : step->within_ns;
        node.k1.i = ast->total_ns && !is_first;
        is_first = false;
        chain = from_op(c, VAL_BOOL, &node, NULL);
    }
    if (chain.node >= 0 && c->graph->nodes[chain.node].pulse_depth > PULSE_DEPTH_MAX) {
        compile_error(c, ast->offset, "E514", "pulses stand more than 4 deep");
        return val_bad();
    }
    return chain;
}
