/* JSON lines: one object a frame, {"t":"12.345000000","bus":"can0","id":291,"data":"0102"}, and
 * where they say something: "ext", "rtr", "err", "fd", "brs", "esi", "tx", "late" (true), "dlc".
 * With databases also "message" and "signals" (signals_json.h). docs/FORMAT.md section 8.
 * Read: keys in any order; other keys and their values, nested or not, are passed over. */
#include "proto/formats/lines.h"
#include "proto/signals_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16 /* nesting of values that are passed over */

/* --- reading --- */

struct scan {
    const char *at, *end;
};

/* A value as it stands in the line. */
struct token {
    const char *text; /* of a string: without its quotes, escapes as written */
    size_t length;
    bool string;
};

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_string(struct scan *s, struct token *ret_token)
{
    if (!take(s, '"'))
        return false;
    const char *start = s->at;
    while (s->at < s->end && *s->at != '"')
        s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
    if (s->at == s->end)
        return false;
    *ret_token = (struct token){ start, (size_t)(s->at++ - start), true };
    return true;
}

/* Passes over an object or array: brackets are counted, strings are whole. */
static bool skip_nested(struct scan *s)
{
    struct token token;
    int depth = 0;

    do {
        skip_space(s);
        if (s->at == s->end)
            return false;
        if (*s->at == '"') {
            if (!take_string(s, &token))
                return false;
            continue;
        }
        depth += *s->at == '{' || *s->at == '[' ? 1 : 0;
        depth -= *s->at == '}' || *s->at == ']' ? 1 : 0;
        s->at++;
        if (depth > DEPTH_MAX)
            return false;
    } while (depth > 0);
    return true;
}

static bool take_value(struct scan *s, struct token *ret_token)
{
    skip_space(s);
    if (s->at == s->end)
        return false;
    if (*s->at == '"')
        return take_string(s, ret_token);
    const char *start = s->at;
    if (*s->at == '{' || *s->at == '[') {
        if (!skip_nested(s))
            return false;
    } else {
        while (s->at < s->end && !strchr(",}] \t", *s->at))
            s->at++;
    }
    *ret_token = (struct token){ start, (size_t)(s->at - start), false };
    return s->at > start;
}

static bool is(const struct token *token, const char *text)
{
    return token->length == strlen(text) && !memcmp(token->text, text, token->length);
}

static bool take_number(const struct token *token, uint32_t max, uint32_t *ret_value)
{
    uint64_t value = 0;

    for (size_t i = 0; i < token->length; i++) {
        if (token->text[i] < '0' || token->text[i] > '9' || value > max)
            return false;
        value = value * 10 + (uint64_t)(token->text[i] - '0');
    }
    *ret_value = (uint32_t)value;
    return !token->string && token->length && value <= max;
}

static bool take_flag(const struct token *key, const struct token *value, struct frame *frame,
                      bool *ret_known)
{
    for (unsigned i = 0; i < LINES_FLAGS; i++)
        if (is(key, lines_flag_names[i])) {
            *ret_known = true;
            if (is(value, "true") && !value->string)
                frame->flags = (uint16_t)(frame->flags | 1u << i);
            return !value->string && (is(value, "true") || is(value, "false"));
        }
    return true;
}

/* One key and its value. False when the value is not what the key takes. */
static bool take_field(const struct token *key, const struct token *value, struct lines_frame *f)
{
    uint32_t number, tick;
    bool known = false;
    int bytes;

    if (is(key, "t")) {
        f->has_stamp = true;
        return lines_seconds(value->text, value->length, &f->frame.stamp_ns, &tick) == 0;
    }
    if (is(key, "bus")) {
        f->has_bus = value->string;
        f->bus = value->text;
        f->bus_length = value->length;
        return value->string;
    }
    if (is(key, "id")) {
        f->has_id = take_number(value, UINT32_MAX, &f->frame.id);
        return f->has_id;
    }
    if (is(key, "data")) {
        bytes = lines_hex_bytes(value->text, value->length, f->frame.data, FRAME_DATA_MAX);
        f->has_data = bytes >= 0 && value->string;
        f->frame.len = f->has_data ? (uint8_t)bytes : 0;
        return f->has_data;
    }
    if (is(key, "dlc")) {
        f->has_dlc = take_number(value, 15, &number);
        f->frame.dlc = f->has_dlc ? (uint8_t)number : 0;
        return f->has_dlc;
    }
    return take_flag(key, value, &f->frame, &known);
}

/* Why the line is no frame, or NULL. A line that stops inside is torn. */
static const char *parse(struct scan *s, struct lines_frame *f, enum recording_skip *ret_skip)
{
    struct token key, value;

    *ret_skip = RECORDING_SKIP_FOREIGN;
    if (!take(s, '{'))
        return "expected an object";
    do {
        if (!take_string(s, &key) || !take(s, ':') || !take_value(s, &value)) {
            skip_space(s);
            *ret_skip = s->at >= s->end ? RECORDING_SKIP_TORN : RECORDING_SKIP_FOREIGN;
            return "expected \"key\": value";
        }
        if (!take_field(&key, &value, f))
            return "a value of the wrong kind";
    } while (take(s, ','));
    if (!take(s, '}')) {
        *ret_skip = s->at == s->end ? RECORDING_SKIP_TORN : RECORDING_SKIP_FOREIGN;
        return "expected '}'";
    }
    skip_space(s);
    return s->at == s->end ? NULL : "something stands after the object";
}

static int take_line(struct lines_reader *j, const char *text, size_t length,
                     struct recording_item *ret_item, struct err *err)
{
    struct scan scan = { text, text + length };
    struct lines_frame frame = { 0 };
    enum recording_skip skip = RECORDING_SKIP_TORN;
    /* A line that is too long comes without its text. */
    const char *why = length ? parse(&scan, &frame, &skip) : "an empty line, or one too long";

    if (why)
        return recording_skip_line(j->input, j->state, skip, j->lines.number,
                                   (uint32_t)(scan.at - text) + 1, err, "%s", why);
    return lines_take_frame(j->input, j->state, &frame, j->lines.number, ret_item, err);
}

/* A last line without a line end is whole when its object is. */
static int jsonl_next(void *context, struct recording_item *ret_item, struct err *err)
{
    return lines_reader_next(context, take_line, true, ret_item, err);
}

static int jsonl_sniff(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == '{' && (bytes[1] == '"' || bytes[1] == ' ');
}

/* --- writing --- */

struct jsonl_writer {
    FILE *file;
    const struct source_table *sources;
    struct signals_json signals;
};

static int jsonl_write_open(FILE *file, const struct recording_writer_config *config,
                            void **ret_context, struct err *err)
{
    struct jsonl_writer *w = calloc(1, sizeof *w);

    if (!w)
        return err_plain(err, -ENOMEM, "no memory for a writer");
    w->file = file;
    w->sources = config->sources;
    signals_json_init(&w->signals, config->dbset, config->sources);
    *ret_context = w;
    return 0;
}

static int jsonl_put(void *context, const struct recording_item *item, struct err *err)
{
    struct jsonl_writer *w = context;
    const struct frame *frame = &item->row.frame;
    char seconds[LINES_SECONDS_MAX], data[2 * FRAME_DATA_MAX];

    if (item->kind != RECORDING_FRAME)
        return 0;
    (void)fprintf(w->file, "{\"t\":\"%.*s\",\"bus\":\"%s\",\"id\":%u,\"data\":\"%.*s\"",
                  (int)lines_put_seconds9(frame->stamp_ns, seconds), seconds,
                  w->sources->items[frame->source].name, frame->id,
                  (int)lines_put_hex(frame->data, frame->len, data), data);
    for (unsigned i = 0; i < LINES_FLAGS; i++)
        if (frame->flags >> i & 1)
            (void)fprintf(w->file, ",\"%s\":true", lines_flag_names[i]);
    if (lines_dlc_matters(frame))
        (void)fprintf(w->file, ",\"dlc\":%u", frame->dlc);
    signals_json_put(&w->signals, frame, w->file);
    if (fputs("}\n", w->file) < 0)
        return err_plain(err, -EIO, "write failed: %s", strerror(errno));
    return 0;
}

const struct recording_format recording_jsonl = {
    .name = "jsonl", .extensions = ".jsonl .ndjson", .sniff = jsonl_sniff,
    .open = lines_reader_open, .next = jsonl_next, .rewind = lines_reader_rewind, .close = free,
    .write_open = jsonl_write_open, .write_put = jsonl_put, .write_finish = lines_writer_finish,
    .write_close = free,
};
