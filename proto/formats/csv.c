/* CSV: the line "t,bus,id,flags,dlc,data", then a frame a line:
 * 12.345000000,can0,0x123,,2,0102 - id in hex after 0x, flags joined by '+' ("ext+tx"), data in
 * hex. Always all six columns, no quotes. docs/FORMAT.md section 8. */
#include "proto/formats/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 6
static const char head_line[] = "t,bus,id,flags,dlc,data";

struct field {
    const char *text;
    size_t length;
};

/* Returns the number of fields, at most COLUMNS + 1. */
static size_t split(const char *text, size_t length, struct field fields[COLUMNS])
{
    size_t count = 0, start = 0;

    for (size_t i = 0; i <= length; i++) {
        if (i < length && text[i] != ',')
            continue;
        if (count == COLUMNS)
            return COLUMNS + 1;
        fields[count++] = (struct field){ text + start, i - start };
        start = i + 1;
    }
    return count;
}

static bool take_id(const struct field *field, struct lines_frame *f)
{
    f->has_id = field->length > 2 && field->text[0] == '0' && field->text[1] == 'x' &&
                lines_hex(field->text + 2, field->length - 2, &f->frame.id) == 0;
    return f->has_id;
}

static bool take_flag(const char *text, size_t length, struct lines_frame *f)
{
    for (unsigned i = 0; i < LINES_FLAGS; i++)
        if (length == strlen(lines_flag_names[i]) && !memcmp(text, lines_flag_names[i], length)) {
            f->frame.flags = (uint16_t)(f->frame.flags | 1u << i);
            return true;
        }
    return false;
}

static bool take_flags(const struct field *field, struct lines_frame *f)
{
    size_t start = 0;

    for (size_t i = 0; field->length && i <= field->length; i++) {
        if (i < field->length && field->text[i] != '+')
            continue;
        if (!take_flag(field->text + start, i - start, f))
            return false;
        start = i + 1;
    }
    return true;
}

static bool take_dlc(const struct field *field, struct lines_frame *f)
{
    unsigned value = 0;

    for (size_t i = 0; i < field->length; i++) {
        if (field->text[i] < '0' || field->text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(field->text[i] - '0');
        if (value > 15)
            return false;
    }
    f->has_dlc = field->length > 0;
    f->frame.dlc = (uint8_t)value;
    return true;
}

/* Why the line is no frame, or NULL; *ret_column is that of the field. */
static const char *parse(const char *text, size_t length, struct lines_frame *f,
                         uint32_t *ret_column)
{
    struct field fields[COLUMNS];
    size_t count = split(text, length, fields);
    uint32_t tick;

    *ret_column = 1;
    if (count != COLUMNS)
        return "expected six columns: t,bus,id,flags,dlc,data";
    if (lines_seconds(fields[0].text, fields[0].length, &f->frame.stamp_ns, &tick) < 0)
        return "expected the time in seconds";
    *ret_column = (uint32_t)(fields[2].text - text) + 1;
    if (!take_id(&fields[2], f))
        return "expected an id in hex after 0x";
    *ret_column = (uint32_t)(fields[3].text - text) + 1;
    if (!take_flags(&fields[3], f))
        return "expected flags joined by '+': ext rtr err fd brs esi tx late";
    *ret_column = (uint32_t)(fields[4].text - text) + 1;
    if (!take_dlc(&fields[4], f))
        return "expected a dlc of 0 to 15";
    *ret_column = (uint32_t)(fields[5].text - text) + 1;
    int bytes = lines_hex_bytes(fields[5].text, fields[5].length, f->frame.data, FRAME_DATA_MAX);
    if (bytes < 0)
        return "expected hex bytes";
    f->frame.len = (uint8_t)bytes;
    f->bus = fields[1].text;
    f->bus_length = fields[1].length;
    f->has_stamp = f->has_bus = f->has_data = true;
    return NULL;
}

static int take_line(struct lines_reader *c, const char *text, size_t length,
                     struct recording_item *ret_item, struct err *err)
{
    struct lines_frame frame = { 0 };
    uint32_t column;

    if (c->lines.number == 1 && length == strlen(head_line) && !memcmp(text, head_line, length))
        return 0;
    const char *why = parse(text, length, &frame, &column);
    if (why)
        return recording_skip_line(c->input, c->state, RECORDING_SKIP_FOREIGN, c->lines.number,
                                   column, err, "%s", why);
    return lines_take_frame(c->input, c->state, &frame, c->lines.number, ret_item, err);
}

static int csv_next(void *context, struct recording_item *ret_item, struct err *err)
{
    return lines_reader_next(context, take_line, false, ret_item, err);
}

static int csv_sniff(const uint8_t *bytes, size_t size)
{
    return size >= strlen(head_line) && !memcmp(bytes, head_line, strlen(head_line));
}

/* --- writing --- */

static int csv_write_open(FILE *file, const struct recording_writer_config *config,
                          void **ret_context, struct err *err)
{
    int rc = lines_writer_open(file, config, ret_context, err);

    if (!rc && fprintf(file, "%s\n", head_line) < 0)
        rc = err_plain(err, -EIO, "write failed: %s", strerror(errno));
    return rc;
}

static int csv_put(void *context, const struct recording_item *item, struct err *err)
{
    struct lines_writer *w = context;
    const struct frame *frame = &item->row.frame;
    char seconds[LINES_SECONDS_MAX], data[2 * FRAME_DATA_MAX];
    const char *joint = "";

    if (item->kind != RECORDING_FRAME)
        return 0;
    (void)fprintf(w->file, "%.*s,%s,0x%X,", (int)lines_put_seconds9(frame->stamp_ns, seconds),
                  seconds, w->sources->items[frame->source].name, frame->id);
    for (unsigned i = 0; i < LINES_FLAGS; i++)
        if (frame->flags >> i & 1) {
            (void)fprintf(w->file, "%s%s", joint, lines_flag_names[i]);
            joint = "+";
        }
    if (fprintf(w->file, ",%u,%.*s\n", frame->dlc,
                (int)lines_put_hex(frame->data, frame->len, data), data) < 0)
        return err_plain(err, -EIO, "write failed: %s", strerror(errno));
    return 0;
}

const struct recording_format recording_csv = {
    .name = "csv", .extensions = ".csv", .sniff = csv_sniff, .open = lines_reader_open,
    .next = csv_next, .rewind = lines_reader_rewind, .close = free, .write_open = csv_write_open,
    .write_put = csv_put, .write_finish = lines_writer_finish, .write_close = free,
};
