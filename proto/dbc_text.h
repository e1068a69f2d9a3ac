/* dbc_text - the bytes of a DBC's names and strings as UTF-8. Pure functions. */
#ifndef PROTO_DBC_TEXT_H
#define PROTO_DBC_TEXT_H
#include <stdbool.h>
#include <stddef.h>

/* One byte of cp1252 becomes at most three of UTF-8. */
#define DBC_TEXT_GROWTH 3

/* Is it well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF)? */
bool dbc_text_is_utf8(const char *text, size_t size);

/* Writes `size` bytes of cp1252 as UTF-8 to `to`, which holds DBC_TEXT_GROWTH * size bytes; the five
 * codes that cp1252 leaves undefined become U+FFFD. Returns the bytes written. */
size_t dbc_text_from_cp1252(const char *text, size_t size, char *to);

#endif
