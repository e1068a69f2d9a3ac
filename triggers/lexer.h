/* lexer - cuts an expression into tokens.
 * A unit is a token only right behind a number. The text is a YAML scalar's: NUL-terminated. */
#ifndef TRIGGERS_LEXER_H
#define TRIGGERS_LEXER_H
#include "triggers/unit.h"

#include <stdbool.h>
#include <stdint.h>

enum token_kind {
    TOKEN_END, TOKEN_IDENT, TOKEN_QUOTED, /* `x` */
    TOKEN_NUMBER, TOKEN_UNIT, TOKEN_LABEL, /* 'x' */
    TOKEN_SIGN,  /* an operator or bracket: sign[] holds it */
    TOKEN_BAD,   /* text says why */
};

struct token {
    enum token_kind kind;
    uint32_t begin, end; /* bytes of the text, quotes included */
    char sign[3];
    double number;
    bool is_integer;
    int64_t integer;
    struct unit unit;
    const char *problem;
};

struct lexer {
    const char *text;
    uint32_t at;
    bool after_number;
};

void lexer_init(struct lexer *lexer, const char *text);
struct token lexer_next(struct lexer *lexer);

#endif
