#include "proto/dbc.h"

#include "proto/dbc_build.h"
#include "proto/dbc_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void build_close(struct dbc_build *b)
{
    free(b->messages);
    free(b->signals);
    free(b->rows);
    free(b->labels);
    free(b->ranges);
    free(b->tables);
    free(b->refused);
    if (b->status)
        arena_deinit(&b->arena);
}

static void skip_byte_order_mark(struct dbc_build *b, const char **bytes, size_t *size)
{
    if (*size < 3 || memcmp(*bytes, "\xef\xbb\xbf", 3) != 0)
        return;
    dbc_warn(b, "D101", (struct dbc_place){ 1, 1 },
             "expected a section, found a byte order mark; it is left out");
    *bytes += 3;
    *size -= 3;
}

static void build(struct dbc_build *b, const char *bytes, size_t size, struct dbc **ret_dbc)
{
    struct dbc *dbc;

    skip_byte_order_mark(b, &bytes, &size);
    b->is_utf8 = dbc_text_is_utf8(bytes, size);
    b->lex = dbc_lex_init(bytes, size);
    dbc_parse(b);
    if (!b->status)
        dbc_link(b);
    if (!b->status && b->strict && b->complained)
        b->status = -EBADMSG;
    if (!b->status)
        b->status = dbc_index_build(b, &dbc);
    if (!b->status)
        *ret_dbc = dbc;
}

int dbc_load(const void *bytes, size_t size, const char *name, bool strict, struct diags *diags,
             struct err *err, struct dbc **ret_dbc)
{
    struct dbc_build b = { .name = name, .strict = strict, .diags = diags, .err = err };

    if (err)
        memset(err, 0, sizeof *err);
    arena_init(&b.arena, DBC_MEMORY_MAX);
    if (size > DBC_FILE_BYTES_MAX)
        dbc_fail(&b, -ERANGE, (struct dbc_place){ 0, 0 },
                 "the file has %zu bytes; a DBC may have %u", size, DBC_FILE_BYTES_MAX);
    else
        build(&b, bytes, size, ret_dbc);
    build_close(&b);
    return b.status;
}

void dbc_close(struct dbc *dbc)
{
    if (!dbc)
        return;
    struct arena arena = dbc->arena; /* *dbc itself lies in it */
    arena_deinit(&arena);
}
