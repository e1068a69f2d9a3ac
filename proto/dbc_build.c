#include "proto/dbc_build.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define FOUND_MAX 40 /* bytes of the found text that a complaint quotes */

static void complain(struct dbc_build *b, enum diag_severity severity, const char *code,
                     struct dbc_place place, const char *text)
{
    diags_add(b->diags, severity, code, b->name, place.line, place.column, "%s", text);
    if (severity == DIAG_ERROR && b->err && !b->err->text[0]) {
        (void)err_at(b->err, 0, b->name, place.line, place.column, "%s", text);
        (void)snprintf(b->err->code, sizeof b->err->code, "%s", code);
    }
}

void dbc_warn(struct dbc_build *b, const char *code, struct dbc_place place, const char *format,
              ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    if (b->status) /* what follows from a file that is refused is noise */
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    b->complained = true;
    complain(b, b->strict ? DIAG_ERROR : DIAG_WARNING, code, place, text);
}

void dbc_fail(struct dbc_build *b, int status, struct dbc_place place, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    if (b->status)
        return;
    b->status = status;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    complain(b, DIAG_ERROR, "D001", place, text);
}

static void describe(const struct dbc_token *token, char *text, size_t size)
{
    int shown = (int)(token->size < FOUND_MAX ? token->size : FOUND_MAX);

    switch (token->kind) {
    case DBC_END:
        (void)snprintf(text, size, "the end of the file");
        break;
    case DBC_STRING:
        (void)snprintf(text, size, "the string \"%.*s\"", shown, token->at);
        break;
    case DBC_BROKEN:
        (void)snprintf(text, size, "something that never ends");
        break;
    case DBC_PUNCT:
        if ((unsigned char)*token->at < 0x20) {
            (void)snprintf(text, size, "byte 0x%02x", (unsigned)(unsigned char)*token->at);
            break;
        }
        /* fall through */
    case DBC_WORD:
    case DBC_NUMBER:
        (void)snprintf(text, size, "'%.*s'", shown, token->at);
        break;
    }
}

void dbc_warn_expected(struct dbc_build *b, const char *code, const char *consequence)
{
    char found[FOUND_MAX + 32];

    describe(&b->found, found, sizeof found);
    dbc_warn(b, code, (struct dbc_place){ b->found.line, b->found.column },
             "expected %s, found %s; %s", b->expected, found, consequence);
}

bool dbc_room(struct dbc_build *b, void **items, uint32_t *capacity, uint32_t count, size_t size,
              uint32_t max, const char *what)
{
    int status = dbc_grow(items, capacity, count, size, max);

    if (status == -ENOBUFS)
        dbc_fail(b, -ERANGE, dbc_here(b), "more than %u %s in one file", max, what);
    else if (status)
        dbc_fail(b, status, dbc_here(b), "out of memory");
    return status == 0;
}

void dbc_refuse(struct dbc_build *b, const char *message, const char *signal, const char *reason,
                struct dbc_place place)
{
    if (!dbc_room(b, (void **)&b->refused, &b->refused_capacity, b->refused_count,
                  sizeof *b->refused, DBC_ROWS_MAX, "refused rows"))
        return;
    b->refused[b->refused_count++] =
        (struct dbc_refused){ message, signal, reason, place.line, place.column };
}
