/* Any bytes as a recording in .mcap: what is read can be written and is then read as the same
 * items. A place that runs back is refused by the writer; then the round ends there. */
#include "proto/recording.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_items(const void *bytes, size_t size, struct recording_state *state,
                         struct recording_item items[ITEMS_MAX])
{
    struct recording_input input = { .name = "fuzz" };
    struct recording_item item;
    struct err err;
    void *context;
    size_t count = 0;

    memset(state, 0, sizeof *state);
    input.file = fmemopen((void *)(uintptr_t)bytes, size, "r");
    if (!input.file)
        return 0;
    if (recording_mcap.open(&input, state, &context, &err) == 0) {
        while (recording_mcap.next(context, &item, &err) == 1 && count < ITEMS_MAX)
            items[count++] = item;
        if (recording_mcap.rewind(context, &err) == 0)
            (void)recording_mcap.next(context, &item, &err);
        recording_mcap.close(context);
    }
    (void)fclose(input.file);
    state->has_clip = false; /* closed with the reader */
    return count;
}

static size_t write_items(FILE *file, const struct source_table *sources,
                          const struct recording_item *items, size_t count)
{
    const struct recording_writer_config config = { .sources = sources };
    struct err err;
    size_t written = 0;
    void *writer;

    if (recording_mcap.write_open(file, &config, &writer, &err) < 0)
        abort();
    while (written < count && recording_mcap.write_put(writer, &items[written], &err) == 0)
        written++;
    if (recording_mcap.write_finish(writer, &err) < 0)
        abort();
    recording_mcap.write_close(writer);
    return written;
}

static void must_be_same(const struct recording_item *a, const struct recording_item *b)
{
    const struct frame *x = &a->row.frame, *y = &b->row.frame;

    if (a->kind != b->kind || a->generation != b->generation || a->offset_ns != b->offset_ns ||
        a->mono_ns != b->mono_ns)
        abort();
    if (x->stamp_ns != y->stamp_ns || x->id != y->id || x->flags != y->flags || x->len != y->len ||
        x->dlc != y->dlc || x->source != y->source || memcmp(x->data, y->data, FRAME_DATA_MAX))
        abort();
    if (a->placed && (a->row.step != b->row.step || a->row.mono_ns != b->row.mono_ns ||
                      a->row.offset_ns != b->row.offset_ns))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct recording_item items[ITEMS_MAX], again[ITEMS_MAX];
    struct recording_state state, state_again;
    char *bytes = NULL;
    size_t length = 0;
    size_t count = size ? read_items(data, size, &state, items) : 0;

    if (!count)
        return 0;
    FILE *file = open_memstream(&bytes, &length);
    if (!file)
        abort();
    size_t written = write_items(file, &state.sources, items, count);
    (void)fclose(file);
    if (read_items(bytes, length, &state_again, again) != written)
        abort();
    for (size_t i = 0; i < written; i++)
        must_be_same(&items[i], &again[i]);
    free(bytes);
    return 0;
}
