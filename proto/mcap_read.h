/* mcap_read - reads an MCAP file front to back, record by record, chunks unpacked, and checks all
 * that can be checked on the way: magic at both ends, lengths, every CRC that is there (a CRC of 0
 * means "not available"), the order of sections, that channels and schemas are known before they
 * are used and do not change. Unknown opcodes and extra fields are skipped.
 * Memory: the largest record, and one inflated chunk, each bounded before it is allocated; a length
 * in the file beyond its end never allocates more than was read. One thread at a time. */
#ifndef PROTO_MCAP_READ_H
#define PROTO_MCAP_READ_H
#include "proto/mcap.h"

#include <stdio.h>

/* Where the bytes come from. `read` fills up to `size` bytes from `offset` and returns how many
 * (0 only at the end), or a negative errno. The streaming reader asks for contiguous rising
 * offsets, so that a pipe can serve; the indexed reader needs any offset and the size. */
struct mcap_input {
    int64_t (*read)(void *context, uint64_t offset, void *bytes, size_t size);
    void *context;
    uint64_t size; /* UINT64_MAX when unknown */
};

/* A seekable stdio stream, which stays the caller's; its size is found at once. */
int mcap_input_stdio(FILE *file, struct mcap_input *ret_input);
/* Bytes in memory, borrowed. */
struct mcap_input mcap_input_bytes(const struct mcap_bytes *bytes);

struct mcap_read_config {
    const char *name;   /* for errors; NULL: none */
    bool show_chunks;   /* gives Chunk and MessageIndex records too, before what is in the chunk */
};

struct mcap_reader;

/* Copies the input table. Returns 0 or -ENOMEM. Reads nothing yet. */
int mcap_reader_open(const struct mcap_read_config *config, const struct mcap_input *input,
                     struct mcap_reader **ret_reader);
void mcap_reader_close(struct mcap_reader *reader); /* takes NULL */

/* Returns 1 with the next record (views valid until the next call); 0 after the magic at the end;
 * or, then always, with *err filled: -EBADMSG corrupt or cut off, -ERANGE beyond a limit,
 * -ENOTSUP a compression that is not read here (lz4), -ENOMEM, -EIO. What came before an error
 * stands, except that records of a chunk come only after its CRC was found true. */
int mcap_reader_next(struct mcap_reader *reader, struct mcap_record *ret_record, struct err *err);

/* Whether a channel with that id was seen so far. */
bool mcap_reader_has_channel(const struct mcap_reader *reader, uint16_t id);
uint64_t mcap_reader_position(const struct mcap_reader *reader);

#endif
