/* lines - a text file line by line, for the readers of text formats. Bounded: a line beyond
 * RECORDING_LINE_MAX is reported as torn and skipped to its end. */
#ifndef PROTO_FORMATS_LINES_H
#define PROTO_FORMATS_LINES_H
#include "proto/recording.h"

#define LINES_BUFFER 65536

enum lines_result {
    LINES_END = 0,
    LINES_LINE = 1,
    LINES_TORN = 2, /* no line end, or too long; text and length are what there is of it */
};

struct lines {
    FILE *file;
    uint64_t number; /* of the line that lines_next gave, from 1 */
    size_t at, end;
    bool ended;
    char buffer[LINES_BUFFER];
};

void lines_init(struct lines *lines, FILE *file);
/* Returns enum lines_result or -EIO. The text is without its line end ("\n" or "\r\n"), borrowed
 * until the next call, and not NUL-terminated. */
int lines_next(struct lines *lines, const char **ret_text, size_t *ret_length);
/* Seeks to the start; 0 or -EIO. */
int lines_rewind(struct lines *lines);

/* --- cursors over a line, shared by the text formats --- */

/* `count` hex digits of either case at text; returns 0 or -EINVAL. */
int lines_hex(const char *text, size_t count, uint32_t *ret_value);
/* Hex pairs text[0..length) as bytes. Returns how many; -EINVAL for a digit that is none or half a
 * byte, -ERANGE for more than max. */
int lines_hex_bytes(const char *text, size_t length, uint8_t *bytes, size_t max);
/* "123.456": seconds with 0 to 9 decimals after a dot, optionally negative. Returns 0 with the
 * stamp and the tick that so many decimals mean; -EINVAL; -ERANGE beyond int64_t. */
int lines_seconds(const char *text, size_t length, int64_t *ret_ns, uint32_t *ret_tick_ns);

#define LINES_SECONDS_MAX 24
/* "123.456000" with 6 decimals when tick and stamp are whole microseconds, else 9. Returns the
 * length; text holds LINES_SECONDS_MAX. */
size_t lines_put_seconds(int64_t ns, uint32_t tick_ns, char *text);
/* Always nine decimals: how times are printed in JSON and CSV. */
size_t lines_put_seconds9(int64_t ns, char *text);
/* Upper-case hex pairs; returns 2 * size; no NUL. */
size_t lines_put_hex(const uint8_t *bytes, size_t size, char *text);

/* The tick that a stamp of nine decimals shows: 1000 when it is whole microseconds, else 1. */
uint32_t lines_tick_of(int64_t ns);

/* --- what the readers and writers of text formats have in common --- */

struct lines_reader {
    struct recording_input *input;
    struct recording_state *state;
    struct lines lines;
};

/* One line: returns 1 with *ret_item, 0 when it gives none, or negative with *err. */
typedef int lines_take(struct lines_reader *reader, const char *text, size_t length,
                       struct recording_item *ret_item, struct err *err);

/* The open of struct recording_format; its close is free. */
int lines_reader_open(struct recording_input *input, struct recording_state *state,
                      void **ret_context, struct err *err);
/* The next item, line by line. Torn lines are counted, or with `torn` taken like others. */
int lines_reader_next(struct lines_reader *reader, lines_take *take, bool torn,
                      struct recording_item *ret_item, struct err *err);
int lines_reader_rewind(void *context, struct err *err);

struct lines_writer {
    FILE *file;
    const struct source_table *sources;
};

/* The write_open and write_finish of a format that needs no more; write_close is free. */
int lines_writer_open(FILE *file, const struct recording_writer_config *config,
                      void **ret_context, struct err *err);
int lines_writer_finish(void *context, struct err *err);

/* --- frames as named fields, shared by .jsonl and .csv --- */

#define LINES_FLAGS 8
/* "ext", "rtr", "err", "fd", "brs", "esi", "tx", "late": bit i of struct frame's flags. */
extern const char *const lines_flag_names[LINES_FLAGS];

/* What a line says of a frame, as far as it was there. */
struct lines_frame {
    struct frame frame;      /* stamp, id, flags, len and data */
    const char *bus;         /* borrowed from the line */
    size_t bus_length;
    bool has_stamp, has_bus, has_id, has_data, has_dlc;
};

/* Completes dlc and source, checks, counts. Returns 1 with *ret_item, 0 when the line was skipped,
 * -EBADMSG when strict. */
int lines_take_frame(const struct recording_input *input, struct recording_state *state,
                     const struct lines_frame *from, uint64_t line,
                     struct recording_item *ret_item, struct err *err);
/* Whether the dlc says more than the length does. */
bool lines_dlc_matters(const struct frame *frame);

#endif
