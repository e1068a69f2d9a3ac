#include "proto/dbc_lex.h"

#include <string.h>

struct dbc_lex dbc_lex_init(const char *bytes, size_t size)
{
    return (struct dbc_lex){ .at = bytes, .end = bytes + size, .line_start = bytes, .line = 1,
                             .fresh_line = true };
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
           (unsigned char)c >= 0x80;
}

static char peek(const struct dbc_lex *lex, size_t ahead)
{
    return (size_t)(lex->end - lex->at) > ahead ? lex->at[ahead] : '\0';
}

static void step(struct dbc_lex *lex)
{
    if (*lex->at == '\n') {
        lex->line++;
        lex->line_start = lex->at + 1;
        lex->fresh_line = true;
    }
    lex->at++;
}

static uint32_t column(const struct dbc_lex *lex)
{
    return (uint32_t)(lex->at - lex->line_start) + 1;
}

/* Returns whether the comment ends; when not, nothing was consumed. */
static bool skip_block_comment(struct dbc_lex *lex)
{
    struct dbc_lex before = *lex;

    if (!lex->comment_line) {
        lex->comment_line = before.comment_line = lex->line;
        lex->comment_column = before.comment_column = column(lex);
    }
    lex->at += 2;
    while (lex->at < lex->end && !(lex->at[0] == '*' && peek(lex, 1) == '/'))
        step(lex);
    if (lex->at == lex->end) {
        *lex = before;
        return false;
    }
    lex->at += 2;
    return true;
}

/* Returns whether a token or the end follows; false: a comment without end. */
static bool skip_space(struct dbc_lex *lex)
{
    while (lex->at < lex->end) {
        char c = *lex->at;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v') {
            step(lex);
        } else if (c == '/' && peek(lex, 1) == '/') {
            while (lex->at < lex->end && *lex->at != '\n')
                lex->at++;
        } else if (c == '/' && peek(lex, 1) == '*') {
            if (!skip_block_comment(lex))
                return false;
        } else {
            break;
        }
    }
    return true;
}

static size_t digits(const struct dbc_lex *lex, size_t from)
{
    while (is_digit(peek(lex, from)))
        from++;
    return from;
}

/* digits [. digits] [e [sign] digits]. Returns its length. */
static size_t number_size(const struct dbc_lex *lex)
{
    size_t n = digits(lex, 0);

    if (peek(lex, n) == '.')
        n = digits(lex, n + 1);
    if (peek(lex, n) != 'e' && peek(lex, n) != 'E')
        return n;
    size_t exponent = n + 1;
    if (peek(lex, exponent) == '+' || peek(lex, exponent) == '-')
        exponent++;
    return is_digit(peek(lex, exponent)) ? digits(lex, exponent) : n;
}

static void take_number_or_word(struct dbc_lex *lex, struct dbc_token *token)
{
    size_t n = number_size(lex);

    token->kind = DBC_NUMBER;
    if (is_word(peek(lex, n)) && is_word(token->at[0])) { /* "2017_5" */
        for (n = 0; is_word(peek(lex, n)); n++)
            ;
        token->kind = DBC_WORD;
    }
    token->size = n;
    lex->at += n;
}

/* Only \" is an escape; a backslash before anything else stands for itself. */
static void take_string(struct dbc_lex *lex, struct dbc_token *token)
{
    struct dbc_lex before = *lex;

    lex->at++;
    token->at = lex->at;
    while (lex->at < lex->end && *lex->at != '"') {
        if (*lex->at == '\\' && peek(lex, 1) == '"')
            lex->at++;
        step(lex);
    }
    if (lex->at == lex->end) {
        *lex = before;
        token->kind = DBC_BROKEN;
        token->at = lex->at;
        return;
    }
    token->kind = DBC_STRING;
    token->size = (size_t)(lex->at - token->at);
    lex->at++;
}

struct dbc_token dbc_lex_next(struct dbc_lex *lex)
{
    bool whole = skip_space(lex);
    struct dbc_token token = { .kind = DBC_END, .at = lex->at, .line = lex->line,
                               .column = column(lex), .first_on_line = lex->fresh_line };

    lex->fresh_line = false;
    if (!whole) {
        token.kind = DBC_BROKEN;
        return token;
    }
    if (lex->at == lex->end)
        return token;
    char c = *lex->at;
    if (c == '"') {
        take_string(lex, &token);
    } else if (is_digit(c) || (c == '.' && is_digit(peek(lex, 1)))) {
        take_number_or_word(lex, &token);
    } else if (is_word(c)) {
        token.kind = DBC_WORD;
        while (is_word(peek(lex, token.size)))
            token.size++;
        lex->at += token.size;
    } else {
        token.kind = DBC_PUNCT;
        token.size = 1;
        lex->at++;
    }
    return token;
}

bool dbc_token_is(const struct dbc_token *token, const char *text)
{
    return (token->kind == DBC_WORD || token->kind == DBC_PUNCT) &&
           strlen(text) == token->size && memcmp(token->at, text, token->size) == 0;
}
