/* Literals, calls with their arguments, quantifiers, paths, params, brackets. */
#include "triggers/parse_private.h"

#include <string.h>

/* --- primaries ------------------------------------------------------------------------------ */

static struct ast *parse_number(struct parser *p)
{
    struct ast *ast = parser_make(p, AST_NUMBER, p->token.begin);

    if (!ast)
        return NULL;
    ast->number = p->token.number;
    ast->is_integer = p->token.is_integer;
    ast->integer = p->token.integer;
    ast->unit = unit_none();
    parser_advance(p);
    if (p->token.kind == TOKEN_UNIT) {
        ast->unit = p->token.unit;
        parser_advance(p);
    } else if (p->token.kind == TOKEN_IDENT && !parser_is_word(p, &p->token, "and") &&
               !parser_is_word(p, &p->token, "or") && !parser_is_word(p, &p->token, "is") &&
               !parser_is_word(p, &p->token, "in") && !parser_is_word(p, &p->token, "not") &&
               !parser_is_word(p, &p->token, "then") && !parser_is_word(p, &p->token, "within") &&
               !parser_is_word(p, &p->token, "total")) {
        const char *found = parser_token_copy(p, &p->token);
        const char *nearest = found ? unit_nearest(found) : NULL;
        return parser_fail(p, p->token.begin, "E402", "found '%s' behind a number: no such unit%s%s%s",
                    found ? found : "", nearest ? "; did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?" : "");
    }
    return ast;
}

bool is_language_function(const char *name)
{
    static const char *const names[] = {
        "abs", "min", "max", "clamp", "sqrt", "sign", "mod", "if", "bit", "near", "rise", "fall",
        "changed", "prev", "age", "must", "maybe", "held", "once", "since", "min_over", "max_over",
        "mean_over", "sum_over", "range_over", "std_over", "quantile_over", "integral", "delta",
        "deriv", "count_over", "duty", "samples", "period", "at", "hyst", "debounce", "latch",
        "frozen", "any", "all", "count_if", "geofence", "geofence_id", "dtc_new",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

#define ARGUMENTS_MAX 4

bool has_named_argument(const char *function, const char *name)
{
    static const struct { const char *function, *names[ARGUMENTS_MAX]; } table[] = {
        { "near", { "tol" } }, { "changed", { "from", "to" } }, { "hyst", { "on", "off" } },
        { "debounce", { "on", "off" } }, { "latch", { "set", "reset" } },
        { "geofence", { "margin" } }, { "geofence_id", { "margin" } },
        { "min_over", { "cover", "exact" } }, { "max_over", { "cover", "exact" } },
        { "mean_over", { "cover", "exact" } }, { "sum_over", { "cover", "exact" } },
        { "range_over", { "cover", "exact" } }, { "std_over", { "cover", "exact" } },
        { "integral", { "cover", "exact" } }, { "delta", { "cover", "exact" } },
        { "deriv", { "cover", "exact" } }, { "duty", { "cover", "exact" } },
        { "quantile_over", { "cover" } }, { "samples", { "exact" } }, { "at", { "exact" } },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (size_t k = 0; k < ARGUMENTS_MAX && table[i].names[k]; k++)
            if (strcmp(table[i].function, function) == 0 && strcmp(table[i].names[k], name) == 0)
                return true;
    return false;
}

static struct ast *parse_argument(struct parser *p, const char *function)
{
    const char *name = NULL;
    uint32_t name_offset = p->token.begin;

    if (p->token.kind == TOKEN_IDENT && parser_is_sign(&p->ahead, ":")) {
        const char *word = parser_token_copy(p, &p->token);
        if (word && has_named_argument(function, word)) {
            name = word;
            parser_advance(p);
            parser_advance(p);
        }
    }
    enum ast_op relation = name ? parse_match_relation(p) : OP_NONE;
    if (relation != OP_NONE)
        parser_advance(p);
    struct ast *ast = parse_seq(p);
    if (ast) {
        ast->op = relation;
        ast->name = name;
        ast->name_offset = name_offset;
    }
    return ast;
}

static struct ast *parse_call(struct parser *p)
{
    struct ast *ast = parser_make(p, AST_CALL, p->token.begin);

    if (!ast || !(ast->text = parser_token_copy(p, &p->token)))
        return NULL;
    if (!parser_enter(p))
        return NULL;
    parser_advance(p);
    parser_advance(p);
    while (!parser_is_sign(&p->token, ")")) {
        if (ast->first && !parser_expect(p, ",", "',' or ')'"))
            return NULL;
        struct ast *child = parse_argument(p, ast->text);
        if (!child)
            return NULL;
        parser_add(ast, child);
    }
    parser_advance(p);
    p->depth--;
    return ast;
}

/* any(o in obj, expr) */
static struct ast *parse_quant(struct parser *p)
{
    struct ast *ast = parser_make(p, AST_QUANT, p->token.begin);

    if (!ast || !(ast->text = parser_token_copy(p, &p->token)) || !parser_enter(p))
        return NULL;
    parser_advance(p);
    parser_advance(p);
    for (uint32_t i = 0; i < 2; i++) {
        if (p->token.kind != TOKEN_IDENT)
            return parser_unexpected(p, i ? "the name of an array" : "a name for one of the array, "
                                            "as in any(o in obj, ...)");
        ast->op_offset = p->token.begin;
        if (!(ast->parts[ast->part_count++] = parser_token_copy(p, &p->token)))
            return NULL;
        parser_advance(p);
        if (i == 0 && !parser_is_word(p, &p->token, "in"))
            return parser_unexpected(p, "'in' and the name of an array");
        if (i == 0)
            parser_advance(p);
    }
    if (!parser_expect(p, ",", "',' and a condition"))
        return NULL;
    struct ast *child = parse_seq(p);
    if (!child || !parser_expect(p, ")", "')'"))
        return NULL;
    parser_add(ast, child);
    p->depth--;
    return ast;
}

static bool parse_segment(struct parser *p, struct ast *ast)
{
    if (p->token.kind != TOKEN_IDENT && p->token.kind != TOKEN_QUOTED)
        return parser_unexpected(p, "a name") != NULL;
    if (ast->part_count == EXPR_PARTS_MAX)
        return parser_fail(p, p->token.begin, "E101", "a name has at most 4 parts") != NULL;
    ast->parts[ast->part_count] = parser_token_copy(p, &p->token);
    parser_advance(p);
    return ast->parts[ast->part_count++] != NULL;
}

static struct ast *parse_path(struct parser *p)
{
    struct ast *ast = parser_make(p, AST_PATH, p->token.begin);

    if (!ast)
        return NULL;
    ast->is_quoted = p->token.kind == TOKEN_QUOTED;
    if (parser_is_sign(&p->ahead, ":")) {
        ast->bus = parser_token_copy(p, &p->token);
        parser_advance(p);
        parser_advance(p);
    }
    if (!parse_segment(p, ast))
        return NULL;
    while (parser_is_sign(&p->token, ".")) {
        parser_advance(p);
        if (!parse_segment(p, ast))
            return NULL;
    }
    if (parser_is_sign(&p->token, "@")) {
        if (!parser_is_word(p, &p->ahead, "raw")) {
            parser_advance(p);
            return parser_unexpected(p, "'raw' behind '@'");
        }
        ast->is_raw = true;
        parser_advance(p);
        parser_advance(p);
    }
    ast->text = ast->parts[0];
    return ast;
}

static struct ast *parse_param(struct parser *p)
{
    struct ast *ast = parser_make(p, AST_PARAM, p->token.begin);

    parser_advance(p);
    if (!ast || p->token.kind != TOKEN_IDENT)
        return ast ? parser_unexpected(p, "the name of a param behind '$'") : NULL;
    ast->text = parser_token_copy(p, &p->token);
    parser_advance(p);
    return ast->text ? ast : NULL;
}

static struct ast *parse_bracket(struct parser *p)
{
    if (!parser_enter(p))
        return NULL;
    parser_advance(p);
    struct ast *ast = parse_seq(p);
    if (!ast || !parser_expect(p, ")", "')'"))
        return NULL;
    p->depth--;
    return ast;
}

static bool is_keyword(const struct parser *p)
{
    static const char *const words[] = { "and", "or", "not", "in", "is", "then", "within", "total" };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (parser_is_word(p, &p->token, words[i]))
            return true;
    return false;
}

struct ast *parse_primary(struct parser *p)
{
    const struct token *t = &p->token;
    struct ast *ast;

    if (t->kind == TOKEN_NUMBER)
        return parse_number(p);
    if (t->kind == TOKEN_LABEL) {
        ast = parser_make(p, AST_LABEL, t->begin);
        if (!ast || !(ast->text = parser_token_copy(p, t)))
            return NULL;
        if (p->config->note_label)
            p->config->note_label(p->config->context, ast->text);
        parser_advance(p);
        return ast;
    }
    if (parser_is_word(p, t, "true") || parser_is_word(p, t, "false")) {
        ast = parser_make(p, AST_BOOL, t->begin);
        if (ast)
            ast->flag = parser_is_word(p, t, "true");
        parser_advance(p);
        return ast;
    }
    if (parser_is_sign(t, "$"))
        return parse_param(p);
    if (parser_is_sign(t, "("))
        return parse_bracket(p);
    if (parser_is_sign(&p->ahead, "(") &&
        (parser_is_word(p, t, "any") || parser_is_word(p, t, "all") ||
         parser_is_word(p, t, "count_if")))
        return parse_quant(p);
    if (t->kind == TOKEN_QUOTED || (t->kind == TOKEN_IDENT && !is_keyword(p)))
        return t->kind == TOKEN_IDENT && parser_is_sign(&p->ahead, "(") ? parse_call(p) : parse_path(p);
    return parser_unexpected(p, "a signal, a number or '('");
}
