/* parse_private - what the files of the parser share: parse.c (tokens, operators, entries) and
 * parse_primary.c (literals, calls, paths). A failed parser has given its one message. */
#ifndef TRIGGERS_PARSE_PRIVATE_H
#define TRIGGERS_PARSE_PRIVATE_H
#include "triggers/ast.h"
#include "triggers/lexer.h"

struct parser {
    const struct parse_config *config;
    struct lexer lexer;
    struct token token, ahead; /* the current one and the next */
    uint32_t depth;
    bool failed;
};

/* Keeps the first error of an expression; what follows would only echo it. Gives NULL. */
void *parser_fail(struct parser *p, uint32_t offset, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Fails with what the current token is and what was expected. */
void *parser_unexpected(struct parser *p, const char *expected);

void parser_advance(struct parser *p);
bool parser_is_sign(const struct token *token, const char *sign);
bool parser_is_word(const struct parser *p, const struct token *token, const char *word);
/* Takes the sign, or fails with `expected`. */
bool parser_expect(struct parser *p, const char *sign, const char *expected);
/* One bracket deeper; the caller counts p->depth down. False beyond EXPR_DEPTH_MAX. */
bool parser_enter(struct parser *p);
/* The token's text without its quotes; NULL when out of memory. */
const char *parser_token_copy(struct parser *p, const struct token *token);

struct ast *parser_make(struct parser *p, enum ast_kind kind, uint32_t offset);
void parser_add(struct ast *parent, struct ast *child);

/* parse.c: a whole expression, a sum; the relation that the token is, or OP_NONE. */
struct ast *parse_seq(struct parser *p);
struct ast *parse_sum(struct parser *p);
enum ast_op parse_match_relation(struct parser *p);
/* parse_primary.c */
struct ast *parse_primary(struct parser *p);

#endif
