#include "proto/pbw.h"

#include <assert.h>

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct pbw pbw_init(void *bytes, size_t size)
{
    return (struct pbw){ .bytes = bytes, .size = size };
}

static void put(struct pbw *w, const void *bytes, size_t size)
{
    if (w->failed || size > w->size - w->used) {
        w->failed = true;
        return;
    }
    if (size)
        memcpy(w->bytes + w->used, bytes, size);
    w->used += size;
}

static void put_varint(struct pbw *w, uint64_t value)
{
    uint8_t bytes[VARINT_MAX];

    put(w, bytes, store_varint(bytes, value));
}

static void put_tag(struct pbw *w, uint32_t field, enum wire wire)
{
    assert(field >= 1 && field <= PBW_FIELD_MAX);
    put_varint(w, (uint64_t)field << 3 | wire);
}

void pbw_uint(struct pbw *w, uint32_t field, uint64_t value)
{
    put_tag(w, field, WIRE_VARINT);
    put_varint(w, value);
}

void pbw_int(struct pbw *w, uint32_t field, int64_t value) { pbw_uint(w, field, (uint64_t)value); }

void pbw_sint(struct pbw *w, uint32_t field, int64_t value) { pbw_uint(w, field, zigzag(value)); }

void pbw_fixed32(struct pbw *w, uint32_t field, uint32_t value)
{
    uint8_t bytes[4];

    put_tag(w, field, WIRE_FIXED32);
    store_le32(bytes, value);
    put(w, bytes, sizeof bytes);
}

void pbw_fixed64(struct pbw *w, uint32_t field, uint64_t value)
{
    uint8_t bytes[8];

    put_tag(w, field, WIRE_FIXED64);
    store_le64(bytes, value);
    put(w, bytes, sizeof bytes);
}

void pbw_double(struct pbw *w, uint32_t field, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    pbw_fixed64(w, field, bits);
}

void pbw_bytes(struct pbw *w, uint32_t field, const void *bytes, size_t size)
{
    put_tag(w, field, WIRE_BYTES);
    put_varint(w, size);
    put(w, bytes, size);
}

void pbw_text(struct pbw *w, uint32_t field, const char *text)
{
    pbw_bytes(w, field, text, strlen(text));
}

/* One byte is left for the length, which is enough for most. */
void pbw_begin(struct pbw *w, uint32_t field)
{
    put_tag(w, field, WIRE_BYTES);
    put(w, "", 1);
    if (w->depth == PBW_DEPTH_MAX)
        w->failed = true;
    if (!w->failed)
        w->open[w->depth++] = w->used;
}

void pbw_end(struct pbw *w)
{
    uint8_t length[VARINT_MAX];

    if (w->failed)
        return;
    assert(w->depth > 0);
    size_t start = w->open[--w->depth], body = w->used - start;
    size_t length_bytes = store_varint(length, body), more = length_bytes - 1;
    if (more > w->size - w->used) {
        w->failed = true;
        return;
    }
    if (more)
        memmove(w->bytes + start + more, w->bytes + start, body);
    memcpy(w->bytes + start - 1, length, length_bytes);
    w->used += more;
}

/* Numbers of google/protobuf/descriptor.proto (protobuf 3.21). */
enum { SET_FILE = 1 };
enum { FILE_NAME = 1, FILE_PACKAGE = 2, FILE_MESSAGE = 4 };
enum { MESSAGE_NAME = 1, MESSAGE_FIELD = 2 };
enum { FIELD_NAME = 1, FIELD_NUMBER = 3, FIELD_LABEL = 4, FIELD_TYPE = 5, FIELD_TYPE_NAME = 6 };
enum { LABEL_OPTIONAL = 1, LABEL_REPEATED = 3 };

static void put_field(struct pbw *w, const struct pbw_field *field)
{
    pbw_begin(w, MESSAGE_FIELD);
    pbw_text(w, FIELD_NAME, field->name);
    pbw_uint(w, FIELD_NUMBER, field->number);
    pbw_uint(w, FIELD_LABEL, field->repeated ? LABEL_REPEATED : LABEL_OPTIONAL);
    pbw_uint(w, FIELD_TYPE, field->type);
    if (field->type_name)
        pbw_text(w, FIELD_TYPE_NAME, field->type_name);
    pbw_end(w);
}

/* No `syntax` field: an absent one means proto2. */
void pbw_descriptor_set(struct pbw *w, const struct pbw_file *file)
{
    pbw_begin(w, SET_FILE);
    pbw_text(w, FILE_NAME, file->name);
    pbw_text(w, FILE_PACKAGE, file->package);
    for (size_t i = 0; i < file->message_count; i++) {
        pbw_begin(w, FILE_MESSAGE);
        pbw_text(w, MESSAGE_NAME, file->messages[i].name);
        for (size_t k = 0; k < file->messages[i].field_count; k++)
            put_field(w, &file->messages[i].fields[k]);
        pbw_end(w);
    }
    pbw_end(w);
}

/* Not isalnum: it knows locales, protobuf does not. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t pbw_identifier(const char *name, char *ret_text, size_t size)
{
    size_t used = 0;

    assert(size >= 2);
    if (!is_letter(name[0]) && (is_digit(name[0]) || !name[0]))
        ret_text[used++] = '_';
    for (; *name && used < size - 1; name++)
        ret_text[used++] = is_letter(*name) || is_digit(*name) ? *name : '_';
    ret_text[used] = '\0';
    return used;
}
