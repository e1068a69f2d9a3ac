/* json - small flat JSON objects for people and sockets: reading one of texts and whole numbers, and
 * writing strings. json.c is the only file of proto/ that includes jansson.
 * Pure; reading allocates inside and frees before it returns. */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One key that an object may have: a text for `text`, else a whole number for `number`. */
struct json_field {
    const char *key;
    char *text;      /* copied here with NUL; or NULL */
    size_t size;     /* of text; a longer value is refused */
    int64_t *number; /* or NULL */
    bool present;    /* out */
};

/* Reads one object without nesting. Returns 0, or -EBADMSG with *err (NULL allowed): no JSON, no
 * object, a key twice, a key that is not among the fields (nearest named), a value of another type,
 * text with a NUL or too long. Nothing may follow but white space. */
int json_read(const char *bytes, size_t size, struct json_field *fields, size_t count,
              struct err *err);

/* Text that grows in a buffer of fixed size; once full it stays full and says so. */
struct json_text {
    char *at;
    size_t size, length; /* length counts what was wanted too: full when length >= size */
};
void json_printf(struct json_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A quoted string; bytes that are not UTF-8 become U+FFFD, so that the result always parses. */
void json_quote(struct json_text *text, const char *value);
static inline bool json_full(const struct json_text *text) { return text->length >= text->size; }

#endif
