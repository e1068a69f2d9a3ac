/* The bodies of clip.v1 and receipt.v1. */
#include "proto/wire_fields.h"

#include <errno.h>

void wire_put_about(struct wire_writer *w, const struct wire_about *about)
{
    wire_put(w, about->clip_id, sizeof about->clip_id);
    wire_put(w, about->session_id, sizeof about->session_id);
    wire_put_u64(w, about->ordinal);
    wire_put_u64(w, (uint64_t)about->start_ns);
    wire_put_u64(w, (uint64_t)about->end_ns);
    wire_put_u64(w, (uint64_t)about->utc_ns);
    wire_put_u8(w, about->priority);
    wire_put_u8(w, about->segments);
    wire_put_text(w, about->pseudonym);
    wire_put_text(w, about->rule);
}

int wire_get_about(struct bytes_reader *r, struct err *err, struct wire_about *ret_about)
{
    wire_get(r, ret_about->clip_id, sizeof ret_about->clip_id);
    wire_get(r, ret_about->session_id, sizeof ret_about->session_id);
    ret_about->ordinal = bytes_u64(r);
    ret_about->start_ns = (int64_t)bytes_u64(r);
    ret_about->end_ns = (int64_t)bytes_u64(r);
    ret_about->utc_ns = (int64_t)bytes_u64(r);
    ret_about->priority = bytes_u8(r);
    ret_about->segments = bytes_u8(r);
    int rc = wire_get_text(r, "pseudonym", PSEUDONYM_MAX, err, ret_about->pseudonym);
    return rc ? rc : wire_get_text(r, "rule", RULE_NAME_MAX, err, ret_about->rule);
}

int wire_check_about(const struct wire_about *about, struct err *err)
{
    int rc = wire_check_range("priority", about->priority, 0, PRIORITY_MAX, err);
    if (!rc)
        rc = wire_check_range("segments", about->segments, 1, SEGMENTS_MAX, err);
    if (!rc && about->end_ns < about->start_ns)
        rc = err_plain(err, -ERANGE, "end_ns: found %lld, expected at least start_ns %lld",
                       (long long)about->end_ns, (long long)about->start_ns);
    if (!rc && about->utc_ns < 0)
        rc = err_plain(err, -ERANGE, "utc_ns: found %lld, expected 0 or more",
                       (long long)about->utc_ns);
    if (!rc)
        rc = wire_check_pseudonym(about->pseudonym, err);
    return rc ? rc : wire_check_printable("rule", about->rule, err);
}

static int check_segment(const struct wire_segment *segment, struct err *err)
{
    int rc = wire_check_range("segment bytes", segment->bytes, 1, SEGMENT_BYTES_MAX, err);
    if (rc)
        return rc;
    return wire_check_range("chunk_bytes", segment->chunk_bytes, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX,
                            err);
}

void wire_put_final(struct wire_writer *w, const struct wire_final *final)
{
    wire_put_about(w, &final->about);
    for (unsigned i = 0; i < final->about.segments && i < SEGMENTS_MAX; i++) {
        wire_put_u32(w, final->segments[i].bytes);
        wire_put_u32(w, final->segments[i].chunk_bytes);
        wire_put(w, final->segments[i].sha256, SHA256_BYTES);
    }
}

int wire_get_final(struct bytes_reader *r, struct err *err, struct wire_final *ret_final)
{
    int rc = wire_get_about(r, err, &ret_final->about);
    if (rc)
        return rc;
    for (unsigned i = 0; i < ret_final->about.segments && i < SEGMENTS_MAX; i++) {
        ret_final->segments[i].bytes = bytes_u32(r);
        ret_final->segments[i].chunk_bytes = bytes_u32(r);
        wire_get(r, ret_final->segments[i].sha256, SHA256_BYTES);
    }
    return 0;
}

int wire_check_final(const struct wire_final *final, struct err *err)
{
    int rc = wire_check_about(&final->about, err);
    for (unsigned i = 0; !rc && i < final->about.segments; i++)
        rc = check_segment(&final->segments[i], err);
    return rc;
}

void wire_put_chunk(struct wire_writer *w, const struct wire_chunk *chunk)
{
    wire_put(w, chunk->clip_id, sizeof chunk->clip_id);
    wire_put(w, chunk->sha256, sizeof chunk->sha256);
    wire_put_u32(w, chunk->segment);
    wire_put_u32(w, chunk->index);
    wire_put_u32(w, chunk->count);
    wire_put_u32(w, chunk->chunk_bytes);
    wire_put_u32(w, chunk->segment_bytes);
    wire_put(w, chunk->payload, chunk->size);
}

int wire_get_chunk(struct bytes_reader *r, struct err *err, struct wire_chunk *ret_chunk)
{
    wire_get(r, ret_chunk->clip_id, sizeof ret_chunk->clip_id);
    wire_get(r, ret_chunk->sha256, sizeof ret_chunk->sha256);
    uint32_t segment = bytes_u32(r);
    ret_chunk->index = bytes_u32(r);
    ret_chunk->count = bytes_u32(r);
    ret_chunk->chunk_bytes = bytes_u32(r);
    ret_chunk->segment_bytes = bytes_u32(r);
    ret_chunk->size = (uint32_t)bytes_left(r);
    ret_chunk->payload = bytes_take(r, ret_chunk->size);
    int rc = wire_check_range("segment", segment, 0, SEGMENTS_MAX - 1, err);
    ret_chunk->segment = (uint8_t)segment;
    return rc;
}

/* Everything that could make a reader allocate or write outside its place is judged here. */
int wire_check_chunk(const struct wire_chunk *chunk, struct err *err)
{
    const struct wire_segment segment = { .bytes = chunk->segment_bytes,
                                          .chunk_bytes = chunk->chunk_bytes };
    int rc = wire_check_range("segment", chunk->segment, 0, SEGMENTS_MAX - 1, err);

    if (!rc)
        rc = check_segment(&segment, err);
    if (!rc)
        rc = wire_check_range("count", chunk->count, wire_chunk_count(&segment),
                              wire_chunk_count(&segment), err);
    if (!rc)
        rc = wire_check_range("index", chunk->index, 0, chunk->count - 1, err);
    if (!rc)
        rc = wire_check_range("payload bytes", chunk->size, wire_chunk_size(&segment, chunk->index),
                              wire_chunk_size(&segment, chunk->index), err);
    return rc;
}

void wire_put_gone(struct wire_writer *w, const struct wire_gone *gone)
{
    wire_put(w, gone->clip_id, sizeof gone->clip_id);
    wire_put_u32(w, gone->ask);
    wire_put_u8(w, (uint8_t)gone->reason);
    wire_put_text(w, gone->pseudonym);
}

int wire_get_gone(struct bytes_reader *r, struct err *err, struct wire_gone *ret_gone)
{
    wire_get(r, ret_gone->clip_id, sizeof ret_gone->clip_id);
    ret_gone->ask = bytes_u32(r);
    ret_gone->reason = (enum wire_gone_reason)bytes_u8(r);
    return wire_get_text(r, "pseudonym", PSEUDONYM_MAX, err, ret_gone->pseudonym);
}

int wire_check_gone(const struct wire_gone *gone, struct err *err)
{
    int rc = wire_check_range("reason", gone->reason, WIRE_GONE_DELIVERED, WIRE_GONE_END - 1, err);
    return rc ? rc : wire_check_pseudonym(gone->pseudonym, err);
}

void wire_put_receipt(struct wire_writer *w, const struct wire_receipt *receipt)
{
    wire_put(w, receipt->clip_id, sizeof receipt->clip_id);
    wire_put(w, receipt->final_sha256, SHA256_BYTES);
    wire_put_u32(w, receipt->ask);
    wire_put_u8(w, (uint8_t)receipt->result);
    wire_put_text(w, receipt->pseudonym);
    wire_put_u8(w, receipt->range_count);
    wire_put_u8(w, receipt->need_count);
    for (unsigned i = 0; i < receipt->range_count; i++) {
        wire_put_u8(w, receipt->ranges[i].segment);
        wire_put_u32(w, receipt->ranges[i].first);
        wire_put_u32(w, receipt->ranges[i].count);
    }
    wire_put(w, receipt->needs, (size_t)receipt->need_count * SHA256_BYTES);
}

int wire_get_receipt(struct bytes_reader *r, struct err *err, struct wire_receipt *ret_receipt)
{
    wire_get(r, ret_receipt->clip_id, sizeof ret_receipt->clip_id);
    wire_get(r, ret_receipt->final_sha256, SHA256_BYTES);
    ret_receipt->ask = bytes_u32(r);
    ret_receipt->result = (enum wire_result)bytes_u8(r);
    int rc = wire_get_text(r, "pseudonym", PSEUDONYM_MAX, err, ret_receipt->pseudonym);
    ret_receipt->range_count = bytes_u8(r);
    ret_receipt->need_count = bytes_u8(r);
    if (!rc)
        rc = wire_check_range("ranges", ret_receipt->range_count, 0, WIRE_RANGES_MAX, err);
    if (!rc)
        rc = wire_check_range("needs", ret_receipt->need_count, 0, WIRE_NEEDS_MAX, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < ret_receipt->range_count; i++) {
        ret_receipt->ranges[i].segment = bytes_u8(r);
        ret_receipt->ranges[i].first = bytes_u32(r);
        ret_receipt->ranges[i].count = bytes_u32(r);
    }
    wire_get(r, ret_receipt->needs, (size_t)ret_receipt->need_count * SHA256_BYTES);
    return 0;
}

static int check_range_item(const struct wire_range *range, struct err *err)
{
    int rc = wire_check_range("range segment", range->segment, 0, SEGMENTS_MAX - 1, err);
    if (!rc)
        rc = wire_check_range("range count", range->count, 1, WIRE_CHUNKS_MAX, err);
    if (!rc)
        rc = wire_check_range("range first", range->first, 0, WIRE_CHUNKS_MAX - range->count, err);
    return rc;
}

int wire_check_receipt(const struct wire_receipt *receipt, struct err *err)
{
    int rc = wire_check_range("result", receipt->result, WIRE_COMPLETE, WIRE_RESULT_END - 1, err);
    bool missing = receipt->result == WIRE_MISSING, need = receipt->result == WIRE_NEED;

    if (!rc)
        rc = wire_check_range("ranges", receipt->range_count, missing ? 1 : 0,
                              missing ? WIRE_RANGES_MAX : 0, err);
    if (!rc)
        rc = wire_check_range("needs", receipt->need_count, need ? 1 : 0, WIRE_NEEDS_MAX, err);
    for (unsigned i = 0; !rc && i < receipt->range_count; i++)
        rc = check_range_item(&receipt->ranges[i], err);
    return rc ? rc : wire_check_pseudonym(receipt->pseudonym, err);
}
