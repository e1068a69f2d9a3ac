/* The drop folder: transport "file" of cars without Kafka (uploader/filedrop.h). A car writes its
 * segments as CLIP-<segment>.rlc and then CLIP.manifest, the encoded manifest-final or a later
 * question; the sink writes CLIP.receipt beside them, or CLIP.refused with the reason. */
#include "tools/sink/sink_private.h"

#include "proto/clip.h"
#include "proto/job.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST_SUFFIX ".manifest"

struct drop {
    struct sink *sink;
    struct files *files;
    struct wire_final final;
    uint8_t final_sha256[SHA256_BYTES];
    uint32_t ask;
    char clip[CLIP_ID_HEX];
};

static void side_name(const struct drop *drop, const char *suffix, char name[FILES_PATH_MAX])
{
    (void)snprintf(name, FILES_PATH_MAX, "%s%s", drop->clip, suffix);
}

static int write_side(const struct drop *drop, const char *suffix, const void *bytes, size_t size)
{
    char name[FILES_PATH_MAX], temp[FILES_PATH_MAX];

    side_name(drop, suffix, name);
    side_name(drop, ".sink-new", temp);
    (void)files_unlink(drop->files, temp);
    int rc = files_write_new(drop->files, temp, bytes, size);
    return rc ? rc : files_move_over(drop->files, temp, name);
}

static int answer(const struct drop *drop, struct wire_receipt *receipt)
{
    struct wire_value value = { .kind = WIRE_RECEIPT };
    uint8_t bytes[WIRE_RECEIPT_MAX];

    memcpy(receipt->clip_id, drop->final.about.clip_id, CLIP_ID_BYTES);
    memcpy(receipt->final_sha256, drop->final_sha256, SHA256_BYTES);
    memcpy(receipt->pseudonym, drop->final.about.pseudonym, PSEUDONYM_MAX);
    receipt->ask = drop->ask;
    value.receipt = *receipt;
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);
    return size < 0 ? size : write_side(drop, ".receipt", bytes, (size_t)size);
}

static int refuse(const struct drop *drop, const char *reason)
{
    char text[ERR_TEXT_MAX + 2];
    int size = snprintf(text, sizeof text, "%.500s\n", reason);

    drop->sink->stats.drops_refused++;
    return write_side(drop, ".refused", text, (size_t)size);
}

/* Was this very question answered? */
static bool is_answered(const struct drop *drop)
{
    struct wire_value value;
    char name[FILES_PATH_MAX], *bytes;
    size_t size;
    bool same = false;

    side_name(drop, ".receipt", name);
    if (files_read(drop->files, name, WIRE_RECEIPT_MAX, &bytes, &size))
        return false;
    if (!wire_decode(bytes, size, NULL, &value) && value.kind == WIRE_RECEIPT)
        same = value.receipt.ask == drop->ask &&
               !memcmp(value.receipt.final_sha256, drop->final_sha256, SHA256_BYTES);
    free(bytes);
    return same;
}

static int read_manifest(struct drop *drop, const char *name, struct err *err)
{
    struct wire_value value;
    uint8_t id[CLIP_ID_BYTES];
    char *bytes;
    size_t size;
    int rc = files_read(drop->files, name, WIRE_SMALL_MAX, &bytes, &size);

    if (rc)
        return err_plain(err, rc, "%s: %s", name, strerror(-rc));
    rc = wire_decode(bytes, size, err, &value);
    if (!rc && value.kind == WIRE_FINAL) {
        drop->final = value.final;
        sha256_of(bytes, size, drop->final_sha256);
    } else if (!rc && value.kind == WIRE_QUESTION) {
        drop->final = value.question.final;
        drop->ask = value.question.ask;
        memcpy(drop->final_sha256, value.question.final_sha256, SHA256_BYTES);
    } else if (!rc) {
        rc = err_plain(err, -EBADMSG, "a %s is no manifest-final", wire_kind_name(value.kind));
    }
    free(bytes);
    if (rc)
        return rc;
    const struct wire_about *about = &drop->final.about;
    clip_id_make(about->pseudonym, about->session_id, about->ordinal, id);
    if (!assembler_pseudonym_ok(about->pseudonym, strlen(about->pseudonym)) ||
        memcmp(id, about->clip_id, CLIP_ID_BYTES) || hex_to(drop->clip, CLIP_ID_BYTES, id) ||
        memcmp(id, about->clip_id, CLIP_ID_BYTES))
        return err_plain(err, -EBADMSG, "clip id is not that of its vehicle, session and ordinal, "
                         "or not the file's name");
    return 0;
}

/* Opens the segments; those that are not here whole become ranges of *receipt. */
static void open_segments(struct drop *drop, struct dataset_piece *pieces,
                          struct wire_receipt *receipt)
{
    for (uint32_t k = 0; k < drop->final.about.segments; k++) {
        char name[JOB_NAME_MAX];
        off_t size = 0;
        job_segment_name(drop->final.about.clip_id, k, name);
        pieces[k] = (struct dataset_piece){ .fd = files_open_read(drop->files, name, &size),
                                            .bytes = drop->final.segments[k].bytes };
        memcpy(pieces[k].sha256, drop->final.segments[k].sha256, SHA256_BYTES);
        if (pieces[k].fd >= 0 && size == pieces[k].bytes)
            continue;
        receipt->result = WIRE_MISSING;
        receipt->ranges[receipt->range_count++] =
            (struct wire_range){ (uint8_t)k, 0, wire_chunk_count(&drop->final.segments[k]) };
    }
}

static int store(struct drop *drop, const struct dataset_piece *pieces,
                 struct wire_receipt *receipt, struct err *err)
{
    struct assembler_outcome outcome = { 0 };
    struct record record;
    int rc = publish_clip(drop->sink->publisher, &drop->final, drop->final_sha256, pieces,
                          &outcome, &record, err);

    if (rc)
        return rc;
    if (outcome.result == ASSEMBLER_BAD_SEGMENT) {
        receipt->result = WIRE_MISSING;
        receipt->ranges[receipt->range_count++] = (struct wire_range){
            (uint8_t)outcome.bad_slot, 0,
            wire_chunk_count(&drop->final.segments[outcome.bad_slot]) };
        return refuse(drop, outcome.reason);
    }
    receipt->result = WIRE_COMPLETE;
    receipt->need_count = (uint8_t)outcome.need_count;
    memcpy(receipt->needs, outcome.needs, sizeof receipt->needs);
    if (outcome.result == ASSEMBLER_QUARANTINED)
        return refuse(drop, outcome.reason);
    drop->sink->stats.drops_stored++;
    return 0;
}

static void take_drop(struct drop *drop, const char *name)
{
    struct dataset_piece pieces[SEGMENTS_MAX];
    struct wire_receipt receipt = { 0 };
    struct err err = { .text = "" };
    int rc = read_manifest(drop, name, &err);

    if (rc) {
        (void)refuse(drop, err.text);
        return;
    }
    if (is_answered(drop))
        return;
    for (uint32_t k = 0; k < SEGMENTS_MAX; k++)
        pieces[k].fd = -1;
    open_segments(drop, pieces, &receipt);
    if (receipt.result != WIRE_MISSING)
        rc = store(drop, pieces, &receipt, &err);
    for (uint32_t k = 0; k < SEGMENTS_MAX; k++)
        if (pieces[k].fd >= 0)
            (void)close(pieces[k].fd);
    if (!rc)
        rc = answer(drop, &receipt);
    if (rc) {
        if (!err.text[0])
            (void)err_at(&err, rc, drop->sink->config.drop, 0, 0, "%s", strerror(-rc));
        sink_note_error(drop->sink, &err);
    }
}

/* "<32 hex>.manifest" */
static bool is_manifest(const char *name, char clip[CLIP_ID_HEX])
{
    uint8_t id[CLIP_ID_BYTES];

    if (strlen(name) != 2 * CLIP_ID_BYTES + sizeof MANIFEST_SUFFIX - 1 ||
        strcmp(name + 2 * CLIP_ID_BYTES, MANIFEST_SUFFIX))
        return false;
    (void)snprintf(clip, CLIP_ID_HEX, "%.32s", name);
    return !hex_to(clip, CLIP_ID_BYTES, id);
}

/* A refused manifest stays refused until the car writes it anew. */
static bool is_refused(const struct drop *drop, const char *name)
{
    char refused[FILES_PATH_MAX];

    side_name(drop, ".refused", refused);
    return files_newer(drop->files, refused, name);
}

void drop_scan(struct sink *sink)
{
    struct files *files;
    DIR *dir = opendir(sink->config.drop);

    if (!dir)
        return;
    if (files_open(sink->config.drop, NULL, &files)) {
        (void)closedir(dir);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        struct drop drop = { .sink = sink, .files = files };
        if (is_manifest(entry->d_name, drop.clip) && !is_refused(&drop, entry->d_name))
            take_drop(&drop, entry->d_name);
    }
    (void)closedir(dir);
    files_close(files);
}
