/* text - a text format fed from memory: whatever is read can be written in the same format and is
 * then read as the same frames. */
#ifndef TESTS_FUZZ_TEXT_H
#define TESTS_FUZZ_TEXT_H
#include "proto/recording.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_FRAMES_MAX 64

static inline size_t text_read(const struct recording_format *format, const void *bytes,
                               size_t size, struct recording_state *state,
                               struct recording_item *items)
{
    struct recording_input input = { .name = "fuzz" };
    struct recording_item item;
    struct err err;
    void *context;
    size_t count = 0;

    input.file = fmemopen((void *)(uintptr_t)bytes, size, "r");
    if (!input.file)
        return 0;
    if (format->open(&input, state, &context, &err) == 0) {
        while (format->next(context, &item, &err) == 1)
            if (count < TEXT_FRAMES_MAX)
                items[count++] = item;
        format->close(context);
    }
    (void)fclose(input.file);
    return count;
}

static inline void text_round(const struct recording_format *format, const uint8_t *data,
                              size_t size)
{
    static struct recording_item items[TEXT_FRAMES_MAX], again[TEXT_FRAMES_MAX];
    struct recording_state state = { 0 }, state_again = { 0 };
    struct recording_writer_config config = { .sources = &state.sources };
    char *text = NULL;
    size_t bytes = 0;
    struct err err;
    void *writer;

    size_t count = size ? text_read(format, data, size, &state, items) : 0;
    if (!count)
        return;
    FILE *file = open_memstream(&text, &bytes);
    if (!file || format->write_open(file, &config, &writer, &err) < 0)
        abort();
    size_t written = 0;
    for (size_t i = 0; i < count; i++)
        written += format->write_put(writer, &items[i], &err) == 0;
    if (format->write_finish(writer, &err) < 0)
        abort();
    format->write_close(writer);
    (void)fclose(file);
    if (written != count || text_read(format, text, bytes, &state_again, again) != count)
        abort();
    for (size_t i = 0; i < count; i++) {
        const struct frame *a = &items[i].row.frame, *b = &again[i].row.frame;
        if (a->stamp_ns != b->stamp_ns || a->id != b->id || a->flags != b->flags ||
            a->len != b->len || a->dlc != b->dlc || memcmp(a->data, b->data, FRAME_DATA_MAX) != 0)
            abort();
    }
    free(text);
}

#endif
