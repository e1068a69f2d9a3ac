/* The drop folder (uploader/filedrop.h): CLIP.rlc and CLIP.manifest from the car, SHA.artifact for its
 * databases; the sink answers with CLIP.receipt, or says why not in CLIP.refused. A car removes the
 * receipt when it has read it, so CLIP.answered remembers that this manifest has its answer. */
#include "tools/sink/sink_private.h"

#include "proto/clip.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void ask_for(const struct drop *drop, uint32_t segment, struct wire_receipt *receipt)
{
    receipt->result = WIRE_MISSING;
    receipt->ranges[receipt->range_count++] = (struct wire_range){
        (uint8_t)segment, 0, wire_chunk_count(&drop->final.segments[segment]) };
}

/* The segments lie joined in CLIP.rlc; one that is not whole there becomes a range of *receipt.
 * Returns the descriptor, or a negative errno when there is no such file. */
static int open_segments(struct drop *drop, struct dataset_piece *pieces,
                         struct wire_receipt *receipt)
{
    char name[FILES_PATH_MAX];
    off_t size = 0;
    int64_t at = 0;

    side_name(drop, ".rlc", name);
    int fd = files_open_read(drop->files, name, &size);
    for (uint32_t k = 0; k < drop->final.about.segments; k++) {
        const struct wire_segment *segment = &drop->final.segments[k];
        pieces[k] = (struct dataset_piece){ .fd = fd, .offset = at, .bytes = segment->bytes };
        memcpy(pieces[k].sha256, segment->sha256, SHA256_BYTES);
        at += segment->bytes;
        if (fd < 0 || at > size)
            ask_for(drop, k, receipt);
    }
    return fd;
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
        ask_for(drop, outcome.bad_slot, receipt);
        return refuse(drop, outcome.reason);
    }
    if (outcome.result == ASSEMBLER_NOT_KEPT)
        return refuse(drop, outcome.reason);
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
    int fd = open_segments(drop, pieces, &receipt);
    if (receipt.result != WIRE_MISSING)
        rc = store(drop, pieces, &receipt, &err);
    if (fd >= 0)
        (void)close(fd);
    if (!rc && receipt.result != 0) {
        rc = answer(drop, &receipt);
        if (!rc)
            rc = write_side(drop, ".answered", "", 0);
    }
    if (rc) {
        if (!err.text[0])
            (void)err_at(&err, rc, drop->sink->config.drop, 0, 0, "%s", strerror(-rc));
        sink_note_error(drop->sink, &err);
    }
}

/* "<digits of hex><suffix>" */
static bool has_name(const char *name, size_t digits, const char *suffix)
{
    uint8_t bytes[SHA256_BYTES];
    char hex[SHA256_HEX];

    if (strlen(name) != digits + strlen(suffix) || strcmp(name + digits, suffix))
        return false;
    (void)snprintf(hex, sizeof hex, "%.*s", (int)digits, name);
    return !hex_to(hex, digits / 2, bytes);
}

/* Answered or refused manifests rest until the car writes them anew. */
static bool is_settled(const struct drop *drop, const char *manifest)
{
    char answered[FILES_PATH_MAX], refused[FILES_PATH_MAX];

    side_name(drop, ".answered", answered);
    side_name(drop, ".refused", refused);
    return files_newer(drop->files, answered, manifest) ||
           files_newer(drop->files, refused, manifest);
}

static void drop_manifest(struct sink *sink, struct files *files, const char *name)
{
    struct drop drop = { .sink = sink, .files = files };

    if (!has_name(name, 2 * CLIP_ID_BYTES, ".manifest"))
        return;
    (void)snprintf(drop.clip, sizeof drop.clip, "%.32s", name);
    if (!is_settled(&drop, name))
        take_drop(&drop, name);
}

/* What is refused stays where it is: the artifact is only missing, and counted. */
static void drop_artifact(struct sink *sink, struct files *files, const char *name)
{
    uint8_t sha256[SHA256_BYTES];
    struct wire_value value;
    struct err err;
    char hex[SHA256_HEX], *bytes;
    size_t size;

    if (!has_name(name, 2 * SHA256_BYTES, ".artifact"))
        return;
    (void)snprintf(hex, sizeof hex, "%.64s", name);
    if (hex_to(hex, SHA256_BYTES, sha256) || artifacts_has(sink->artifacts, sha256) ||
        files_read(files, name, WIRE_ARTIFACT_VALUE_MAX, &bytes, &size))
        return;
    if (wire_decode(bytes, size, &err, &value) || value.kind != WIRE_ARTIFACT ||
        artifacts_put(sink->artifacts, hex, strlen(hex), &value.artifact, &err))
        sink->stats.drops_refused++;
    free(bytes);
}

static void each_name(struct sink *sink, struct files *files, DIR *dir,
                      void (*take)(struct sink *, struct files *, const char *))
{
    rewinddir(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        take(sink, files, entry->d_name);
}

void drop_scan(struct sink *sink)
{
    struct files *files = NULL;
    DIR *dir = opendir(sink->config.drop);

    if (dir && !files_open(sink->config.drop, NULL, &files)) {
        each_name(sink, files, dir, drop_artifact);
        each_name(sink, files, dir, drop_manifest);
    }
    files_close(files);
    if (dir)
        (void)closedir(dir);
}
