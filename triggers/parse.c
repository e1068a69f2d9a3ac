/* A recursive descent over the grammar of docs/RULES.md. It recurses only where the text opens a
 * bracket or negates, and there `depth` stops it at EXPR_DEPTH_MAX. */
#include "triggers/ast.h"
#include "triggers/lexer.h"
#include "triggers/ruleset.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct parser {
    const struct parse_config *config;
    struct lexer lexer;
    struct token token, ahead; /* the current one and the next */
    uint32_t depth;
    bool failed;
};

static struct ast *parse_or(struct parser *p);
static struct ast *parse_sum(struct parser *p);

/* --- messages ------------------------------------------------------------------------------- */

void source_error(struct diags *diags, const struct source_text *source, uint32_t offset,
                  const char *code, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    uint32_t line, column;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (diags && diags->errors >= RULE_ERRORS_SHOWN) {
        diags->errors++; /* counted, not shown */
        return;
    }
    yaml_place(source->tree, source->node, offset, &line, &column);
    diags_add(diags, DIAG_ERROR, code, yaml_file(source->tree), line, column, "%s", text);
}

bool is_later_function(const char *name)
{
    static const char *const names[] = {
        "held", "once", "since", "min_over", "max_over", "mean_over", "sum_over", "range_over",
        "std_over", "quantile_over", "integral", "delta", "deriv", "count_over", "duty", "samples",
        "period", "at", "hyst", "debounce", "latch", "frozen", "any", "all", "count_if", "geofence",
        "geofence_id", "dtc_new",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

void refuse_later(struct diags *diags, const struct source_text *source, uint32_t offset,
                  const char *name)
{
    source_error(diags, source, offset, "E290",
                 "'%s' is in the rule language but not in this version", name);
}

/* Keeps the first error of an expression; what follows would only echo it. */
static void *fail(struct parser *p, uint32_t offset, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void *fail(struct parser *p, uint32_t offset, const char *code, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    if (p->failed)
        return NULL;
    p->failed = true;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    source_error(p->config->diags, &p->config->source, offset, code, "%s", text);
    return NULL;
}

static void *fail_later(struct parser *p, uint32_t offset, const char *name)
{
    if (!p->failed)
        refuse_later(p->config->diags, &p->config->source, offset, name);
    p->failed = true;
    return NULL;
}

/* --- tokens --------------------------------------------------------------------------------- */

static void advance(struct parser *p)
{
    p->token = p->ahead;
    p->ahead = lexer_next(&p->lexer);
}

static bool is_sign(const struct token *token, const char *sign)
{
    return token->kind == TOKEN_SIGN && strcmp(token->sign, sign) == 0;
}

static bool is_word(const struct parser *p, const struct token *token, const char *word)
{
    return token->kind == TOKEN_IDENT && strlen(word) == token->end - token->begin &&
           memcmp(p->lexer.text + token->begin, word, token->end - token->begin) == 0;
}

static const char *token_copy(struct parser *p, const struct token *token)
{
    bool quoted = token->kind == TOKEN_QUOTED || token->kind == TOKEN_LABEL;
    uint32_t begin = token->begin + quoted, end = token->end - quoted;
    char *text = arena_text(p->config->arena, p->lexer.text + begin, end - begin);

    return text ? text : fail(p, token->begin, "E601", "out of memory");
}

static void *unexpected(struct parser *p, const char *expected)
{
    const struct token *t = &p->token;
    int len = (int)(t->end - t->begin);

    if (t->kind == TOKEN_BAD)
        return fail(p, t->begin, "E101", "found %s", t->problem);
    if (t->kind == TOKEN_END)
        return fail(p, t->begin, "E101", "the expression ends here; expected %s", expected);
    if (is_word(p, t, "then") || is_word(p, t, "within") || is_word(p, t, "total"))
        return fail_later(p, t->begin, is_word(p, t, "then") ? "then" : is_word(p, t, "within")
                                                                ? "within" : "total");
    return fail(p, t->begin, "E101", "found '%.*s', expected %s", len > 60 ? 60 : len,
                p->lexer.text + t->begin, expected);
}

static struct ast *make(struct parser *p, enum ast_kind kind, uint32_t offset)
{
    struct ast *ast = arena_alloc(p->config->arena, sizeof *ast);

    if (!ast)
        return fail(p, offset, "E601", "out of memory");
    ast->kind = kind;
    ast->offset = ast->op_offset = offset;
    return ast;
}

static void add(struct ast *parent, struct ast *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->child_count++;
}

static bool expect(struct parser *p, const char *sign, const char *expected)
{
    if (!is_sign(&p->token, sign))
        return unexpected(p, expected) != NULL;
    advance(p);
    return true;
}

static bool enter(struct parser *p)
{
    if (p->depth == EXPR_DEPTH_MAX)
        return fail(p, p->token.begin, "E502", "brackets stand more than 64 deep") != NULL;
    p->depth++;
    return true;
}

/* --- primaries ------------------------------------------------------------------------------ */

static struct ast *parse_number(struct parser *p)
{
    struct ast *ast = make(p, AST_NUMBER, p->token.begin);

    if (!ast)
        return NULL;
    ast->number = p->token.number;
    ast->is_integer = p->token.is_integer;
    ast->integer = p->token.integer;
    ast->unit = unit_none();
    advance(p);
    if (p->token.kind == TOKEN_UNIT) {
        ast->unit = p->token.unit;
        advance(p);
    } else if (p->token.kind == TOKEN_IDENT && !is_word(p, &p->token, "and") &&
               !is_word(p, &p->token, "or") && !is_word(p, &p->token, "is") &&
               !is_word(p, &p->token, "in") && !is_word(p, &p->token, "not") &&
               !is_word(p, &p->token, "then") && !is_word(p, &p->token, "within") &&
               !is_word(p, &p->token, "total")) {
        const char *found = token_copy(p, &p->token);
        const char *nearest = found ? unit_nearest(found) : NULL;
        return fail(p, p->token.begin, "E402", "found '%s' behind a number: no such unit%s%s%s",
                    found ? found : "", nearest ? "; did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?" : "");
    }
    return ast;
}

static bool has_argument(const char *function, const char *name)
{
    static const struct { const char *function, *name; } table[] = {
        { "near", "tol" }, { "changed", "from" }, { "changed", "to" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].function, function) == 0 && strcmp(table[i].name, name) == 0)
            return true;
    return false;
}

static struct ast *parse_argument(struct parser *p, const char *function)
{
    const char *name = NULL;
    uint32_t name_offset = p->token.begin;

    if (p->token.kind == TOKEN_IDENT && is_sign(&p->ahead, ":")) {
        const char *word = token_copy(p, &p->token);
        if (word && has_argument(function, word)) {
            name = word;
            advance(p);
            advance(p);
        }
    }
    struct ast *ast = parse_or(p);
    if (ast) {
        ast->name = name;
        ast->name_offset = name_offset;
    }
    return ast;
}

static struct ast *parse_call(struct parser *p)
{
    struct ast *ast = make(p, AST_CALL, p->token.begin);

    if (!ast || !(ast->text = token_copy(p, &p->token)))
        return NULL;
    if (is_later_function(ast->text))
        return fail_later(p, ast->offset, ast->text);
    if (!enter(p))
        return NULL;
    advance(p);
    advance(p);
    while (!is_sign(&p->token, ")")) {
        if (ast->first && !expect(p, ",", "',' or ')'"))
            return NULL;
        struct ast *child = parse_argument(p, ast->text);
        if (!child)
            return NULL;
        add(ast, child);
    }
    advance(p);
    p->depth--;
    return ast;
}

static bool parse_segment(struct parser *p, struct ast *ast)
{
    if (p->token.kind != TOKEN_IDENT && p->token.kind != TOKEN_QUOTED)
        return unexpected(p, "a name") != NULL;
    if (ast->part_count == EXPR_PARTS_MAX)
        return fail(p, p->token.begin, "E101", "a name has at most 4 parts") != NULL;
    ast->parts[ast->part_count] = token_copy(p, &p->token);
    advance(p);
    return ast->parts[ast->part_count++] != NULL;
}

static struct ast *parse_path(struct parser *p)
{
    struct ast *ast = make(p, AST_PATH, p->token.begin);

    if (!ast)
        return NULL;
    ast->is_quoted = p->token.kind == TOKEN_QUOTED;
    if (is_sign(&p->ahead, ":")) {
        ast->bus = token_copy(p, &p->token);
        advance(p);
        advance(p);
    }
    if (!parse_segment(p, ast))
        return NULL;
    while (is_sign(&p->token, ".")) {
        advance(p);
        if (!parse_segment(p, ast))
            return NULL;
    }
    if (is_sign(&p->token, "@")) {
        if (!is_word(p, &p->ahead, "raw")) {
            advance(p);
            return unexpected(p, "'raw' behind '@'");
        }
        ast->is_raw = true;
        advance(p);
        advance(p);
    }
    ast->text = ast->parts[0];
    return ast;
}

static struct ast *parse_param(struct parser *p)
{
    struct ast *ast = make(p, AST_PARAM, p->token.begin);

    advance(p);
    if (!ast || p->token.kind != TOKEN_IDENT)
        return ast ? unexpected(p, "the name of a param behind '$'") : NULL;
    ast->text = token_copy(p, &p->token);
    advance(p);
    return ast->text ? ast : NULL;
}

static struct ast *parse_bracket(struct parser *p)
{
    if (!enter(p))
        return NULL;
    advance(p);
    struct ast *ast = parse_or(p);
    if (!ast || !expect(p, ")", "')'"))
        return NULL;
    p->depth--;
    return ast;
}

static bool is_keyword(const struct parser *p)
{
    static const char *const words[] = { "and", "or", "not", "in", "is", "then", "within", "total" };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (is_word(p, &p->token, words[i]))
            return true;
    return false;
}

static struct ast *parse_primary(struct parser *p)
{
    const struct token *t = &p->token;
    struct ast *ast;

    if (t->kind == TOKEN_NUMBER)
        return parse_number(p);
    if (t->kind == TOKEN_LABEL) {
        ast = make(p, AST_LABEL, t->begin);
        if (!ast || !(ast->text = token_copy(p, t)))
            return NULL;
        if (p->config->note_label)
            p->config->note_label(p->config->context, ast->text);
        advance(p);
        return ast;
    }
    if (is_word(p, t, "true") || is_word(p, t, "false")) {
        ast = make(p, AST_BOOL, t->begin);
        if (ast)
            ast->flag = is_word(p, t, "true");
        advance(p);
        return ast;
    }
    if (is_sign(t, "$"))
        return parse_param(p);
    if (is_sign(t, "("))
        return parse_bracket(p);
    if (t->kind == TOKEN_QUOTED || (t->kind == TOKEN_IDENT && !is_keyword(p)))
        return t->kind == TOKEN_IDENT && is_sign(&p->ahead, "(") ? parse_call(p) : parse_path(p);
    return unexpected(p, "a signal, a number or '('");
}

/* --- operators, tightest first -------------------------------------------------------------- */

static struct ast *parse_unary(struct parser *p)
{
    uint32_t offset = p->token.begin, count = 0;

    while (is_sign(&p->token, "-")) {
        if (++count > EXPR_DEPTH_MAX)
            return fail(p, p->token.begin, "E502", "more than 64 minus signs in a row");
        advance(p);
    }
    struct ast *inner = parse_primary(p);
    if (!inner || count % 2 == 0)
        return inner;
    struct ast *ast = make(p, AST_NEGATE, offset);
    if (ast)
        add(ast, inner);
    return ast;
}

/* One level of left-associative operators: the node has all operands as children. */
static struct ast *parse_level(struct parser *p, enum ast_kind kind,
                               struct ast *(*next)(struct parser *),
                               enum ast_op (*match)(struct parser *))
{
    uint32_t offset = p->token.begin;
    struct ast *first = next(p), *ast = NULL;

    while (first) {
        uint32_t op_offset = p->token.begin;
        enum ast_op op = match(p);
        if (op == OP_NONE)
            return ast ? ast : first;
        advance(p);
        struct ast *operand = next(p);
        if (!operand)
            return NULL;
        operand->op = op;
        operand->op_offset = op_offset;
        if (!ast) {
            if (!(ast = make(p, kind, offset)))
                return NULL;
            add(ast, first);
        }
        add(ast, operand);
    }
    return NULL;
}

/* A bracketed operand may carry an `op` of its own as a child elsewhere; wrapping is not needed,
 * since a node is the child of one parent only. */
static enum ast_op match_coal(struct parser *p)
{
    return is_sign(&p->token, "??") ? OP_ADD : OP_NONE;
}

static enum ast_op match_term(struct parser *p)
{
    return is_sign(&p->token, "*") ? OP_MUL : is_sign(&p->token, "/") ? OP_DIV : OP_NONE;
}

static enum ast_op match_sum(struct parser *p)
{
    return is_sign(&p->token, "+") ? OP_ADD : is_sign(&p->token, "-") ? OP_SUB : OP_NONE;
}

static enum ast_op match_and(struct parser *p)
{
    return is_word(p, &p->token, "and") ? OP_MUL : OP_NONE;
}

static enum ast_op match_or(struct parser *p)
{
    return is_word(p, &p->token, "or") ? OP_ADD : OP_NONE;
}

static enum ast_op match_relation(struct parser *p)
{
    static const struct { const char *sign; enum ast_op op; } table[] = {
        { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT }, { ">=", OP_GE }, { "==", OP_EQ },
        { "!=", OP_NE },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (is_sign(&p->token, table[i].sign))
            return table[i].op;
    return OP_NONE;
}

static struct ast *parse_coal(struct parser *p)
{
    return parse_level(p, AST_COAL, parse_unary, match_coal);
}

static struct ast *parse_term(struct parser *p)
{
    return parse_level(p, AST_TERM, parse_coal, match_term);
}

static struct ast *parse_sum(struct parser *p)
{
    return parse_level(p, AST_SUM, parse_term, match_sum);
}

static struct ast *parse_range(struct parser *p, struct ast *ast)
{
    ast->kind = AST_IN_RANGE;
    ast->open_low = is_sign(&p->token, "(");
    if (!enter(p))
        return NULL;
    advance(p);
    struct ast *low = parse_sum(p);
    if (!low || !expect(p, "..", "'..'"))
        return NULL;
    struct ast *high = parse_sum(p);
    if (!high)
        return NULL;
    ast->open_high = is_sign(&p->token, ")");
    if (!ast->open_high && !is_sign(&p->token, "]"))
        return unexpected(p, "']' or ')'");
    advance(p);
    p->depth--;
    add(ast, low);
    add(ast, high);
    return ast;
}

static struct ast *parse_set(struct parser *p, struct ast *ast)
{
    ast->kind = AST_IN_SET;
    advance(p);
    do {
        bool negative = is_sign(&p->token, "-");
        bool literal = negative || p->token.kind == TOKEN_NUMBER || p->token.kind == TOKEN_LABEL ||
                       is_word(p, &p->token, "true") || is_word(p, &p->token, "false");
        struct ast *item = literal ? parse_unary(p) : unexpected(p, "a number or a label");
        if (!item)
            return NULL;
        add(ast, item);
        if (is_sign(&p->token, "}"))
            break;
    } while (expect(p, ",", "',' or '}'"));
    if (p->failed)
        return NULL;
    advance(p);
    return ast;
}

static struct ast *parse_in(struct parser *p, struct ast *operand, bool is_not)
{
    struct ast *ast = make(p, AST_IN_LIST, operand->offset);

    if (!ast)
        return NULL;
    ast->op_offset = p->token.begin;
    ast->flag = is_not;
    add(ast, operand);
    advance(p);
    if (is_sign(&p->token, "["))
        return parse_range(p, ast);
    if (is_sign(&p->token, "("))
        return parse_range(p, ast);
    if (is_sign(&p->token, "{"))
        return parse_set(p, ast);
    if (!is_sign(&p->token, "$"))
        return unexpected(p, "'{', '[', '(' or '$list' behind 'in'");
    advance(p);
    if (p->token.kind != TOKEN_IDENT)
        return unexpected(p, "the name of a list behind '$'");
    ast->text = token_copy(p, &p->token);
    advance(p);
    return ast->text ? ast : NULL;
}

static struct ast *parse_is(struct parser *p, struct ast *operand)
{
    static const char *const states[] = { "unknown", "known", "stale", "missing", "invalid" };
    struct ast *ast = make(p, AST_IS, operand->offset);

    if (!ast)
        return NULL;
    ast->op_offset = p->token.begin;
    add(ast, operand);
    advance(p);
    if (is_word(p, &p->token, "not")) {
        ast->flag = true;
        advance(p);
    }
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (is_word(p, &p->token, states[i]))
            ast->text = states[i];
    if (!ast->text)
        return unexpected(p, "unknown, known, stale, missing or invalid");
    advance(p);
    return ast;
}

static struct ast *parse_compare(struct parser *p)
{
    struct ast *ast = parse_level(p, AST_COMPARE, parse_sum, match_relation);

    if (!ast)
        return NULL;
    if (is_word(p, &p->token, "not") && is_word(p, &p->ahead, "in")) {
        advance(p);
        return parse_in(p, ast, true);
    }
    if (is_word(p, &p->token, "in"))
        return parse_in(p, ast, false);
    if (is_word(p, &p->token, "is"))
        return parse_is(p, ast);
    return ast;
}

static struct ast *parse_not(struct parser *p)
{
    uint32_t offset = p->token.begin, count = 0;

    while (is_word(p, &p->token, "not")) {
        if (++count > EXPR_DEPTH_MAX)
            return fail(p, p->token.begin, "E502", "more than 64 'not' in a row");
        advance(p);
    }
    struct ast *inner = parse_compare(p);
    if (!inner || !count)
        return inner;
    struct ast *ast = make(p, AST_NOT, offset);
    if (!ast)
        return NULL;
    ast->flag = count % 2 != 0;
    add(ast, inner);
    return ast;
}

static struct ast *parse_and(struct parser *p)
{
    return parse_level(p, AST_AND, parse_not, match_and);
}

static struct ast *parse_or(struct parser *p)
{
    return parse_level(p, AST_OR, parse_and, match_or);
}

/* --- entries -------------------------------------------------------------------------------- */

static bool begin(struct parser *p, const struct parse_config *config)
{
    *p = (struct parser){ .config = config };
    if (config->source.node->len > EXPR_BYTES_MAX)
        return fail(p, 0, "E502", "an expression has at most 8192 bytes") != NULL;
    lexer_init(&p->lexer, config->source.node->text);
    advance(p);
    advance(p);
    return true;
}

static struct ast *finish(struct parser *p, struct ast *ast)
{
    if (ast && p->token.kind != TOKEN_END)
        return unexpected(p, "an operator or the end");
    return p->failed ? NULL : ast;
}

struct ast *parse_expression(const struct parse_config *config)
{
    struct parser p;

    return begin(&p, config) ? finish(&p, parse_or(&p)) : NULL;
}

struct ast *parse_literal(const struct parse_config *config)
{
    struct parser p;

    if (!begin(&p, config))
        return NULL;
    if (!is_sign(&p.token, "-") && p.token.kind != TOKEN_NUMBER)
        return unexpected(&p, "a number");
    return finish(&p, parse_unary(&p));
}

struct ast *parse_interval(const struct parse_config *config)
{
    struct parser p;

    if (!begin(&p, config))
        return NULL;
    if (!is_sign(&p.token, "[") && !is_sign(&p.token, "("))
        return unexpected(&p, "an interval like [0..300]");
    struct ast *ast = make(&p, AST_IN_RANGE, 0);
    return ast ? finish(&p, parse_range(&p, ast)) : NULL;
}
