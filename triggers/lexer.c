#include "triggers/lexer.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_MAX 64

void lexer_init(struct lexer *lexer, const char *text)
{
    *lexer = (struct lexer){ .text = text };
}

static bool is_letter(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool is_digit(char c)
{
    return isdigit((unsigned char)c) != 0;
}

static struct token bad(uint32_t begin, uint32_t end, const char *problem)
{
    return (struct token){ .kind = TOKEN_BAD, .begin = begin, .end = end, .problem = problem };
}

/* [0-9]+ ( "." [0-9]+ )? ( [eE] [+-]? [0-9]+ )?  so that 0..300 is 0 .. 300. */
static struct token take_number(struct lexer *lexer)
{
    const char *text = lexer->text;
    uint32_t begin = lexer->at, i = begin;
    bool is_integer = true;
    char copy[NUMBER_BYTES_MAX];

    while (is_digit(text[i]))
        i++;
    if (text[i] == '.' && is_digit(text[i + 1])) {
        is_integer = false;
        for (i++; is_digit(text[i]);)
            i++;
    }
    if ((text[i] == 'e' || text[i] == 'E') &&
        (is_digit(text[i + 1]) ||
         ((text[i + 1] == '+' || text[i + 1] == '-') && is_digit(text[i + 2])))) {
        is_integer = false;
        for (i += 2; is_digit(text[i]);)
            i++;
    }
    lexer->at = i;
    if (i - begin >= sizeof copy)
        return bad(begin, i, "a number of more than 63 digits");
    memcpy(copy, text + begin, i - begin);
    copy[i - begin] = 0;
    struct token token = { .kind = TOKEN_NUMBER, .begin = begin, .end = i };
    token.number = strtod(copy, NULL);
    if (!isfinite(token.number))
        return bad(begin, i, "a number beyond the range of double");
    errno = 0;
    token.integer = strtoll(copy, NULL, 10);
    token.is_integer = is_integer && errno == 0;
    lexer->after_number = true;
    return token;
}

static struct token take_quoted(struct lexer *lexer, char quote)
{
    uint32_t begin = lexer->at;
    const char *close = strchr(lexer->text + begin + 1, quote);

    if (!close) {
        lexer->at = begin + (uint32_t)strlen(lexer->text + begin);
        return bad(begin, lexer->at, quote == '`' ? "a backtick without its partner"
                                                  : "a quote without its partner");
    }
    lexer->at = (uint32_t)(close - lexer->text) + 1;
    return (struct token){ .kind = quote == '`' ? TOKEN_QUOTED : TOKEN_LABEL, .begin = begin,
                           .end = lexer->at };
}

static struct token take_sign(struct lexer *lexer)
{
    static const char *const two[] = { "<=", ">=", "==", "!=", "..", "??" };
    const char *at = lexer->text + lexer->at;
    struct token token = { .kind = TOKEN_SIGN, .begin = lexer->at };

    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++)
        if (strncmp(at, two[i], 2) == 0) {
            memcpy(token.sign, at, 2);
            lexer->at += 2;
            token.end = lexer->at;
            return token;
        }
    lexer->at++;
    token.end = lexer->at;
    if (!strchr("<>()[]{},:.$@+-*/", *at)) {
        const char *why = *at == '=' ? "a single '='; compare with '=='"
            : *at == '&' || *at == '|' ? "a C operator; write 'and', 'or'"
            : *at == '!' ? "a C operator; write 'not'"
            : *at == '%' ? "'%' as an operator; it is a unit, the remainder is mod(a, b)"
            : *at == '"' ? "a double quote; labels stand in single quotes"
            : *at == '?' ? "a single '?'; a default is 'x ?? value'"
                         : "a character that means nothing here";
        return bad(token.begin, token.end, why);
    }
    token.sign[0] = *at;
    return token;
}

struct token lexer_next(struct lexer *lexer)
{
    bool after_number = lexer->after_number;
    struct token token;

    lexer->after_number = false;
    while (lexer->text[lexer->at] == ' ' || lexer->text[lexer->at] == '\n' ||
           lexer->text[lexer->at] == '\t')
        lexer->at++;
    const char *at = lexer->text + lexer->at;
    if (!*at)
        return (struct token){ .kind = TOKEN_END, .begin = lexer->at, .end = lexer->at };
    struct unit unit;
    size_t len = after_number ? unit_match(at, &unit) : 0;
    if (len) {
        token = (struct token){ .kind = TOKEN_UNIT, .begin = lexer->at, .unit = unit };
        lexer->at += (uint32_t)len;
        token.end = lexer->at;
        return token;
    }
    if (is_digit(*at))
        return take_number(lexer);
    if (*at == '`' || *at == '\'')
        return take_quoted(lexer, *at);
    if (!is_letter(*at))
        return take_sign(lexer);
    token = (struct token){ .kind = TOKEN_IDENT, .begin = lexer->at };
    while (is_letter(lexer->text[lexer->at]) || is_digit(lexer->text[lexer->at]))
        lexer->at++;
    token.end = lexer->at;
    return token;
}
