/* A recursive descent over the grammar of docs/RULES.md. It recurses only where the text opens a
 * bracket or negates, and there `depth` stops it at EXPR_DEPTH_MAX. */
#include "triggers/parse_private.h"
#include "triggers/ruleset.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

void refuse_later(struct diags *diags, const struct source_text *source, uint32_t offset,
                  const char *name)
{
    source_error(diags, source, offset, "E290",
                 "'%s' is in the rule language but not in this version", name);
}

/* Keeps the first error of an expression; what follows would only echo it. */
void *parser_fail(struct parser *p, uint32_t offset, const char *code, const char *format, ...)
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

/* --- tokens --------------------------------------------------------------------------------- */

void parser_advance(struct parser *p)
{
    p->token = p->ahead;
    p->ahead = lexer_next(&p->lexer);
}

bool parser_is_sign(const struct token *token, const char *sign)
{
    return token->kind == TOKEN_SIGN && strcmp(token->sign, sign) == 0;
}

bool parser_is_word(const struct parser *p, const struct token *token, const char *word)
{
    return token->kind == TOKEN_IDENT && strlen(word) == token->end - token->begin &&
           memcmp(p->lexer.text + token->begin, word, token->end - token->begin) == 0;
}

const char *parser_token_copy(struct parser *p, const struct token *token)
{
    bool quoted = token->kind == TOKEN_QUOTED || token->kind == TOKEN_LABEL;
    uint32_t begin = token->begin + quoted, end = token->end - quoted;
    char *text = arena_text(p->config->arena, p->lexer.text + begin, end - begin);

    return text ? text : parser_fail(p, token->begin, "E601", "out of memory");
}

void *parser_unexpected(struct parser *p, const char *expected)
{
    const struct token *t = &p->token;
    int len = (int)(t->end - t->begin);

    if (t->kind == TOKEN_BAD)
        return parser_fail(p, t->begin, "E101", "found %s", t->problem);
    if (t->kind == TOKEN_END)
        return parser_fail(p, t->begin, "E101", "the expression ends here; expected %s", expected);
    return parser_fail(p, t->begin, "E101", "found '%.*s', expected %s", len > 60 ? 60 : len,
                p->lexer.text + t->begin, expected);
}

struct ast *parser_make(struct parser *p, enum ast_kind kind, uint32_t offset)
{
    struct ast *ast = arena_alloc(p->config->arena, sizeof *ast);

    if (!ast)
        return parser_fail(p, offset, "E601", "out of memory");
    ast->kind = kind;
    ast->offset = ast->op_offset = offset;
    return ast;
}

void parser_add(struct ast *parent, struct ast *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->child_count++;
}

bool parser_expect(struct parser *p, const char *sign, const char *expected)
{
    if (!parser_is_sign(&p->token, sign))
        return parser_unexpected(p, expected) != NULL;
    parser_advance(p);
    return true;
}

bool parser_enter(struct parser *p)
{
    if (p->depth == EXPR_DEPTH_MAX)
        return parser_fail(p, p->token.begin, "E502", "brackets stand more than 64 deep") != NULL;
    p->depth++;
    return true;
}

/* --- operators, tightest first -------------------------------------------------------------- */

static struct ast *parse_unary(struct parser *p)
{
    uint32_t offset = p->token.begin, count = 0;

    while (parser_is_sign(&p->token, "-")) {
        if (++count > EXPR_DEPTH_MAX)
            return parser_fail(p, p->token.begin, "E502", "more than 64 minus signs in a row");
        parser_advance(p);
    }
    struct ast *inner = parse_primary(p);
    if (!inner || count % 2 == 0)
        return inner;
    struct ast *ast = parser_make(p, AST_NEGATE, offset);
    if (ast)
        parser_add(ast, inner);
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
        parser_advance(p);
        struct ast *operand = next(p);
        if (!operand)
            return NULL;
        operand->op = op;
        operand->op_offset = op_offset;
        if (!ast) {
            if (!(ast = parser_make(p, kind, offset)))
                return NULL;
            parser_add(ast, first);
        }
        parser_add(ast, operand);
    }
    return NULL;
}

/* A bracketed operand may carry an `op` of its own as a child elsewhere; wrapping is not needed,
 * since a node is the child of one parent only. */
static enum ast_op match_coal(struct parser *p)
{
    return parser_is_sign(&p->token, "??") ? OP_ADD : OP_NONE;
}

static enum ast_op match_term(struct parser *p)
{
    return parser_is_sign(&p->token, "*") ? OP_MUL : parser_is_sign(&p->token, "/") ? OP_DIV : OP_NONE;
}

static enum ast_op match_sum(struct parser *p)
{
    return parser_is_sign(&p->token, "+") ? OP_ADD : parser_is_sign(&p->token, "-") ? OP_SUB : OP_NONE;
}

static enum ast_op match_and(struct parser *p)
{
    return parser_is_word(p, &p->token, "and") ? OP_MUL : OP_NONE;
}

static enum ast_op match_or(struct parser *p)
{
    return parser_is_word(p, &p->token, "or") ? OP_ADD : OP_NONE;
}

enum ast_op parse_match_relation(struct parser *p)
{
    static const struct { const char *sign; enum ast_op op; } table[] = {
        { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT }, { ">=", OP_GE }, { "==", OP_EQ },
        { "!=", OP_NE },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (parser_is_sign(&p->token, table[i].sign))
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

struct ast *parse_sum(struct parser *p)
{
    return parse_level(p, AST_SUM, parse_term, match_sum);
}

static struct ast *parse_range(struct parser *p, struct ast *ast)
{
    ast->kind = AST_IN_RANGE;
    ast->open_low = parser_is_sign(&p->token, "(");
    if (!parser_enter(p))
        return NULL;
    parser_advance(p);
    struct ast *low = parse_sum(p);
    if (!low || !parser_expect(p, "..", "'..'"))
        return NULL;
    struct ast *high = parse_sum(p);
    if (!high)
        return NULL;
    ast->open_high = parser_is_sign(&p->token, ")");
    if (!ast->open_high && !parser_is_sign(&p->token, "]"))
        return parser_unexpected(p, "']' or ')'");
    parser_advance(p);
    p->depth--;
    parser_add(ast, low);
    parser_add(ast, high);
    return ast;
}

static struct ast *parse_set(struct parser *p, struct ast *ast)
{
    ast->kind = AST_IN_SET;
    parser_advance(p);
    do {
        bool negative = parser_is_sign(&p->token, "-");
        bool literal = negative || p->token.kind == TOKEN_NUMBER || p->token.kind == TOKEN_LABEL ||
                       parser_is_word(p, &p->token, "true") || parser_is_word(p, &p->token, "false");
        struct ast *item = literal ? parse_unary(p) : parser_unexpected(p, "a number or a label");
        if (!item)
            return NULL;
        parser_add(ast, item);
        if (parser_is_sign(&p->token, "}"))
            break;
    } while (parser_expect(p, ",", "',' or '}'"));
    if (p->failed)
        return NULL;
    parser_advance(p);
    return ast;
}

static struct ast *parse_in(struct parser *p, struct ast *operand, bool is_not)
{
    struct ast *ast = parser_make(p, AST_IN_LIST, operand->offset);

    if (!ast)
        return NULL;
    ast->op_offset = p->token.begin;
    ast->flag = is_not;
    parser_add(ast, operand);
    parser_advance(p);
    if (parser_is_sign(&p->token, "["))
        return parse_range(p, ast);
    if (parser_is_sign(&p->token, "("))
        return parse_range(p, ast);
    if (parser_is_sign(&p->token, "{"))
        return parse_set(p, ast);
    if (!parser_is_sign(&p->token, "$"))
        return parser_unexpected(p, "'{', '[', '(' or '$list' behind 'in'");
    parser_advance(p);
    if (p->token.kind != TOKEN_IDENT)
        return parser_unexpected(p, "the name of a list behind '$'");
    ast->text = parser_token_copy(p, &p->token);
    parser_advance(p);
    return ast->text ? ast : NULL;
}

static struct ast *parse_is(struct parser *p, struct ast *operand)
{
    static const char *const states[] = { "unknown", "known", "stale", "missing", "invalid" };
    struct ast *ast = parser_make(p, AST_IS, operand->offset);

    if (!ast)
        return NULL;
    ast->op_offset = p->token.begin;
    parser_add(ast, operand);
    parser_advance(p);
    if (parser_is_word(p, &p->token, "not")) {
        ast->flag = true;
        parser_advance(p);
    }
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (parser_is_word(p, &p->token, states[i]))
            ast->text = states[i];
    if (!ast->text)
        return parser_unexpected(p, "unknown, known, stale, missing or invalid");
    parser_advance(p);
    return ast;
}

static struct ast *parse_compare(struct parser *p)
{
    struct ast *ast = parse_level(p, AST_COMPARE, parse_sum, parse_match_relation);

    if (!ast)
        return NULL;
    if (parser_is_word(p, &p->token, "not") && parser_is_word(p, &p->ahead, "in")) {
        parser_advance(p);
        return parse_in(p, ast, true);
    }
    if (parser_is_word(p, &p->token, "in"))
        return parse_in(p, ast, false);
    if (parser_is_word(p, &p->token, "is"))
        return parse_is(p, ast);
    return ast;
}

static struct ast *parse_not(struct parser *p)
{
    uint32_t offset = p->token.begin, count = 0;

    while (parser_is_word(p, &p->token, "not")) {
        if (++count > EXPR_DEPTH_MAX)
            return parser_fail(p, p->token.begin, "E502", "more than 64 'not' in a row");
        parser_advance(p);
    }
    struct ast *inner = parse_compare(p);
    if (!inner || !count)
        return inner;
    struct ast *ast = parser_make(p, AST_NOT, offset);
    if (!ast)
        return NULL;
    ast->flag = count % 2 != 0;
    parser_add(ast, inner);
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

int64_t duration_ns(double value, const struct unit *unit)
{
    static const struct unit second = { .dim = { [DIM_S] = 1 }, .num = 1, .den = 1, .text = "s" };

    if (!unit_same_quantity(unit, &second))
        return 0;
    double ns = floor(value * ((double)unit->num * 1e9) / (double)unit->den + 0.5);
    return ns >= 1 && ns <= (double)DURATION_NS_MAX ? (int64_t)ns : 0;
}

/* The duration behind `within` or `total`, which is the current token; 0 after an error. */
static int64_t parse_bound(struct parser *p)
{
    parser_advance(p);
    if (p->token.kind != TOKEN_NUMBER || p->ahead.kind != TOKEN_UNIT) {
        (void)parser_unexpected(p, "a duration like 500ms");
        return 0;
    }
    int64_t ns = duration_ns(p->token.number, &p->ahead.unit);
    if (!ns)
        (void)parser_fail(p, p->token.begin, "E501",
                          "expected a duration above 0 in us, ms, s, min or h");
    parser_advance(p);
    parser_advance(p);
    return ns;
}

static bool parse_step(struct parser *p, struct ast *seq)
{
    uint32_t op_offset = p->token.begin;

    parser_advance(p);
    bool is_absence = parser_is_word(p, &p->token, "not");
    if (is_absence)
        parser_advance(p);
    struct ast *step = parse_or(p);
    if (!step)
        return false;
    parser_add(seq, step);
    step->is_absence = is_absence;
    step->op_offset = op_offset;
    if (!parser_is_word(p, &p->token, "within"))
        return true;
    step->within_offset = p->token.begin;
    return (step->within_ns = parse_bound(p)) != 0;
}

/* or { "then" [ "not" ] or [ "within" DUR ] } [ "total" DUR ] */
struct ast *parse_seq(struct parser *p)
{
    uint32_t offset = p->token.begin;
    struct ast *first = parse_or(p), *ast = NULL;

    if (!first || !parser_is_word(p, &p->token, "then"))
        return first;
    if (!(ast = parser_make(p, AST_SEQ, offset)))
        return NULL;
    ast->op_offset = p->token.begin;
    parser_add(ast, first);
    while (parser_is_word(p, &p->token, "then")) {
        if (ast->child_count == SEQ_STEPS_MAX)
            return parser_fail(p, p->token.begin, "E502", "a sequence has at most 8 steps");
        if (!parse_step(p, ast))
            return NULL;
    }
    if (parser_is_word(p, &p->token, "total")) {
        ast->total_offset = p->token.begin;
        ast->total_ns = parse_bound(p);
    }
    return p->failed ? NULL : ast;
}

/* --- entries -------------------------------------------------------------------------------- */

static bool begin(struct parser *p, const struct parse_config *config)
{
    *p = (struct parser){ .config = config };
    if (config->source.node->len > EXPR_BYTES_MAX)
        return parser_fail(p, 0, "E502", "an expression has at most 8192 bytes") != NULL;
    lexer_init(&p->lexer, config->source.node->text);
    parser_advance(p);
    parser_advance(p);
    return true;
}

static struct ast *finish(struct parser *p, struct ast *ast)
{
    if (ast && p->token.kind != TOKEN_END)
        return parser_unexpected(p, "an operator or the end");
    return p->failed ? NULL : ast;
}

struct ast *parse_expression(const struct parse_config *config)
{
    struct parser p;

    return begin(&p, config) ? finish(&p, parse_seq(&p)) : NULL;
}

struct ast *parse_literal(const struct parse_config *config)
{
    struct parser p;

    if (!begin(&p, config))
        return NULL;
    if (!parser_is_sign(&p.token, "-") && p.token.kind != TOKEN_NUMBER)
        return parser_unexpected(&p, "a number");
    return finish(&p, parse_unary(&p));
}

struct ast *parse_interval(const struct parse_config *config)
{
    struct parser p;

    if (!begin(&p, config))
        return NULL;
    if (!parser_is_sign(&p.token, "[") && !parser_is_sign(&p.token, "("))
        return parser_unexpected(&p, "an interval like [0..300]");
    struct ast *ast = parser_make(&p, AST_IN_RANGE, 0);
    return ast ? finish(&p, parse_range(&p, ast)) : NULL;
}
