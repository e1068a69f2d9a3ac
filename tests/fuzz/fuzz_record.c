/* Any bytes as a CLIP.json of the dataset, a place where others write: refused with a reason, or every
 * field within its bounds and the same again when written and read. */
#include "tools/sink/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(const struct record *record)
{
    if (record->need_count > WIRE_NEEDS_MAX || record->slot_count > ASSEMBLER_SLOTS_MAX ||
        record->rlc_bytes < 0)
        abort();
    if (!memchr(record->vehicle, 0, sizeof record->vehicle) || strchr(record->vehicle, '/') ||
        !memchr(record->mcap, 0, sizeof record->mcap) || strchr(record->mcap, '/'))
        abort(); /* both become part of a path */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record first = { 0 }, second = { 0 };
    struct err err = { 0 };

    if (record_read((const char *)data, size, &first, &err) < 0) {
        if (!err.text[0])
            abort(); /* a refusal must say why */
        return 0;
    }
    check_bounds(&first);
    char *text = record_write(&first, NULL);
    if (!text || record_read(text, strlen(text), &second, &err) < 0)
        abort();
    char *again = record_write(&second, NULL);
    if (!again || strcmp(text, again) != 0)
        abort();
    free(again);
    free(text);
    record_deinit(&first);
    record_deinit(&second);
    return 0;
}
