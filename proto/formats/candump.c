/* candump -L text: "(1700000000.123456) can0 123#0102". can-utils lib.h is the source of the frame
 * syntax: 3 hex digits are 11 bits, 8 are 29; "#R5" remote with its dlc, "##<flags>" CAN FD, "_9"
 * to "_F" after 8 bytes a raw dlc above 8; error frames carry 0x20000000 in the id. A suffix " R"
 * or " T" (newer candump -x, python-can) says received or sent.
 * Written: seconds without zero padding, upper-case hex, no suffix but " T" on frames sent by this
 * host. A log in that form comes back byte for byte; docs/FORMAT.md section 8. */
#include "proto/formats/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_ERROR UINT32_C(0x20000000) /* CAN_ERR_FLAG */
#define ID_MASK UINT32_C(0x1fffffff)
#define FD_BRS 1u
#define FD_ESI 2u
#define FD_FDF 4u /* newer can-utils set it on every FD frame; it says nothing more */

/* The line in hand, and why it is not a frame. */
struct parse {
    const char *text;
    size_t length, at;
    enum recording_skip skip;
    const char *why;
};

static int refuse(struct parse *p, enum recording_skip skip, const char *why)
{
    p->skip = skip;
    p->why = why;
    return -EINVAL;
}

static void skip_blanks(struct parse *p)
{
    while (p->at < p->length && (p->text[p->at] == ' ' || p->text[p->at] == '\t'))
        p->at++;
}

/* The next word, up to a blank or one of `stops`. */
static size_t word(struct parse *p, const char *stops, const char **ret_word)
{
    size_t start = p->at;

    while (p->at < p->length && p->text[p->at] != ' ' && p->text[p->at] != '\t' &&
           !(p->text[p->at] && strchr(stops, p->text[p->at])))
        p->at++;
    *ret_word = p->text + start;
    return p->at - start;
}

static bool take_char(struct parse *p, char c)
{
    if (p->at == p->length || p->text[p->at] != c)
        return false;
    p->at++;
    return true;
}

static int parse_stamp(struct parse *p, struct frame *frame, uint32_t *ret_tick_ns)
{
    const char *seconds;
    int64_t stamp = 0;

    skip_blanks(p);
    if (!take_char(p, '('))
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected '(' before the time");
    size_t length = word(p, ")", &seconds);
    int rc = lines_seconds(seconds, length, &stamp, ret_tick_ns);
    if (rc == -ERANGE)
        return refuse(p, RECORDING_SKIP_RANGE, "the time is out of range");
    if (rc < 0 || *ret_tick_ns == NS_PER_S || stamp < 0)
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected seconds.fraction");
    if (!take_char(p, ')'))
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected ')' after the time");
    frame->stamp_ns = stamp;
    return 0;
}

static int parse_id(struct parse *p, struct frame *frame)
{
    const char *digits;
    size_t length = word(p, "#", &digits);
    uint32_t id;

    if ((length != 3 && length != 8) || lines_hex(digits, length, &id) < 0)
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected an id of 3 or 8 hex digits");
    if (length == 3 && id > 0x7ff)
        return refuse(p, RECORDING_SKIP_RANGE, "an id of 3 digits is at most 7FF");
    if (length == 8) {
        if (id & ~(ID_MASK | ID_ERROR))
            return refuse(p, RECORDING_SKIP_RANGE, "the id has more than 29 bits");
        frame->flags = id & ID_ERROR ? FRAME_ERR : FRAME_EFF;
        id &= ID_MASK;
    }
    frame->id = id;
    if (!take_char(p, '#'))
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected '#' after the id");
    return 0;
}

/* "_9" to "_F" after eight bytes. */
static int parse_raw_dlc(struct parse *p, struct frame *frame)
{
    uint32_t dlc;

    if (!take_char(p, '_'))
        return 0;
    if (p->at == p->length || lines_hex(p->text + p->at, 1, &dlc) < 0 || dlc < 9 ||
        frame->dlc != 8)
        return refuse(p, RECORDING_SKIP_RANGE, "a raw dlc is 9 to F, after 8 bytes");
    p->at++;
    frame->dlc = (uint8_t)dlc;
    return 0;
}

static int parse_remote(struct parse *p, struct frame *frame)
{
    frame->flags |= FRAME_RTR;
    if (p->at < p->length && p->text[p->at] >= '0' && p->text[p->at] <= '8')
        frame->dlc = (uint8_t)(p->text[p->at++] - '0');
    return parse_raw_dlc(p, frame);
}

static int parse_data(struct parse *p, struct frame *frame, size_t max)
{
    const char *digits;
    size_t length = word(p, "_", &digits);
    int bytes = lines_hex_bytes(digits, length, frame->data, max);

    if (bytes == -ERANGE)
        return refuse(p, RECORDING_SKIP_RANGE, "more data than a frame of this kind has");
    if (bytes < 0 && length % 2 && p->at == p->length)
        return refuse(p, RECORDING_SKIP_TORN, "ends with half a byte");
    if (bytes < 0)
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected hex bytes");
    frame->len = (uint8_t)bytes;
    return 0;
}

static int parse_fd(struct parse *p, struct frame *frame)
{
    uint32_t flags;

    if (p->at == p->length || lines_hex(p->text + p->at, 1, &flags) < 0)
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected a digit of flags after '##'");
    p->at++;
    if (flags & ~(FD_BRS | FD_ESI | FD_FDF))
        return refuse(p, RECORDING_SKIP_RANGE, "unknown CAN FD flags");
    frame->flags = (uint16_t)(frame->flags | FRAME_FD | (flags & FD_BRS ? FRAME_BRS : 0) |
                              (flags & FD_ESI ? FRAME_ESI : 0));
    if (parse_data(p, frame, FRAME_DATA_MAX) < 0)
        return -EINVAL;
    frame->dlc = frame_len_to_dlc(frame->len);
    if (frame_dlc_to_len(frame->dlc, true) != frame->len)
        return refuse(p, RECORDING_SKIP_RANGE, "no CAN FD frame has that many bytes");
    return 0;
}

static int parse_content(struct parse *p, struct frame *frame)
{
    if (take_char(p, '#'))
        return parse_fd(p, frame);
    if (take_char(p, 'R'))
        return parse_remote(p, frame);
    if (parse_data(p, frame, 8) < 0)
        return -EINVAL;
    frame->dlc = frame->len;
    return parse_raw_dlc(p, frame);
}

static int parse_suffix(struct parse *p, struct frame *frame)
{
    skip_blanks(p);
    if (take_char(p, 'T'))
        frame->flags |= FRAME_TX;
    else
        (void)take_char(p, 'R');
    skip_blanks(p);
    if (p->at != p->length)
        return refuse(p, RECORDING_SKIP_FOREIGN, "something stands after the frame");
    return 0;
}

static int parse_line(struct parse *p, struct frame *frame, uint32_t *ret_tick_ns,
                      const char **ret_bus, size_t *ret_bus_length)
{
    if (parse_stamp(p, frame, ret_tick_ns) < 0)
        return -EINVAL;
    skip_blanks(p);
    *ret_bus_length = word(p, "", ret_bus);
    if (!source_name_fits(*ret_bus, *ret_bus_length))
        return refuse(p, RECORDING_SKIP_FOREIGN, "expected the name of a bus");
    skip_blanks(p);
    if (parse_id(p, frame) < 0 || parse_content(p, frame) < 0 || parse_suffix(p, frame) < 0)
        return -EINVAL;
    if (frame_check(frame) < 0)
        return refuse(p, RECORDING_SKIP_RANGE, "no such frame can be");
    return 0;
}

/* 1 with a frame, 0 when the line was skipped, or -EBADMSG when strict. */
static int take_line(struct lines_reader *c, const char *text, size_t length,
                     struct recording_item *item, struct err *err)
{
    struct parse p = { text, length, 0, RECORDING_SKIP_FOREIGN, "" };
    struct frame *frame = &item->row.frame;
    const char *bus;
    size_t bus_length;
    uint32_t tick_ns;

    memset(item, 0, sizeof *item);
    if (parse_line(&p, frame, &tick_ns, &bus, &bus_length) < 0)
        return recording_skip_line(c->input, c->state, p.skip, c->lines.number,
                                   (uint32_t)p.at + 1, err, "%s", p.why);
    int source = recording_source_index(&c->state->sources, bus, bus_length, tick_ns);
    if (source < 0)
        return recording_skip_line(c->input, c->state, RECORDING_SKIP_SOURCES, c->lines.number, 1,
                                   err, "more than %d buses", SOURCES_MAX);
    frame->source = (uint8_t)source;
    int rc = recording_note_stamp(c->input, c->state, frame->stamp_ns, c->lines.number, err);
    return rc < 0 ? rc : 1;
}

static int candump_next(void *context, struct recording_item *ret_item, struct err *err)
{
    return lines_reader_next(context, take_line, false, ret_item, err);
}

static int candump_sniff(const uint8_t *bytes, size_t size)
{
    size_t at = 0;

    while (at < size && (bytes[at] == ' ' || bytes[at] == '\t'))
        at++;
    return size - at > 2 && bytes[at] == '(' && bytes[at + 1] >= '0' && bytes[at + 1] <= '9';
}

/* --- writing --- */

static size_t put_id(const struct frame *frame, char *text)
{
    uint8_t bytes[4];
    char digits[8];
    uint32_t id = frame->id | (frame->flags & FRAME_ERR ? ID_ERROR : 0);

    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(id >> (24 - 8 * i));
    (void)lines_put_hex(bytes, 4, digits);
    size_t count = frame->flags & (FRAME_EFF | FRAME_ERR) ? 8 : 3;
    memcpy(text, digits + 8 - count, count);
    return count;
}

static size_t put_raw_dlc(const struct frame *frame, char *text)
{
    if (frame->flags & FRAME_FD || frame->dlc <= 8)
        return 0;
    text[0] = '_';
    text[1] = "0123456789ABCDEF"[frame->dlc & 15];
    return 2;
}

static size_t put_content(const struct frame *frame, char *text)
{
    size_t n = 0;

    text[n++] = '#';
    if (frame->flags & FRAME_RTR) {
        text[n++] = 'R';
        if (frame->dlc)
            text[n++] = (char)('0' + (frame->dlc > 8 ? 8 : frame->dlc));
        return n + put_raw_dlc(frame, text + n);
    }
    if (frame->flags & FRAME_FD) {
        text[n++] = '#';
        text[n++] = (char)('0' + (frame->flags & FRAME_BRS ? FD_BRS : 0) +
                           (frame->flags & FRAME_ESI ? FD_ESI : 0));
    }
    n += lines_put_hex(frame->data, frame->len, text + n);
    return n + put_raw_dlc(frame, text + n);
}

static int candump_put(void *context, const struct recording_item *item, struct err *err)
{
    struct lines_writer *w = context;
    const struct frame *frame = &item->row.frame;
    char line[LINES_SECONDS_MAX + SOURCE_NAME_MAX + 2 * FRAME_DATA_MAX + 32];
    size_t n = 0;

    if (item->kind != RECORDING_FRAME)
        return 0;
    if (frame->stamp_ns < 0)
        return err_plain(err, -ERANGE, "a stamp before 0 cannot be written as candump");
    const struct source *source = &w->sources->items[frame->source];
    line[n++] = '(';
    n += lines_put_seconds(frame->stamp_ns, source->tick_ns, line + n);
    line[n++] = ')';
    line[n++] = ' ';
    size_t name = strlen(source->name);
    memcpy(line + n, source->name, name);
    n += name;
    line[n++] = ' ';
    n += put_id(frame, line + n);
    n += put_content(frame, line + n);
    if (frame->flags & FRAME_TX) {
        line[n++] = ' ';
        line[n++] = 'T';
    }
    line[n++] = '\n';
    if (fwrite(line, 1, n, w->file) != n)
        return err_plain(err, -EIO, "write failed: %s", strerror(errno));
    return 0;
}

const struct recording_format recording_candump = {
    .name = "candump", .extensions = ".log .candump", .sniff = candump_sniff,
    .open = lines_reader_open, .next = candump_next, .rewind = lines_reader_rewind, .close = free,
    .write_open = lines_writer_open, .write_put = candump_put, .write_finish = lines_writer_finish,
    .write_close = free,
};
