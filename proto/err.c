#include "proto/err.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define NAME_COMPARE_MAX 64

/* The character at `at` when it is whole UTF-8, with its length; else the byte, with length 1 and
 * *ret_code above Unicode. */
static unsigned take_char(const unsigned char *at, uint32_t *ret_code)
{
    unsigned len = *at < 0x80 ? 1 : *at < 0xc2 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;
    uint32_t code = len == 1 ? *at : *at & (0xffu >> (len + 1));

    for (unsigned i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) /* the NUL at the end too */
            len = 0;
        else
            code = code << 6 | (at[i] & 0x3f);
    }
    *ret_code = len ? code : UINT32_MAX;
    return len ? len : 1;
}

/* What would move the terminal's cursor, or show a line in another order than its bytes have. */
static bool is_hidden(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || code == UINT32_MAX;
}

/* Messages quote files that anybody may have written: what hides is written as \xNN, byte by byte. */
static void copy_visible(char *to, size_t size, const char *from)
{
    const unsigned char *at = (const unsigned char *)from;
    size_t used = 0;

    while (*at) {
        uint32_t code;
        unsigned len = take_char(at, &code);
        bool hidden = is_hidden(code);
        if (used + (hidden ? 4 * len : len) >= size)
            break;
        for (unsigned i = 0; i < len; i++)
            used += (size_t)snprintf(to + used, size - used, hidden ? "\\x%02x" : "%c", at[i]);
        at += len;
    }
    to[used] = '\0';
}

static void fill(struct err *err, const char *code, const char *file, uint32_t line,
                 uint32_t column, const char *format, va_list args)
{
    char text[ERR_TEXT_MAX];

    (void)vsnprintf(text, sizeof text, format, args); /* first: an argument may lie in *err */
    memset(err, 0, sizeof *err);
    copy_visible(err->file, sizeof err->file, file ? file : "");
    (void)snprintf(err->code, sizeof err->code, "%s", code);
    err->line = line;
    err->column = column;
    copy_visible(err->text, sizeof err->text, text);
}

int err_at(struct err *err, int code, const char *file, uint32_t line, uint32_t column,
           const char *format, ...)
{
    va_list args;

    if (!err)
        return code;
    va_start(args, format);
    fill(err, "", file, line, column, format, args);
    va_end(args);
    return code;
}

int err_plain(struct err *err, int code, const char *format, ...)
{
    va_list args;

    if (!err)
        return code;
    va_start(args, format);
    fill(err, "", NULL, 0, 0, format, args);
    va_end(args);
    return code;
}

void diags_add(struct diags *diags, enum diag_severity severity, const char *code, const char *file,
               uint32_t line, uint32_t column, const char *format, ...)
{
    va_list args;

    if (!diags)
        return;
    if (severity == DIAG_ERROR)
        diags->errors++;
    else
        diags->warnings++;
    if (diags->count == DIAGS_MAX)
        return;
    struct diag *item = &diags->items[diags->count++];
    item->severity = severity;
    va_start(args, format);
    fill(&item->err, code, file, line, column, format, args);
    va_end(args);
}

static int format_place(const struct err *err, char *text, size_t size)
{
    if (!err->file[0])
        return snprintf(text, size, "%s", "");
    if (!err->line)
        return snprintf(text, size, "%s: ", err->file);
    if (!err->column)
        return snprintf(text, size, "%s:%u: ", err->file, err->line);
    return snprintf(text, size, "%s:%u:%u: ", err->file, err->line, err->column);
}

int err_format(const struct err *err, char *text, size_t size)
{
    char place[ERR_FILE_MAX + 32];

    (void)format_place(err, place, sizeof place);
    return snprintf(text, size, "%s%s", place, err->text);
}

void diags_print(const struct diags *diags, FILE *to)
{
    for (uint32_t i = 0; i < diags->count; i++) {
        const struct diag *item = &diags->items[i];
        char place[ERR_FILE_MAX + 32];

        (void)format_place(&item->err, place, sizeof place);
        (void)fprintf(to, "%s%s%s%s: %s\n", place,
                      item->severity == DIAG_ERROR ? "error" : "warning",
                      item->err.code[0] ? " " : "", item->err.code, item->err.text);
    }
    uint32_t left_out = diags->errors + diags->warnings - diags->count;
    if (left_out)
        (void)fprintf(to, "and %u more\n", left_out);
}

/* Levenshtein distance, case-blind, of names of at most NAME_COMPARE_MAX bytes. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[NAME_COMPARE_MAX + 1];

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = diagonal + (same ? 0 : 1);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *err_nearest(const char *found, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = 0, found_len = strlen(found);

    if (found_len > NAME_COMPARE_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if (len > NAME_COMPARE_MAX)
            continue;
        size_t d = distance(found, found_len, names[i], len);
        size_t allowed = (len > found_len ? len : found_len) / 3;
        if (d > (allowed ? allowed : 1))
            continue;
        if (!best || d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
