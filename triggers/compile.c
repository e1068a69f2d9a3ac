#include "triggers/compile.h"

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

void compile_warning(struct compiler *c, uint32_t offset, const char *code, const char *text)
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
            v = val_product(c, next->op == OP_DIV, v, operand, next);
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
