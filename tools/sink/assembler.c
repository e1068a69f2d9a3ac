#include "tools/sink/assembler.h"

#include "proto/clip.h"
#include "tools/sink/assembler_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct assembler {
    struct assembler_config config;
    struct assembler_stats stats;
    struct assembler_table table;
};

/* One message on its way through assembler_put. */
struct put {
    struct assembler *a;
    const struct assembler_place *place;
    char vehicle[PSEUDONYM_MAX];
    int64_t now_ns;
    struct err *err;
    enum assembler_refusal refusal;
};

const char *assembler_refusal_name(enum assembler_refusal refusal)
{
    static const char *const names[ASSEMBLER_REFUSALS] = { "key", "kind", "clip_id", "geometry",
                                                           "limit", "content" };

    return refusal < ASSEMBLER_REFUSALS ? names[refusal] : "unknown";
}

bool assembler_pseudonym_ok(const char *text, size_t size)
{
    if (size < 1 || size >= PSEUDONYM_MAX || text[0] == '.')
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

struct assembler *assembler_open(const struct assembler_config *config)
{
    if (config->clips_max < 1 || config->clips_max > ASSEMBLER_CLIPS_MAX ||
        config->vehicle_clips_max < 1 || config->vehicle_bytes_max < SEGMENT_BYTES_MAX ||
        config->bytes_max < config->vehicle_bytes_max || config->partial_after_ns < 1 ||
        config->release_after_ns < config->partial_after_ns)
        return NULL;
    struct assembler *a = calloc(1, sizeof *a);
    if (a)
        a->config = *config;
    return a;
}

void assembler_close(struct assembler *a)
{
    if (!a)
        return;
    table_clear(&a->table);
    free(a);
}

static int refuse(struct put *put, enum assembler_refusal refusal, int code)
{
    put->refusal = refusal;
    return code;
}

/* ---- What the car is asked for ---- */

uint32_t assembler_missing(const struct assembler_slot *slot, uint32_t *first,
                           struct wire_range *ranges, uint32_t max)
{
    uint32_t found = 0, i = *first;

    while (i < slot->count && found < max) {
        if (assembler_bit(slot, i)) {
            i++;
            continue;
        }
        uint32_t from = i;
        while (i < slot->count && !assembler_bit(slot, i))
            i++;
        ranges[found++] = (struct wire_range){ slot->segment, from, i - from };
    }
    *first = i;
    return found;
}

static const struct assembler_slot *final_slot(const struct assembler_clip *clip, uint32_t k)
{
    return slot_find((struct assembler_clip *)(uintptr_t)clip, k, clip->final.segments[k].sha256);
}

static bool is_whole(const struct assembler_clip *clip)
{
    if (!clip->final_known)
        return false;
    for (uint32_t k = 0; k < clip->final.about.segments; k++) {
        const struct assembler_slot *slot = final_slot(clip, k);
        if (!slot || slot->held < slot->count)
            return false;
    }
    return true;
}

static void add_range(struct wire_receipt *receipt, uint32_t segment, uint32_t first,
                      uint32_t count)
{
    if (receipt->range_count < WIRE_RANGES_MAX)
        receipt->ranges[receipt->range_count++] =
            (struct wire_range){ (uint8_t)segment, first, count };
}

static void add_slot(struct wire_receipt *receipt, const struct assembler_slot *slot)
{
    uint32_t first = 0;

    receipt->range_count = (uint8_t)(receipt->range_count +
        assembler_missing(slot, &first, receipt->ranges + receipt->range_count,
                          WIRE_RANGES_MAX - receipt->range_count));
}

static void fill_missing(const struct assembler_clip *clip, struct wire_receipt *receipt)
{
    for (uint32_t k = 0; clip->final_known && k < clip->final.about.segments; k++) {
        const struct assembler_slot *slot = final_slot(clip, k);
        if (slot)
            add_slot(receipt, slot);
        else
            add_range(receipt, k, 0, wire_chunk_count(&clip->final.segments[k]));
    }
    for (uint32_t i = 0; !clip->final_known && i < clip->slot_count; i++)
        add_slot(receipt, &clip->slots[i]);
    /* Nothing to name, but manifest-final never came: an unasked `missing` only makes the car ask,
     * and its question brings the manifest. */
    if (!receipt->range_count)
        add_range(receipt, 0, 0, 1);
}

static void answer_missing(struct assembler *a, const struct assembler_clip *clip, uint32_t ask,
                           int64_t hold_offset)
{
    struct wire_receipt receipt = { .ask = ask, .result = WIRE_MISSING };

    memcpy(receipt.clip_id, clip->clip_id, CLIP_ID_BYTES);
    memcpy(receipt.final_sha256, clip->final_sha256, SHA256_BYTES);
    memcpy(receipt.pseudonym, clip->vehicle, PSEUDONYM_MAX);
    fill_missing(clip, &receipt);
    a->stats.receipts_missing++;
    a->config.ops->receipt(a->config.context, clip->partition, hold_offset, &receipt);
}

static void answer_complete(struct assembler *a, int32_t partition, int64_t hold_offset,
                            const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES],
                            uint32_t ask, const uint8_t final_sha256[SHA256_BYTES],
                            const uint8_t (*needs)[SHA256_BYTES], uint32_t need_count)
{
    struct wire_receipt receipt = { .ask = ask, .result = WIRE_COMPLETE };

    memcpy(receipt.clip_id, clip_id, CLIP_ID_BYTES);
    memcpy(receipt.final_sha256, final_sha256, SHA256_BYTES);
    memcpy(receipt.pseudonym, vehicle, strlen(vehicle) + 1);
    for (uint32_t i = 0; i < need_count && i < WIRE_NEEDS_MAX; i++)
        memcpy(receipt.needs[receipt.need_count++], needs[i], SHA256_BYTES);
    a->stats.receipts_complete++;
    a->config.ops->receipt(a->config.context, partition, hold_offset, &receipt);
}

/* ---- Storing ---- */

static void forget(struct assembler *a, struct assembler_clip *clip)
{
    a->config.ops->forget(a->config.context, clip);
    table_drop(&a->table, clip);
}

static void remember(struct assembler *a, const struct assembler_clip *clip)
{
    uint8_t sha256[SEGMENTS_MAX][SHA256_BYTES];

    for (uint32_t k = 0; k < clip->final.about.segments; k++)
        memcpy(sha256[k], clip->final.segments[k].sha256, SHA256_BYTES);
    done_put(&a->table, clip->vehicle, clip->clip_id, (const uint8_t(*)[SHA256_BYTES])sha256,
             clip->final.about.segments);
}

static void close_stored(struct assembler *a, struct assembler_clip *clip,
                         const struct assembler_outcome *outcome)
{
    if (outcome->result == ASSEMBLER_DONE) {
        a->stats.stored++;
        a->stats.raw_only += outcome->need_count > 0;
        a->config.ops->announce(a->config.context, clip, clip->first_offset);
    } else {
        a->stats.quarantined++;
    }
    /* A quarantined clip is kept, byte for byte, so the car is rid of it too. */
    if (clip->ask_pending)
        answer_complete(a, clip->partition, clip->first_offset, clip->vehicle, clip->clip_id,
                        clip->ask, clip->final_sha256,
                        (const uint8_t(*)[SHA256_BYTES])outcome->needs, outcome->need_count);
    remember(a, clip);
    forget(a, clip);
}

static void close_not_kept(struct assembler *a, struct assembler_clip *clip)
{
    a->stats.not_kept++;
    forget(a, clip);
}

static void drop_segment(struct assembler *a, struct assembler_clip *clip, uint32_t k)
{
    struct assembler_slot *slot = slot_find(clip, k, clip->final.segments[k].sha256);

    memset(slot->bitmap, 0, (slot->count + 7) / 8);
    slot->held = 0;
    a->stats.bad_segments++;
    if (clip->ask_pending)
        answer_missing(a, clip, clip->ask, -1);
    clip->ask_pending = false;
}

/* Stores a whole clip. `put` is NULL from the tick. */
static int publish(struct assembler *a, struct assembler_clip *clip, int64_t now_ns,
                   struct put *put)
{
    const struct assembler_slot *slots[SEGMENTS_MAX] = { NULL };
    struct assembler_outcome outcome = { 0 };

    for (uint32_t k = 0; k < clip->final.about.segments; k++)
        slots[k] = final_slot(clip, k);
    if (a->config.ops->publish(a->config.context, clip, slots, &outcome)) {
        clip->retry_ns = now_ns + ASSEMBLER_RETRY_NS;
        a->stats.publish_retries++;
        return 0;
    }
    if (outcome.result == ASSEMBLER_BAD_SEGMENT)
        drop_segment(a, clip, outcome.bad_slot);
    else if (outcome.result == ASSEMBLER_NOT_KEPT)
        close_not_kept(a, clip);
    else
        close_stored(a, clip, &outcome);
    if (outcome.result == ASSEMBLER_DONE || !put)
        return 0;
    (void)err_plain(put->err, -EBADMSG, "%s", outcome.reason);
    return refuse(put, ASSEMBLER_CONTENT, -EBADMSG);
}

/* ---- Opening ---- */

static int resume(struct put *put, struct assembler_clip *clip, struct assembler_known *known)
{
    int rc = 0;

    for (uint32_t i = 0; i < known->slot_count; i++) {
        if (rc)
            free(known->slots[i].bitmap);
        else
            rc = slot_add(&put->a->table, &put->a->config, clip, &known->slots[i], put->err, NULL);
        known->slots[i].bitmap = NULL;
    }
    if (known->about_known && known->state == ASSEMBLER_PARTIAL) {
        clip->final.about = known->about;
        clip->about_known = true;
    }
    put->a->stats.resumed += known->state == ASSEMBLER_PARTIAL;
    return rc;
}

static void free_known(struct assembler_known *known)
{
    for (uint32_t i = 0; i < known->slot_count; i++)
        free(known->slots[i].bitmap);
    known->slot_count = 0;
}

static int open_clip(struct put *put, const uint8_t clip_id[CLIP_ID_BYTES],
                     struct assembler_known *known, struct assembler_clip **ret_clip)
{
    struct assembler_clip like = { .partition = put->place->partition,
                                   .first_offset = put->place->offset,
                                   .last_chunk_ns = put->now_ns };

    memcpy(like.vehicle, put->vehicle, PSEUDONYM_MAX);
    memcpy(like.clip_id, clip_id, CLIP_ID_BYTES);
    int rc = table_open(&put->a->table, &put->a->config, &like, put->err, ret_clip);
    if (rc) {
        free_known(known);
        return rc == -ENOMEM ? -EAGAIN : refuse(put, ASSEMBLER_LIMIT, rc);
    }
    rc = resume(put, *ret_clip, known);
    if (!rc)
        return 0;
    table_drop(&put->a->table, *ret_clip);
    return rc == -ENOMEM ? -EAGAIN : refuse(put, ASSEMBLER_LIMIT, rc);
}

static int look_up(struct put *put, const uint8_t clip_id[CLIP_ID_BYTES],
                   struct assembler_known *ret_known)
{
    struct assembler *a = put->a;

    memset(ret_known, 0, sizeof *ret_known);
    if (a->config.ops->find(a->config.context, put->place->partition, put->vehicle, clip_id,
                            ret_known))
        return -EAGAIN;
    return 0;
}

static bool known_has(const struct assembler_known *known, const uint8_t sha256[SHA256_BYTES])
{
    for (uint32_t i = 0; known->state == ASSEMBLER_STORED && i < known->segment_count; i++)
        if (!memcmp(known->sha256[i], sha256, SHA256_BYTES))
            return true;
    return false;
}

/* ---- Chunks ---- */

static bool same_geometry(const struct assembler_slot *slot, const struct wire_chunk *chunk)
{
    return slot->count == chunk->count && slot->chunk_bytes == chunk->chunk_bytes &&
           slot->bytes == chunk->segment_bytes;
}

static bool fits_final(const struct assembler_clip *clip, const struct wire_chunk *chunk)
{
    const struct wire_segment *segment = &clip->final.segments[chunk->segment];

    if (!clip->final_known || chunk->segment >= clip->final.about.segments ||
        memcmp(segment->sha256, chunk->sha256, SHA256_BYTES))
        return true;
    return segment->bytes == chunk->segment_bytes && segment->chunk_bytes == chunk->chunk_bytes;
}

static int chunk_slot(struct put *put, struct assembler_clip *clip, const struct wire_chunk *chunk,
                      struct assembler_slot **ret_slot)
{
    struct assembler_slot *slot = slot_find(clip, chunk->segment, chunk->sha256);

    if (slot && !same_geometry(slot, chunk)) {
        (void)err_plain(put->err, -ERANGE, "chunk declares %u chunks of %u bytes, %u in all; "
                        "earlier ones of this segment declare %u of %u, %u in all", chunk->count,
                        chunk->chunk_bytes, chunk->segment_bytes, slot->count, slot->chunk_bytes,
                        slot->bytes);
        return refuse(put, ASSEMBLER_GEOMETRY, -ERANGE);
    }
    if (!slot && !fits_final(clip, chunk)) {
        (void)err_plain(put->err, -ERANGE, "chunk declares %u bytes in chunks of %u, other than "
                        "the manifest-final", chunk->segment_bytes, chunk->chunk_bytes);
        return refuse(put, ASSEMBLER_GEOMETRY, -ERANGE);
    }
    if (!slot) {
        struct assembler_slot like = { .segment = chunk->segment, .bytes = chunk->segment_bytes,
                                       .chunk_bytes = chunk->chunk_bytes, .count = chunk->count };
        memcpy(like.sha256, chunk->sha256, SHA256_BYTES);
        int rc = slot_add(&put->a->table, &put->a->config, clip, &like, put->err, &slot);
        if (rc)
            return rc == -ENOMEM ? -EAGAIN : refuse(put, ASSEMBLER_LIMIT, rc);
    }
    *ret_slot = slot;
    return 0;
}

static int take_chunk(struct put *put, struct assembler_clip *clip, const struct wire_chunk *chunk)
{
    struct assembler *a = put->a;
    struct assembler_slot *slot = NULL;
    int rc = chunk_slot(put, clip, chunk, &slot);

    if (rc)
        return rc;
    a->stats.chunks++;
    clip->last_chunk_ns = put->now_ns;
    if (assembler_bit(slot, chunk->index)) {
        a->stats.duplicate_chunks++;
        return 0;
    }
    if (a->config.ops->write(a->config.context, clip, slot, chunk->index, chunk->payload,
                             chunk->size)) {
        a->stats.chunks--;
        return -EAGAIN;
    }
    slot->bitmap[chunk->index / 8] |= (uint8_t)(1u << (chunk->index % 8));
    slot->held++;
    clip->partial = false;
    return 0;
}

static int put_chunk(struct put *put, const struct wire_chunk *chunk)
{
    struct assembler *a = put->a;
    struct assembler_clip *clip = table_find(&a->table, put->place->partition, put->vehicle,
                                             chunk->clip_id);
    bool fresh = !clip;

    if (fresh) {
        struct assembler_known known;
        bool done = done_has(&a->table, put->vehicle, chunk->clip_id, chunk->sha256);
        int rc = done ? 0 : look_up(put, chunk->clip_id, &known);
        if (rc)
            return rc;
        if (done || known_has(&known, chunk->sha256)) {
            if (!done)
                free_known(&known);
            a->stats.stored_before++;
            return 0;
        }
        rc = open_clip(put, chunk->clip_id, &known, &clip);
        if (rc)
            return rc;
    }
    int rc = take_chunk(put, clip, chunk);
    if (rc && fresh)
        table_drop(&a->table, clip); /* nothing of it was taken */
    if (!rc && is_whole(clip))
        rc = publish(a, clip, put->now_ns, put);
    return rc;
}

/* ---- Manifests and questions ---- */

static int check_about(struct put *put, const struct wire_about *about)
{
    uint8_t id[CLIP_ID_BYTES];
    char want[CLIP_ID_HEX], found[CLIP_ID_HEX];

    if (strcmp(about->pseudonym, put->vehicle)) {
        (void)err_plain(put->err, -EINVAL, "value names vehicle '%s', message key is '%s'",
                        about->pseudonym, put->vehicle);
        return refuse(put, ASSEMBLER_KEY, -EINVAL);
    }
    clip_id_make(about->pseudonym, about->session_id, about->ordinal, id);
    if (!memcmp(id, about->clip_id, CLIP_ID_BYTES))
        return 0;
    hex_from(id, CLIP_ID_BYTES, want);
    hex_from(about->clip_id, CLIP_ID_BYTES, found);
    (void)err_plain(put->err, -EINVAL, "clip id %s is not that of its vehicle, session and ordinal "
                    "(%s)", found, want);
    return refuse(put, ASSEMBLER_CLIP_ID, -EINVAL);
}

static int put_open(struct put *put, const struct wire_about *about)
{
    struct assembler *a = put->a;
    struct assembler_known known;
    int rc = check_about(put, about);

    if (rc)
        return rc;
    struct assembler_clip *clip = table_find(&a->table, put->place->partition, put->vehicle,
                                             about->clip_id);
    if (!clip) {
        bool done = done_known(&a->table, put->vehicle, about->clip_id);
        rc = done ? 0 : look_up(put, about->clip_id, &known);
        if (rc)
            return rc;
        if (done || known.state == ASSEMBLER_STORED) {
            if (!done)
                free_known(&known);
            a->stats.stored_before++;
            return 0;
        }
        rc = open_clip(put, about->clip_id, &known, &clip);
        if (rc)
            return rc;
    }
    if (!clip->final_known) {
        clip->final.about = *about;
        clip->about_known = true;
    }
    return 0;
}

/* A question about a clip that the dataset has already. 1 when answered. */
static int answer_stored(struct put *put, const struct wire_final *final,
                         const struct assembler_known *known, uint32_t ask,
                         const uint8_t final_sha256[SHA256_BYTES])
{
    struct assembler *a = put->a;
    const struct assembler_place *place = put->place;

    if (known->state != ASSEMBLER_STORED || known->segment_count != final->about.segments)
        return 0;
    for (uint32_t k = 0; k < known->segment_count; k++)
        if (memcmp(known->sha256[k], final->segments[k].sha256, SHA256_BYTES))
            return 0;
    a->stats.stored_before++;
    /* Whoever stored it may have died before the word went out: say it once more. */
    if (!done_known(&a->table, put->vehicle, final->about.clip_id))
        a->config.ops->announce_known(a->config.context, place->partition, place->offset, known);
    done_put(&a->table, put->vehicle, final->about.clip_id,
             (const uint8_t(*)[SHA256_BYTES])known->sha256, known->segment_count);
    answer_complete(a, place->partition, place->offset, put->vehicle, final->about.clip_id, ask,
                    final_sha256, (const uint8_t(*)[SHA256_BYTES])known->needs,
                    known->need_count);
    return 1;
}

/* The same for content that was quarantined. 1 when answered, 0, or -EAGAIN. */
static int answer_quarantined(struct put *put, const struct wire_final *final, uint32_t ask,
                              const uint8_t final_sha256[SHA256_BYTES])
{
    struct assembler *a = put->a;
    int rc = a->config.ops->quarantined(a->config.context, put->vehicle, final->about.clip_id,
                                        final_sha256);

    if (rc <= 0)
        return rc ? -EAGAIN : 0;
    a->stats.stored_before++;
    answer_complete(a, put->place->partition, put->place->offset, put->vehicle,
                    final->about.clip_id, ask, final_sha256, NULL, 0);
    return 1;
}

/* Finds or opens the clip of a question. 1 when the question is answered already. */
static int final_clip(struct put *put, const struct wire_final *final, uint32_t ask,
                      const uint8_t final_sha256[SHA256_BYTES], struct assembler_clip **ret_clip)
{
    struct assembler *a = put->a;
    struct assembler_known known;
    struct assembler_clip *clip = table_find(&a->table, put->place->partition, put->vehicle,
                                             final->about.clip_id);
    int rc = 0;

    if (!clip) {
        rc = look_up(put, final->about.clip_id, &known);
        if (rc)
            return rc;
        rc = answer_stored(put, final, &known, ask, final_sha256);
    }
    if (!rc && !(clip && clip->final_known))
        rc = answer_quarantined(put, final, ask, final_sha256);
    if (rc) {
        if (!clip)
            free_known(&known);
        else if (rc == 1)
            forget(a, clip);
        return rc;
    }
    if (!clip)
        rc = open_clip(put, final->about.clip_id, &known, &clip);
    *ret_clip = clip;
    return rc;
}

static bool agrees(struct assembler_clip *clip, const struct wire_final *final)
{
    for (uint32_t k = 0; k < final->about.segments; k++) {
        const struct wire_segment *segment = &final->segments[k];
        const struct assembler_slot *slot = slot_find(clip, k, segment->sha256);
        if (slot && (slot->bytes != segment->bytes || slot->chunk_bytes != segment->chunk_bytes))
            return false;
    }
    return true;
}

/* Chunks that declare other sizes than the manifest are worth nothing, and would keep the right ones
 * out: the clip begins anew with the manifest's word. */
static int begin_anew(struct put *put, const struct wire_final *final,
                      struct assembler_clip **clip)
{
    struct assembler_known none = { .state = ASSEMBLER_UNKNOWN };

    put->a->stats.bad_segments++;
    forget(put->a, *clip);
    return open_clip(put, final->about.clip_id, &none, clip);
}

static int put_final(struct put *put, const struct wire_final *final, uint32_t ask,
                     const uint8_t final_sha256[SHA256_BYTES])
{
    struct assembler *a = put->a;
    struct assembler_clip *clip = NULL;
    int rc = check_about(put, &final->about);

    if (!rc)
        rc = final_clip(put, final, ask, final_sha256, &clip);
    if (rc)
        return rc < 0 ? rc : 0;
    if (!agrees(clip, final))
        rc = begin_anew(put, final, &clip);
    if (rc)
        return rc;
    clip->final = *final;
    clip->about_known = clip->final_known = clip->ask_pending = true;
    clip->ask = ask;
    memcpy(clip->final_sha256, final_sha256, SHA256_BYTES);
    if (is_whole(clip))
        return publish(a, clip, put->now_ns, put);
    /* Ask 0 comes right behind the chunks: late ones get partial_after. A later ask is the car
     * wanting to know. */
    if (ask > 0 || clip->partial) {
        answer_missing(a, clip, ask, put->place->offset);
        clip->ask_pending = false;
    }
    return 0;
}

static int put_gone(struct put *put, const struct wire_gone *gone)
{
    struct assembler *a = put->a;
    struct assembler_known known;
    int rc = 0;

    if (strcmp(gone->pseudonym, put->vehicle)) {
        (void)err_plain(put->err, -EINVAL, "value names vehicle '%s', message key is '%s'",
                        gone->pseudonym, put->vehicle);
        return refuse(put, ASSEMBLER_KEY, -EINVAL);
    }
    struct assembler_clip *clip = table_find(&a->table, put->place->partition, put->vehicle,
                                             gone->clip_id);
    if (!clip) {
        rc = look_up(put, gone->clip_id, &known);
        if (rc)
            return rc;
        if (known.state != ASSEMBLER_PARTIAL) {
            free_known(&known);
            a->stats.gone_unknown++;
            return 0;
        }
        rc = open_clip(put, gone->clip_id, &known, &clip);
        if (rc)
            return rc;
    }
    if (a->config.ops->partial(a->config.context, clip, true, gone->reason))
        return -EAGAIN;
    a->stats.gone++;
    forget(a, clip);
    return 0;
}

/* ---- Entry points ---- */

static int check_key(struct put *put)
{
    const struct assembler_place *place = put->place;

    if (!place->key || !assembler_pseudonym_ok(place->key, place->key_size)) {
        (void)err_plain(put->err, -EINVAL, "message key of %zu bytes is no vehicle pseudonym "
                        "(1 to %d of [A-Za-z0-9_.-], not beginning with '.')", place->key_size,
                        PSEUDONYM_MAX - 1);
        return refuse(put, ASSEMBLER_KEY, -EINVAL);
    }
    memcpy(put->vehicle, place->key, place->key_size);
    return 0;
}

/* The final's own bytes are what its receipt names; they are encoded anew, since the same value
 * always gives the same bytes. */
static int put_ask_zero(struct put *put, const struct wire_value *value)
{
    uint8_t bytes[WIRE_FINAL_MAX], sha256[SHA256_BYTES];
    int size = wire_encode(value, bytes, sizeof bytes, put->err);

    if (size < 0)
        return refuse(put, ASSEMBLER_GEOMETRY, -ERANGE);
    sha256_of(bytes, (size_t)size, sha256);
    return put_final(put, &value->final, 0, sha256);
}

static int dispatch(struct put *put, const struct wire_value *value)
{
    switch (value->kind) {
    case WIRE_OPEN:
        return put_open(put, &value->open);
    case WIRE_CHUNK:
        return put_chunk(put, &value->chunk);
    case WIRE_FINAL:
        return put_ask_zero(put, value);
    case WIRE_QUESTION:
        return put_final(put, &value->question.final, value->question.ask,
                         value->question.final_sha256);
    case WIRE_GONE:
        return put_gone(put, &value->gone);
    default:
        (void)err_plain(put->err, -EINVAL, "kind '%s' does not belong on the clip topic",
                        wire_kind_name(value->kind));
        return refuse(put, ASSEMBLER_KIND, -EINVAL);
    }
}

int assembler_put(struct assembler *a, const struct assembler_place *place,
                  const struct wire_value *value, int64_t now_ns, struct err *err,
                  enum assembler_refusal *ret_refusal)
{
    struct put put = { .a = a, .place = place, .now_ns = now_ns, .err = err };
    int rc = check_key(&put);

    if (!rc)
        rc = dispatch(&put, value);
    if (rc == -EAGAIN)
        return rc;
    if (rc) {
        a->stats.refused[put.refusal]++;
        *ret_refusal = put.refusal;
        return rc;
    }
    a->stats.messages[value->kind]++;
    return 0;
}

static void tell_partial(struct assembler *a, struct assembler_clip *clip)
{
    if (a->config.ops->partial(a->config.context, clip, false, 0))
        return;
    clip->partial = true;
    a->stats.partial++;
    answer_missing(a, clip, clip->ask_pending ? clip->ask : WIRE_ASK_NONE, -1);
    clip->ask_pending = false;
}

static void tick_clip(struct assembler *a, struct assembler_clip *clip, int64_t now_ns)
{
    int64_t idle_ns = now_ns - clip->last_chunk_ns;

    if (is_whole(clip)) {
        if (now_ns >= clip->retry_ns)
            (void)publish(a, clip, now_ns, NULL);
        return;
    }
    if (!clip->partial && idle_ns >= a->config.partial_after_ns)
        tell_partial(a, clip);
    if (clip->partial && idle_ns >= a->config.release_after_ns &&
        !a->config.ops->partial(a->config.context, clip, true, 0)) {
        a->stats.released++;
        forget(a, clip);
    }
}

void assembler_tick(struct assembler *a, int64_t now_ns)
{
    for (uint32_t b = 0; b < ASSEMBLER_BUCKETS; b++)
        for (struct assembler_clip *clip = a->table.buckets[b], *next; clip; clip = next) {
            next = clip->next;
            tick_clip(a, clip, now_ns);
        }
}

int64_t assembler_needed(const struct assembler *a, int32_t partition)
{
    int64_t needed = -1;

    for (uint32_t b = 0; b < ASSEMBLER_BUCKETS; b++)
        for (const struct assembler_clip *clip = a->table.buckets[b]; clip; clip = clip->next)
            if (clip->partition == partition && (needed < 0 || clip->first_offset < needed))
                needed = clip->first_offset;
    return needed;
}

void assembler_revoke(struct assembler *a, int32_t partition)
{
    for (uint32_t b = 0; b < ASSEMBLER_BUCKETS; b++)
        for (struct assembler_clip *clip = a->table.buckets[b], *next; clip; clip = next) {
            next = clip->next;
            if (clip->partition == partition)
                table_drop(&a->table, clip);
        }
}

void assembler_stats(const struct assembler *a, struct assembler_stats *ret_stats)
{
    *ret_stats = a->stats;
    ret_stats->open_clips = a->table.count;
    ret_stats->open_bytes = a->table.bytes;
    ret_stats->partial_clips = 0;
    for (uint32_t b = 0; b < ASSEMBLER_BUCKETS; b++)
        for (const struct assembler_clip *clip = a->table.buckets[b]; clip; clip = clip->next)
            ret_stats->partial_clips += clip->partial;
}
