#include "proto/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#define KEYS_MAX 32

static struct json_field *find_field(struct json_field *fields, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

static int unknown(const struct json_field *fields, size_t count, const char *key, struct err *err)
{
    const char *names[KEYS_MAX], *near;

    for (size_t i = 0; i < count && i < KEYS_MAX; i++)
        names[i] = fields[i].key;
    near = err_nearest(key, names, count < KEYS_MAX ? count : KEYS_MAX);
    return err_plain(err, -EBADMSG, "unknown key '%.40s'%s%s%s", key, near ? "; did you mean '" : "",
                     near ? near : "", near ? "'?" : "");
}

static int take(struct json_field *field, const json_t *value, struct err *err)
{
    if (field->text) {
        if (!json_is_string(value))
            return err_plain(err, -EBADMSG, "%s: expected a string", field->key);
        size_t length = json_string_length(value);
        if (length >= field->size)
            return err_plain(err, -EBADMSG, "%s: at most %zu bytes", field->key, field->size - 1);
        memcpy(field->text, json_string_value(value), length + 1); /* jansson refuses NULs */
    } else {
        if (!json_is_integer(value))
            return err_plain(err, -EBADMSG, "%s: expected a whole number", field->key);
        *field->number = json_integer_value(value);
    }
    field->present = true;
    return 0;
}

int json_read(const char *bytes, size_t size, struct json_field *fields, size_t count,
              struct err *err)
{
    json_error_t why;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &why);
    const char *key;
    json_t *value;
    int code = 0;

    if (!root)
        return err_plain(err, -EBADMSG, "not JSON: column %d: %.100s", why.column, why.text);
    if (!json_is_object(root))
        code = err_plain(err, -EBADMSG, "expected an object");
    json_object_foreach(root, key, value) {
        struct json_field *field = find_field(fields, count, key);
        code = field ? take(field, value, err) : unknown(fields, count, key, err);
        if (code < 0)
            break;
    }
    json_decref(root);
    return code;
}

void json_printf(struct json_text *text, const char *format, ...)
{
    size_t room = text->length < text->size ? text->size - text->length : 0;
    va_list args;

    va_start(args, format);
    int n = vsnprintf(room ? text->at + text->length : NULL, room, format, args);
    va_end(args);
    if (n > 0)
        text->length += (size_t)n;
}

/* Bytes of the UTF-8 sequence at `at`, or 0 where there is none. */
static size_t utf8_length(const unsigned char *at)
{
    static const unsigned char low[5] = { 0, 0, 0x80, 0xa0, 0x90 };
    size_t n = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3
               : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, beyond U+10FFFF. */
    if ((n == 3 && at[0] == 0xe0 && at[1] < low[3]) || (n == 4 && at[0] == 0xf0 && at[1] < low[4]) ||
        (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf4 && at[1] >= 0x90))
        return 0;
    return n;
}

void json_quote(struct json_text *text, const char *value)
{
    json_printf(text, "\"");
    for (const unsigned char *at = (const unsigned char *)value; *at;) {
        size_t n = utf8_length(at);
        if (*at == '"' || *at == '\\')
            json_printf(text, "\\%c", *at);
        else if (*at < 0x20)
            json_printf(text, "\\u%04x", *at);
        else if (n == 0)
            json_printf(text, "\xef\xbf\xbd");
        else
            json_printf(text, "%.*s", (int)n, (const char *)at);
        at += n ? n : 1;
    }
    json_printf(text, "\"");
}
