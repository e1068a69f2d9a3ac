/* err - why something was refused, in words for people.
 * A struct err lives in the caller's storage and holds no resource. Parsers fill it and return a
 * negative errno; only daemon/ and tools/ print it. A struct diags collects several, bounded. */
#ifndef PROTO_ERR_H
#define PROTO_ERR_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ERR_FILE_MAX 256
#define ERR_TEXT_MAX 512
#define ERR_CODE_MAX 8
#define DIAGS_MAX 64

struct err {
    char file[ERR_FILE_MAX]; /* "" when no file is meant */
    uint32_t line, column;   /* from 1; 0 when unknown; column counts bytes */
    char code[ERR_CODE_MAX]; /* "E201", or "" */
    char text[ERR_TEXT_MAX]; /* what was found, what was expected, the nearest name */
};

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

struct diag {
    enum diag_severity severity;
    struct err err;
};

/* Keeps the first DIAGS_MAX and counts all. Zero-initialised is empty. */
struct diags {
    struct diag items[DIAGS_MAX];
    uint32_t count;            /* items held */
    uint32_t errors, warnings; /* all, held or not */
};

/* In all texts and file names, control and bidirectional characters, zero widths and bytes that are no
 * UTF-8 become \xNN, so that a file cannot rewrite what a terminal shows of it. */

/* Fills *err (NULL is allowed) and returns `code`, so that a parser can `return err_at(...)`.
 * `file` may be NULL. */
int err_at(struct err *err, int code, const char *file, uint32_t line, uint32_t column,
           const char *format, ...) __attribute__((format(printf, 6, 7)));
int err_plain(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds one diagnostic; `code` is its stable name ("E201", "W711") or "". NULL diags is allowed. */
void diags_add(struct diags *diags, enum diag_severity severity, const char *code, const char *file,
               uint32_t line, uint32_t column, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* Writes "file:line:column: text" (parts that are unknown are left out) and returns the length
 * that the whole text has, as snprintf does. */
int err_format(const struct err *err, char *text, size_t size);

/* One line an item: "file:line:column: error E201: text"; then how many were left out. */
void diags_print(const struct diags *diags, FILE *to);

/* The entry of names[0..count) nearest to `found` by edit distance, or NULL when none is near
 * enough to be meant (distance at most a third of the longer name, at least 1). */
const char *err_nearest(const char *found, const char *const *names, size_t count);

#endif
