/* mcap_index - reads an MCAP file by its summary: what is in it, one attachment or metadata record,
 * messages in the order of log_time (file order where times are equal), in a span of time.
 * Needs a file with a summary section; messages need chunk indexes. Checks the summary's CRC and
 * that of each chunk and attachment that it reads, and that messages lie in the span that their
 * chunk's index says. Memory: the summary, and the chunks whose spans overlap, at most
 * MCAP_INDEX_OPEN_CHUNKS of MCAP_INDEX_OPEN_BYTES in all. One thread at a time. */
#ifndef PROTO_MCAP_INDEX_H
#define PROTO_MCAP_INDEX_H
#include "proto/mcap_read.h"

#define MCAP_INDEX_OPEN_CHUNKS 16
#define MCAP_INDEX_OPEN_BYTES 268435456

struct mcap_index;

/* Reads footer and summary. Returns 0; -ENOENT when the file has no summary (read it as a stream);
 * -EBADMSG, -ERANGE, -ENOMEM, -EIO with *err filled. The views live until close. */
int mcap_index_open(const char *name, const struct mcap_input *input, struct mcap_index **ret_index,
                    struct err *err);
void mcap_index_close(struct mcap_index *index); /* takes NULL */

/* NULL when the file has none. */
const struct mcap_statistics *mcap_index_statistics(const struct mcap_index *index);
/* Rising ids, one each. Return how many. */
size_t mcap_index_schemas(const struct mcap_index *index, const struct mcap_schema **ret_items);
size_t mcap_index_channels(const struct mcap_index *index, const struct mcap_channel **ret_items);
/* In file order. */
size_t mcap_index_attachments(const struct mcap_index *index,
                              const struct mcap_attachment_index **ret_items);
size_t mcap_index_metadata(const struct mcap_index *index,
                           const struct mcap_metadata_index **ret_items);
size_t mcap_index_chunks(const struct mcap_index *index,
                         const struct mcap_chunk_index **ret_items);

/* Read the record that the entry points to; views live until the next call of either. -EBADMSG
 * when there is another record, or its CRC is wrong. */
int mcap_index_read_attachment(struct mcap_index *index, const struct mcap_attachment_index *entry,
                               struct mcap_attachment *ret_attachment, struct err *err);
int mcap_index_read_metadata(struct mcap_index *index, const struct mcap_metadata_index *entry,
                             struct mcap_metadata *ret_metadata, struct err *err);

/* Starts (again) at the first message with start <= log_time <= end. -ENOENT without chunk
 * indexes. */
int mcap_index_seek(struct mcap_index *index, uint64_t start, uint64_t end, struct err *err);
/* Returns 1 with the next message (valid until the next call), 0 at the end, or a negative errno
 * with *err filled; -ENOBUFS when more chunks overlap than the limits above allow. */
int mcap_index_next(struct mcap_index *index, struct mcap_message *ret_message, struct err *err);

#endif
