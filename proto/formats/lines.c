#include "proto/formats/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DECIMALS_MAX 9

void lines_init(struct lines *lines, FILE *file)
{
    lines->file = file;
    lines->number = 0;
    lines->at = lines->end = 0;
    lines->ended = false;
}

int lines_rewind(struct lines *lines)
{
    FILE *file = lines->file;

    if (fseeko(file, 0, SEEK_SET) < 0)
        return -EIO;
    lines_init(lines, file);
    return 0;
}

/* Moves what is left to the front and reads on. Returns bytes added, 0 at the end, or -EIO. */
static int64_t refill(struct lines *lines)
{
    if (lines->ended)
        return 0;
    memmove(lines->buffer, lines->buffer + lines->at, lines->end - lines->at);
    lines->end -= lines->at;
    lines->at = 0;
    size_t got = fread(lines->buffer + lines->end, 1, LINES_BUFFER - lines->end, lines->file);
    if (!got && ferror(lines->file))
        return -EIO;
    lines->ended = got == 0;
    lines->end += got;
    return (int64_t)got;
}

/* Passes over the rest of a line that is too long. */
static int skip_rest(struct lines *lines)
{
    for (;;) {
        const char *from = lines->buffer + lines->at;
        const char *newline = memchr(from, '\n', lines->end - lines->at);
        if (newline) {
            lines->at += (size_t)(newline - from) + 1;
            return 0;
        }
        lines->at = lines->end;
        int64_t got = refill(lines);
        if (got <= 0)
            return (int)got;
    }
}

int lines_next(struct lines *lines, const char **ret_text, size_t *ret_length)
{
    size_t seen = 0;

    for (;;) {
        char *from = lines->buffer + lines->at, *newline;
        size_t held = lines->end - lines->at;
        newline = memchr(from + seen, '\n', held - seen);
        seen = held;
        size_t length = newline ? (size_t)(newline - from) : held;
        if (length > RECORDING_LINE_MAX) {
            lines->number++;
            *ret_text = from;
            *ret_length = 0;
            return skip_rest(lines) < 0 ? -EIO : LINES_TORN;
        }
        if (newline) {
            lines->number++;
            lines->at += length + 1;
            *ret_text = from;
            *ret_length = length && from[length - 1] == '\r' ? length - 1 : length;
            return LINES_LINE;
        }
        int64_t got = refill(lines);
        if (got < 0)
            return -EIO;
        if (got == 0 && held == 0)
            return LINES_END;
        if (got == 0) {
            lines->number++;
            *ret_text = lines->buffer + lines->at;
            *ret_length = held;
            lines->at = lines->end;
            return LINES_TORN;
        }
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int lines_hex(const char *text, size_t count, uint32_t *ret_value)
{
    uint32_t value = 0;

    if (count < 1 || count > 8)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return -EINVAL;
        value = value << 4 | (uint32_t)digit;
    }
    *ret_value = value;
    return 0;
}

int lines_hex_bytes(const char *text, size_t length, uint8_t *bytes, size_t max)
{
    if (length / 2 > max)
        return -ERANGE;
    for (size_t i = 0; i < length / 2; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return length % 2 ? -EINVAL : (int)(length / 2);
}

/* Digits at text as a number; returns how many, or -ERANGE. */
static int64_t digits(const char *text, size_t length, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t n = 0;

    for (; n < length && text[n] >= '0' && text[n] <= '9'; n++) {
        if (value > (UINT64_MAX - 9) / 10)
            return -ERANGE;
        value = value * 10 + (uint64_t)(text[n] - '0');
    }
    *ret_value = value;
    return (int64_t)n;
}

int lines_seconds(const char *text, size_t length, int64_t *ret_ns, uint32_t *ret_tick_ns)
{
    static const uint32_t ticks[DECIMALS_MAX + 1] = { 1000000000, 100000000, 10000000, 1000000,
                                                      100000, 10000, 1000, 100, 10, 1 };
    bool negative = length && text[0] == '-';
    uint64_t seconds, fraction = 0;
    int64_t decimals = 0;

    text += negative;
    length -= negative;
    int64_t n = digits(text, length, &seconds);
    if (n <= 0)
        return n < 0 ? -ERANGE : -EINVAL;
    if ((size_t)n < length) {
        decimals = digits(text + n + 1, length - (size_t)n - 1, &fraction);
        if (text[n] != '.' || decimals < 1 || decimals > DECIMALS_MAX ||
            (size_t)(n + 1 + decimals) != length)
            return -EINVAL;
    }
    if (seconds >= INT64_MAX / (uint64_t)NS_PER_S)
        return -ERANGE;
    int64_t ns = (int64_t)(seconds * (uint64_t)NS_PER_S + fraction * ticks[decimals]);
    *ret_ns = negative ? -ns : ns;
    *ret_tick_ns = ticks[decimals];
    return 0;
}

static size_t put_digits(uint64_t value, unsigned least, char *text)
{
    char reversed[20];
    size_t n = 0;

    while (value || n < least) {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    }
    for (size_t i = 0; i < n; i++)
        text[i] = reversed[n - 1 - i];
    return n;
}

size_t lines_put_seconds(int64_t ns, uint32_t tick_ns, char *text)
{
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    uint64_t fraction = size % (uint64_t)NS_PER_S;
    size_t n = 0;

    if (ns < 0)
        text[n++] = '-';
    n += put_digits(size / (uint64_t)NS_PER_S, 1, text + n);
    text[n++] = '.';
    if (tick_ns % 1000 == 0 && fraction % 1000 == 0)
        return n + put_digits(fraction / 1000, 6, text + n);
    return n + put_digits(fraction, 9, text + n);
}

size_t lines_put_seconds9(int64_t ns, char *text)
{
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    size_t n = 0;

    if (ns < 0)
        text[n++] = '-';
    n += put_digits(size / (uint64_t)NS_PER_S, 1, text + n);
    text[n++] = '.';
    return n + put_digits(size % (uint64_t)NS_PER_S, 9, text + n);
}

uint32_t lines_tick_of(int64_t ns) { return ns % 1000 ? 1 : 1000; }

size_t lines_put_hex(const uint8_t *bytes, size_t size, char *text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < size; i++) {
        text[2 * i] = hex[bytes[i] >> 4];
        text[2 * i + 1] = hex[bytes[i] & 15];
    }
    return 2 * size;
}

const char *const lines_flag_names[LINES_FLAGS] = { "ext", "rtr", "err", "fd",
                                                    "brs", "esi", "tx", "late" };

static uint8_t implied_dlc(const struct frame *frame)
{
    return frame->flags & FRAME_FD ? frame_len_to_dlc(frame->len) : frame->len;
}

bool lines_dlc_matters(const struct frame *frame) { return frame->dlc != implied_dlc(frame); }

int lines_take_frame(const struct recording_input *input, struct recording_state *state,
                     const struct lines_frame *from, uint64_t line,
                     struct recording_item *ret_item, struct err *err)
{
    struct recording_item item = { .row = { .frame = from->frame } };
    struct frame *frame = &item.row.frame;

    if (!from->has_stamp || !from->has_bus || !from->has_id ||
        !(from->has_data || frame->flags & FRAME_RTR) ||
        !source_name_fits(from->bus, from->bus_length))
        return recording_skip_line(input, state, RECORDING_SKIP_FOREIGN, line, 1, err,
                                   "expected at least t, bus, id and data");
    if (!from->has_dlc)
        frame->dlc = implied_dlc(frame);
    if (frame_check(frame) < 0)
        return recording_skip_line(input, state, RECORDING_SKIP_RANGE, line, 1, err,
                                   "no such frame can be: id %X, %u bytes, dlc %u", frame->id,
                                   frame->len, frame->dlc);
    int source = recording_source_index(&state->sources, from->bus, from->bus_length,
                                        lines_tick_of(frame->stamp_ns));
    if (source < 0)
        return recording_skip_line(input, state, RECORDING_SKIP_SOURCES, line, 1, err,
                                   "more than %d buses", SOURCES_MAX);
    frame->source = (uint8_t)source;
    int rc = recording_note_stamp(input, state, frame->stamp_ns, line, err);
    if (rc < 0)
        return rc;
    *ret_item = item;
    return 1;
}

/* --- readers and writers --- */

int lines_reader_open(struct recording_input *input, struct recording_state *state,
                      void **ret_context, struct err *err)
{
    struct lines_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return err_plain(err, -ENOMEM, "no memory for a reader");
    reader->input = input;
    reader->state = state;
    lines_init(&reader->lines, input->file);
    *ret_context = reader;
    return 0;
}

int lines_reader_next(struct lines_reader *reader, lines_take *take, bool torn,
                      struct recording_item *ret_item, struct err *err)
{
    const struct lines *lines = &reader->lines;
    const char *text;
    size_t length;
    int rc = 0;

    while (rc == 0) {
        int got = lines_next(&reader->lines, &text, &length);
        if (got == LINES_END)
            return 0;
        if (got < 0)
            return err_at(err, got, reader->input->name, (uint32_t)lines->number, 0,
                          "read failed");
        if (got == LINES_TORN && !torn)
            rc = recording_skip_line(reader->input, reader->state, RECORDING_SKIP_TORN,
                                     lines->number, (uint32_t)length + 1, err,
                                     "the line does not end, or is longer than %d bytes",
                                     RECORDING_LINE_MAX);
        else
            rc = take(reader, text, length, ret_item, err);
    }
    return rc;
}

int lines_reader_rewind(void *context, struct err *err)
{
    struct lines_reader *reader = context;

    if (lines_rewind(&reader->lines) < 0)
        return err_at(err, -EIO, reader->input->name, 0, 0, "cannot be read a second time");
    return 0;
}

int lines_writer_open(FILE *file, const struct recording_writer_config *config,
                      void **ret_context, struct err *err)
{
    struct lines_writer *writer = calloc(1, sizeof *writer);

    if (!writer)
        return err_plain(err, -ENOMEM, "no memory for a writer");
    writer->file = file;
    writer->sources = config->sources;
    *ret_context = writer;
    return 0;
}

int lines_writer_finish(void *context, struct err *err)
{
    (void)context;
    (void)err;
    return 0;
}
