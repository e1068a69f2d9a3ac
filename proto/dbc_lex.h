/* dbc_lex - splits the bytes of a DBC into tokens.
 * Signs are tokens of their own, so that "0-5" is 0, -, 5 and not 0 and -5. A word may begin with a
 * digit ("2017_5") and hold bytes above 0x7f: the parser decides what it thinks of that. */
#ifndef PROTO_DBC_LEX_H
#define PROTO_DBC_LEX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dbc_token_kind {
    DBC_END,
    DBC_WORD,
    DBC_NUMBER,  /* without a sign; ".25" is one too */
    DBC_STRING,  /* `at` and `size` are what stands between the quotes, escapes not resolved */
    DBC_PUNCT,   /* one byte */
    DBC_BROKEN,  /* a string or block comment without end; `at` is its beginning */
};

struct dbc_token {
    enum dbc_token_kind kind;
    const char *at;
    size_t size;
    uint32_t line, column;  /* of the first byte, from 1; columns count bytes */
    bool first_on_line;
};

struct dbc_lex {
    const char *at, *end, *line_start;
    uint32_t line;
    bool fresh_line;               /* nothing but space since the line began */
    uint32_t comment_line, comment_column; /* the first block comment; 0 when none */
};

struct dbc_lex dbc_lex_init(const char *bytes, size_t size);
struct dbc_token dbc_lex_next(struct dbc_lex *lex);

bool dbc_token_is(const struct dbc_token *token, const char *text);

#endif
