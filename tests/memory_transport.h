/* memory_transport - the transport table in memory, with a sink of a few lines behind it: it keeps
 * the chunks of clips, loses what it is told to lose, and answers questions as DESIGN.md 6 says. */
#ifndef TESTS_MEMORY_TRANSPORT_H
#define TESTS_MEMORY_TRANSPORT_H
#include "uploader/transport.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FAR_CLIPS 32
#define FAR_QUEUE 512

struct far_clip {
    bool used, complete, gone;
    uint8_t clip_id[CLIP_ID_BYTES];
    uint8_t *bytes[SEGMENTS_MAX];
    bool have[SEGMENTS_MAX][4096];
};

struct far_end {
    struct far_clip clips[FAR_CLIPS];
    struct transport_report reports[FAR_QUEUE];
    struct transport_receipt receipts[FAR_QUEUE];
    uint32_t report_count, receipt_count;
    uint8_t artifacts[16][SHA256_BYTES];
    uint32_t artifact_count, listened;
    uint32_t lose_each;     /* every n-th chunk is acknowledged and lost; 0: none */
    uint32_t fail_each;     /* every n-th send is reported RETRY; 0: none */
    int refuse;             /* errno that send returns, or 0 */
    bool mute, need_first;  /* answers nothing; wants all artifacts first */
    uint32_t chunks, sends, statuses;
    struct wire_status status; /* the last one */
    uint64_t bytes;
    struct transport_stats stats;
};

static inline struct far_clip *far_clip(struct far_end *far, const uint8_t *clip_id)
{
    for (unsigned i = 0; i < FAR_CLIPS; i++) {
        struct far_clip *clip = &far->clips[i];
        if (!clip->used) {
            clip->used = true;
            memcpy(clip->clip_id, clip_id, CLIP_ID_BYTES);
        }
        if (!memcmp(clip->clip_id, clip_id, CLIP_ID_BYTES))
            return clip;
    }
    assert(!"too many clips");
    return NULL;
}

static inline void far_keep(struct far_end *far, const struct wire_chunk *chunk)
{
    struct far_clip *clip = far_clip(far, chunk->clip_id);

    if (far->lose_each && ++far->chunks % far->lose_each == 0)
        return;
    if (!clip->bytes[chunk->segment])
        clip->bytes[chunk->segment] = calloc(1, chunk->segment_bytes);
    memcpy(clip->bytes[chunk->segment] + (size_t)chunk->index * chunk->chunk_bytes, chunk->payload,
           chunk->size);
    clip->have[chunk->segment][chunk->index] = true;
}

static inline void far_answer(struct far_end *far, const struct wire_final *final,
                              const uint8_t final_sha256[SHA256_BYTES], uint32_t ask)
{
    struct far_clip *clip = far_clip(far, final->about.clip_id);
    struct transport_receipt *answer = &far->receipts[far->receipt_count % FAR_QUEUE];
    struct wire_receipt *receipt = &answer->receipt;

    *answer = (struct transport_receipt){ .partition = 3, .next = far->receipt_count + 1 };
    receipt->ask = ask;
    memcpy(receipt->clip_id, final->about.clip_id, CLIP_ID_BYTES);
    memcpy(receipt->final_sha256, final_sha256, SHA256_BYTES);
    memcpy(receipt->pseudonym, final->about.pseudonym, PSEUDONYM_MAX);
    for (uint8_t s = 0; s < final->about.segments; s++)
        for (uint32_t i = 0; i < wire_chunk_count(&final->segments[s]); i++)
            if (!clip->have[s][i] && receipt->range_count < WIRE_RANGES_MAX)
                receipt->ranges[receipt->range_count++] = (struct wire_range){ s, i, 1 };
    receipt->result = receipt->range_count ? WIRE_MISSING : WIRE_COMPLETE;
    if (!receipt->range_count) {
        clip->complete = true;
        for (uint8_t s = 0; s < final->about.segments; s++) { /* byte-exact, or not complete */
            uint8_t digest[SHA256_BYTES];
            sha256_of(clip->bytes[s], final->segments[s].bytes, digest);
            clip->complete &= !memcmp(digest, final->segments[s].sha256, SHA256_BYTES);
        }
        assert(clip->complete);
    }
    far->receipt_count++;
}

static inline int far_send(void *context, const struct transport_message *message)
{
    struct far_end *far = context;
    struct wire_value value;
    uint8_t digest[SHA256_BYTES];

    if (far->refuse)
        return far->refuse;
    int rc = wire_decode(message->value, message->size, NULL, &value);
    assert(rc == 0 && message->key[0] && message->headers->count);
    far->sends++;
    far->bytes += message->size;
    bool fails = far->fail_each && far->sends % far->fail_each == 0;
    far->reports[far->report_count++] = (struct transport_report){
        .opaque = message->opaque, .result = fails ? TRANSPORT_RETRY : TRANSPORT_DONE
    };
    assert(far->report_count < FAR_QUEUE && rc == 0);
    if (fails)
        return 0;
    sha256_of(message->value, message->size, digest);
    if (value.kind == WIRE_CHUNK)
        far_keep(far, &value.chunk);
    else if (value.kind == WIRE_FINAL && !far->mute)
        far_answer(far, &value.final, digest, 0);
    else if (value.kind == WIRE_QUESTION && !far->mute)
        far_answer(far, &value.question.final, value.question.final_sha256, value.question.ask);
    else if (value.kind == WIRE_GONE)
        far_clip(far, value.gone.clip_id)->gone = true;
    else if (value.kind == WIRE_STATUS && message->topic == WIRE_TOPIC_STATUS) {
        far->statuses++;
        far->status = value.status;
    } else if (value.kind == WIRE_ARTIFACT)
        memcpy(far->artifacts[far->artifact_count++ % 16], value.artifact.sha256, SHA256_BYTES);
    return 0;
}

static inline int far_poll_report(void *context, int timeout_ms, struct transport_report *ret)
{
    struct far_end *far = context;

    (void)timeout_ms;
    if (far->report_count == 0)
        return 0;
    *ret = far->reports[0];
    memmove(&far->reports[0], &far->reports[1], --far->report_count * sizeof far->reports[0]);
    return 1;
}

static inline int far_poll_receipt(void *context, struct transport_receipt *ret)
{
    struct far_end *far = context;

    if (far->receipt_count == 0)
        return 0;
    *ret = far->receipts[0];
    memmove(&far->receipts[0], &far->receipts[1], --far->receipt_count * sizeof far->receipts[0]);
    return 1;
}

static inline int far_listen(void *context, const char *pseudonym,
                             int (*stored)(void *argument, int32_t partition, int64_t *ret_offset),
                             void *argument)
{
    (void)pseudonym;
    (void)stored;
    (void)argument;
    ((struct far_end *)context)->listened++;
    return 0;
}

static inline void far_stats(const void *context, struct transport_stats *ret_stats)
{
    (void)context;
    *ret_stats = (struct transport_stats){ .connected = true };
}

static inline void far_close(void *context, int flush_ms)
{
    (void)context;
    (void)flush_ms;
}

static const struct transport_ops far_ops = { .send = far_send, .poll_report = far_poll_report,
                                              .poll_receipt = far_poll_receipt,
                                              .listen = far_listen, .stats = far_stats,
                                              .close = far_close };

static inline void far_deinit(struct far_end *far)
{
    for (unsigned i = 0; i < FAR_CLIPS; i++)
        for (unsigned s = 0; s < SEGMENTS_MAX; s++)
            free(far->clips[i].bytes[s]);
}

#endif
