/* Any bytes as an MCAP file, through both readers. Whatever the streaming reader says of a file of
 * known size it must say of a pipe, record for record; the index may only be read, whatever it says.
 * The corpus has files whose CRCs are 0 ("not available"), so that changes reach the parsers. */
#include "proto/mcap_index.h"
#include "proto/mcap_read.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint64_t stream(const struct mcap_input *input, int *ret_rc)
{
    struct mcap_reader *reader;
    struct mcap_record record;
    struct err err;
    uint64_t sum = 0;

    if (mcap_reader_open(&(struct mcap_read_config){ .show_chunks = true }, input, &reader))
        abort();
    while ((*ret_rc = mcap_reader_next(reader, &record, &err)) == 1) {
        sum = sum * 31 + record.opcode + record.body.size;
        for (size_t i = 0; i < record.body.size; i++)
            sum += record.body.at[i];
        if (record.opcode == MCAP_METADATA)
            sum += mcap_map_find(record.metadata.metadata, "x").size;
    }
    mcap_reader_close(reader);
    return sum;
}

static void walk_index(const struct mcap_input *input)
{
    const struct mcap_attachment_index *attachments;
    const struct mcap_metadata_index *metadata;
    struct mcap_attachment attachment;
    struct mcap_metadata meta;
    struct mcap_message message;
    struct mcap_index *index;
    struct err err;

    if (mcap_index_open("fuzz", input, &index, &err))
        return;
    for (size_t i = 0, n = mcap_index_attachments(index, &attachments); i < n; i++)
        (void)mcap_index_read_attachment(index, &attachments[i], &attachment, &err);
    for (size_t i = 0, n = mcap_index_metadata(index, &metadata); i < n; i++)
        (void)mcap_index_read_metadata(index, &metadata[i], &meta, &err);
    if (mcap_index_seek(index, 1, UINT64_MAX / 2, &err) == 0) {
        uint64_t last = 0;
        while (mcap_index_next(index, &message, &err) == 1) {
            assert(message.log_time >= last && message.log_time >= 1);
            last = message.log_time;
        }
    }
    mcap_index_close(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct mcap_bytes all = mcap_view(bytes, size);
    struct mcap_input input = mcap_input_bytes(&all);
    int rc, pipe_rc;

    uint64_t sum = stream(&input, &rc);
    walk_index(&input);
    input.size = UINT64_MAX;
    uint64_t pipe_sum = stream(&input, &pipe_rc);
    assert(sum == pipe_sum);
    assert((rc < 0) == (pipe_rc < 0));
    return 0;
}
