#include "tools/sink/dataset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COPY_BYTES 65536
#define IDS_BYTES_MAX 512

struct dataset {
    struct files *files;
    uint64_t member, temps;
};

int dataset_open(const struct dataset_config *config, struct err *err,
                 struct dataset **ret_dataset)
{
    struct dataset *d = calloc(1, sizeof *d);

    if (!d)
        return err_plain(err, -ENOMEM, "no memory");
    d->member = config->member;
    int rc = files_open(config->root, config->faults, &d->files);
    if (!rc)
        rc = files_mkdirs(d->files, "tmp");
    if (rc) {
        dataset_close(d);
        return err_at(err, rc, config->root, 0, 0, "dataset cannot be opened: %s", strerror(-rc));
    }
    (void)files_sweep(d->files, "tmp", config->utc_now_ns - DATASET_SWEEP_NS);
    *ret_dataset = d;
    return 0;
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    files_close(d->files);
    free(d);
}

struct files *dataset_files(const struct dataset *d)
{
    return d->files;
}

/* ---- Names ---- */

void dataset_place(const struct wire_about *about, struct dataset_place *ret_place)
{
    time_t seconds = (time_t)(about->utc_ns / 1000000000);
    struct tm tm;

    (void)snprintf(ret_place->date, sizeof ret_place->date, "unknown");
    if (about->utc_ns > 0 && gmtime_r(&seconds, &tm))
        (void)strftime(ret_place->date, sizeof ret_place->date, "%Y-%m-%d", &tm);
    memcpy(ret_place->vehicle, about->pseudonym, PSEUDONYM_MAX);
    hex_from(about->clip_id, CLIP_ID_BYTES, ret_place->clip);
}

void dataset_name(const struct dataset_place *place, const char *suffix,
                  char name[FILES_PATH_MAX])
{
    (void)snprintf(name, FILES_PATH_MAX, "date=%s/vehicle=%s/%s%s", place->date, place->vehicle,
                   place->clip, suffix);
}

static void ids_name(const char *clip, char name[FILES_PATH_MAX])
{
    (void)snprintf(name, FILES_PATH_MAX, "ids/%.2s/%s", clip, clip);
}

void dataset_partial_name(const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES],
                          const char *suffix, char name[FILES_PATH_MAX])
{
    char clip[CLIP_ID_HEX];

    hex_from(clip_id, CLIP_ID_BYTES, clip);
    (void)snprintf(name, FILES_PATH_MAX, "partial/vehicle=%s/%s%s", vehicle, clip, suffix);
}

static void quarantine_name(const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES],
                            const uint8_t final_sha256[SHA256_BYTES], const char *suffix,
                            char name[FILES_PATH_MAX])
{
    char clip[CLIP_ID_HEX], manifest[SHA256_HEX];

    hex_from(clip_id, CLIP_ID_BYTES, clip);
    hex_from(final_sha256, SHA256_BYTES, manifest);
    (void)snprintf(name, FILES_PATH_MAX, "quarantine/vehicle=%s/%s-%.16s%s", vehicle, clip,
                   manifest, suffix);
}

static int make_parent(struct dataset *d, const char *name)
{
    char parent[FILES_PATH_MAX];
    const char *slash = strrchr(name, '/');

    (void)snprintf(parent, sizeof parent, "%.*s", (int)(slash - name), name);
    return files_mkdirs(d->files, parent);
}

/* ---- Temporary files ---- */

void dataset_temp(struct dataset *d, const char *suffix, struct dataset_temp *ret_temp)
{
    memset(ret_temp, 0, sizeof *ret_temp);
    (void)snprintf(ret_temp->name, sizeof ret_temp->name, "tmp/%016" PRIx64 "-%" PRIu64 "%s",
                   d->member, ++d->temps, suffix);
}

void dataset_discard(struct dataset *d, const struct dataset_temp *temp)
{
    if (temp->name[0])
        (void)files_unlink(d->files, temp->name);
}

static int write_temp(struct dataset *d, const char *text, struct dataset_temp *ret_temp)
{
    dataset_temp(d, ".txt", ret_temp);
    return files_write_new(d->files, ret_temp->name, text, strlen(text));
}

static int copy_piece(struct dataset *d, const struct dataset_piece *piece, int fd,
                      const char *name, int64_t to, struct sha256 *whole)
{
    uint8_t buffer[COPY_BYTES], digest[SHA256_BYTES];
    struct sha256 *sha = sha256_open();
    int rc = sha ? 0 : -ENOMEM;

    for (int64_t at = 0; !rc && at < piece->bytes; at += COPY_BYTES) {
        size_t n = piece->bytes - at < COPY_BYTES ? (size_t)(piece->bytes - at) : COPY_BYTES;
        rc = files_pread(piece->fd, buffer, n, piece->offset + at);
        if (rc)
            break;
        sha256_put(sha, buffer, n);
        sha256_put(whole, buffer, n);
        rc = files_pwrite(d->files, fd, name, buffer, n, to + at);
    }
    if (!rc) {
        sha256_take(sha, digest);
        rc = memcmp(digest, piece->sha256, SHA256_BYTES) ? -EBADMSG : 0;
    }
    sha256_close(sha);
    return rc;
}

static int copy_pieces(struct dataset *d, const struct dataset_piece *pieces, uint32_t count,
                       int fd, struct dataset_temp *temp, uint32_t *ret_bad)
{
    struct sha256 *whole = sha256_open();
    int rc = whole ? 0 : -ENOMEM;

    for (uint32_t i = 0; !rc && i < count; i++) {
        rc = copy_piece(d, &pieces[i], fd, temp->name, temp->bytes, whole);
        if (rc == -ENODATA) /* shorter than declared: as wrong as other bytes */
            rc = -EBADMSG;
        if (rc == -EBADMSG)
            *ret_bad = i;
        temp->bytes += pieces[i].bytes;
    }
    if (!rc)
        sha256_take(whole, temp->sha256);
    sha256_close(whole);
    return rc;
}

int dataset_join(struct dataset *d, const struct dataset_piece *pieces, uint32_t count,
                 struct dataset_temp *ret_temp, uint32_t *ret_bad)
{
    struct dataset_temp temp;

    dataset_temp(d, ".rlc", &temp);
    int fd = files_open_write(d->files, temp.name, true);
    if (fd < 0)
        return fd;
    int rc = copy_pieces(d, pieces, count, fd, &temp, ret_bad);
    (void)close(fd);
    if (!rc)
        rc = files_sync(d->files, temp.name);
    if (rc) {
        dataset_discard(d, &temp);
        return rc;
    }
    *ret_temp = temp;
    return 0;
}

/* ---- Whole clips ---- */

static bool date_ok(const char *date)
{
    if (!strcmp(date, "unknown"))
        return true;
    for (int i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? date[i] != '-' : date[i] < '0' || date[i] > '9')
            return false;
    return date[10] == '\0';
}

/* "date=D/vehicle=V SHA256\n" in ids/xx/CLIP. 1, 0 when there is no such file, or an errno. */
static int read_ids(struct dataset *d, const char *clip, struct dataset_place *ret_place,
                    uint8_t ret_sha256[SHA256_BYTES])
{
    char name[FILES_PATH_MAX], hex[SHA256_HEX], *text;
    size_t size;
    int end = 0;

    ids_name(clip, name);
    int rc = files_read(d->files, name, IDS_BYTES_MAX, &text, &size);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    memset(ret_place, 0, sizeof *ret_place);
    int fields = sscanf(text, "date=%15[^/]/vehicle=%63[A-Za-z0-9_.-] %64[0-9a-f]\n%n",
                        ret_place->date, ret_place->vehicle, hex, &end);
    free(text);
    if (fields != 3 || (size_t)end != size || !date_ok(ret_place->date) ||
        !assembler_pseudonym_ok(ret_place->vehicle, strlen(ret_place->vehicle)) ||
        strlen(hex) != 2 * SHA256_BYTES || hex_to(hex, SHA256_BYTES, ret_sha256))
        return -EBADMSG;
    memcpy(ret_place->clip, clip, CLIP_ID_HEX);
    return 1;
}

static int read_record(struct dataset *d, const char *name, struct record *ret_record,
                       struct err *err)
{
    char *text;
    size_t size;
    int rc = files_read(d->files, name, RECORD_BYTES_MAX, &text, &size);

    if (rc)
        return rc == -ENOENT ? 0 : err_at(err, rc, name, 0, 0, "%s", strerror(-rc));
    rc = record_read(text, size, ret_record, err);
    free(text);
    if (rc && err)
        (void)snprintf(err->file, sizeof err->file, "%s", name);
    return rc ? rc : 1;
}

int dataset_find(struct dataset *d, const char *vehicle, const uint8_t clip_id[CLIP_ID_BYTES],
                 struct record *ret_record, struct dataset_place *ret_place, struct err *err)
{
    char clip[CLIP_ID_HEX], name[FILES_PATH_MAX];
    uint8_t sha256[SHA256_BYTES];
    struct dataset_place place;

    hex_from(clip_id, CLIP_ID_BYTES, clip);
    int rc = read_ids(d, clip, &place, sha256);
    if (rc < 0)
        return err_at(err, rc, clip, 0, 0, "entry in ids/ does not read: %s", strerror(-rc));
    if (!rc || strcmp(place.vehicle, vehicle))
        return 0;
    dataset_name(&place, ".json", name);
    rc = read_record(d, name, ret_record, err);
    if (rc == 1)
        *ret_place = place;
    return rc;
}

int dataset_find_partial(struct dataset *d, const char *vehicle,
                         const uint8_t clip_id[CLIP_ID_BYTES], struct record *ret_record,
                         struct err *err)
{
    char name[FILES_PATH_MAX];

    dataset_partial_name(vehicle, clip_id, ".json", name);
    return read_record(d, name, ret_record, err);
}

bool dataset_quarantined(struct dataset *d, const char *vehicle,
                         const uint8_t clip_id[CLIP_ID_BYTES],
                         const uint8_t final_sha256[SHA256_BYTES])
{
    char name[FILES_PATH_MAX];

    quarantine_name(vehicle, clip_id, final_sha256, ".json", name);
    return files_exist(d->files, name);
}

/* Who was first with which content: link() makes the entry whole or not at all. */
static int link_ids(struct dataset *d, const struct dataset_place *place,
                    const uint8_t rlc_sha256[SHA256_BYTES])
{
    char name[FILES_PATH_MAX], text[IDS_BYTES_MAX], hex[SHA256_HEX];
    struct dataset_temp temp;

    hex_from(rlc_sha256, SHA256_BYTES, hex);
    (void)snprintf(text, sizeof text, "date=%s/vehicle=%s %s\n", place->date, place->vehicle, hex);
    ids_name(place->clip, name);
    int rc = make_parent(d, name);
    if (!rc)
        rc = write_temp(d, text, &temp);
    if (rc)
        return rc;
    rc = files_link(d->files, temp.name, name);
    dataset_discard(d, &temp);
    return rc;
}

int dataset_claim(struct dataset *d, struct dataset_place *place,
                  const uint8_t rlc_sha256[SHA256_BYTES], struct err *err)
{
    struct dataset_place first;
    uint8_t sha256[SHA256_BYTES];
    char name[FILES_PATH_MAX];

    int rc = link_ids(d, place, rlc_sha256);
    if (!rc)
        return DATASET_NEW;
    if (rc == -EEXIST)
        rc = read_ids(d, place->clip, &first, sha256);
    if (rc != 1)
        return err_at(err, rc ? rc : -EAGAIN, place->clip, 0, 0, "entry in ids/: %s",
                      strerror(rc ? -rc : EAGAIN));
    if (memcmp(sha256, rlc_sha256, SHA256_BYTES) || strcmp(first.vehicle, place->vehicle))
        return DATASET_OTHER;
    *place = first;
    dataset_name(place, ".json", name);
    return files_exist(d->files, name) ? DATASET_DONE : DATASET_LEFTOVER;
}

/* A file without JSON beside it is a leftover of a crash: equal bytes stay, others make room. */
static int place_file(struct dataset *d, const struct dataset_temp *temp, const char *name,
                      bool compare)
{
    uint8_t sha256[SHA256_BYTES];
    int64_t bytes;
    int rc = files_move_new(d->files, temp->name, name);

    if (rc != -EEXIST)
        return rc;
    if (compare && !files_sha256(d->files, name, sha256, &bytes) &&
        !memcmp(sha256, temp->sha256, SHA256_BYTES)) {
        dataset_discard(d, temp);
        rc = files_sync(d->files, name);
        return rc ? rc : files_sync_parent(d->files, name);
    }
    rc = files_unlink(d->files, name);
    if (rc && rc != -ENOENT)
        return rc;
    return files_move_new(d->files, temp->name, name);
}

static int place_json(struct dataset *d, const char *json, const char *name, bool over)
{
    struct dataset_temp temp;
    int rc = write_temp(d, json, &temp);

    if (rc)
        return rc;
    rc = over ? files_move_over(d->files, temp.name, name)
              : files_move_new(d->files, temp.name, name);
    if (rc)
        dataset_discard(d, &temp);
    return rc;
}

int dataset_finish(struct dataset *d, const struct dataset_place *place,
                   const struct dataset_temp *rlc, const struct dataset_temp *mcap,
                   const char *json)
{
    char name[FILES_PATH_MAX];

    dataset_name(place, ".rlc", name);
    int rc = make_parent(d, name);
    if (!rc)
        rc = place_file(d, rlc, name, true);
    if (!rc && mcap) {
        dataset_name(place, ".mcap", name);
        rc = place_file(d, mcap, name, false);
    }
    if (rc)
        return rc;
    dataset_name(place, ".json", name);
    rc = place_json(d, json, name, false);
    return rc == -EEXIST ? 0 : rc;
}

int dataset_update(struct dataset *d, const struct dataset_place *place, const char *json)
{
    char name[FILES_PATH_MAX];

    dataset_name(place, ".json", name);
    return place_json(d, json, name, true);
}

int dataset_set_aside(struct dataset *d, const struct dataset_place *place)
{
    char name[FILES_PATH_MAX], aside[FILES_PATH_MAX];

    dataset_name(place, ".json", name);
    dataset_name(place, ".json.broken", aside);
    return files_move_over(d->files, name, aside);
}

/* ---- What is not whole, or not right ---- */

static int quarantine_room(struct dataset *d, const char *name, int64_t bytes, int64_t bytes_max)
{
    char folder[FILES_PATH_MAX];
    const char *file = strrchr(name, '/') + 1;
    int64_t used;

    (void)snprintf(folder, sizeof folder, "%.*s", (int)(file - 1 - name), name);
    int rc = files_usage(d->files, folder, file, &used);
    if (rc)
        return rc;
    return bytes > bytes_max || used > bytes_max - bytes ? -EDQUOT : 0;
}

int dataset_quarantine(struct dataset *d, const char *vehicle, int64_t bytes_max,
                       const uint8_t clip_id[CLIP_ID_BYTES],
                       const uint8_t final_sha256[SHA256_BYTES], const struct dataset_temp *rlc,
                       const char *json)
{
    char name[FILES_PATH_MAX];

    quarantine_name(vehicle, clip_id, final_sha256, "", name);
    int rc = quarantine_room(d, name, rlc->bytes + (int64_t)strlen(json), bytes_max);
    if (rc)
        return rc;
    quarantine_name(vehicle, clip_id, final_sha256, ".rlc", name);
    rc = make_parent(d, name);
    if (!rc)
        rc = place_file(d, rlc, name, true);
    if (rc)
        return rc;
    quarantine_name(vehicle, clip_id, final_sha256, ".json", name);
    rc = place_json(d, json, name, false);
    return rc == -EEXIST ? 0 : rc;
}

int dataset_put_partial(struct dataset *d, const char *vehicle,
                        const uint8_t clip_id[CLIP_ID_BYTES], const struct dataset_temp *part,
                        const char *json)
{
    char name[FILES_PATH_MAX];

    dataset_partial_name(vehicle, clip_id, ".part", name);
    int rc = make_parent(d, name);
    if (!rc && part)
        rc = files_sync(d->files, part->name);
    if (!rc && part)
        rc = files_move_over(d->files, part->name, name);
    if (rc)
        return rc;
    dataset_partial_name(vehicle, clip_id, ".json", name);
    return place_json(d, json, name, true);
}

int dataset_drop_partial(struct dataset *d, const char *vehicle,
                         const uint8_t clip_id[CLIP_ID_BYTES])
{
    static const char *const suffixes[] = { ".json", ".part" };
    char name[FILES_PATH_MAX];
    int rc = 0;

    for (size_t i = 0; i < 2; i++) {
        dataset_partial_name(vehicle, clip_id, suffixes[i], name);
        int unlinked = files_unlink(d->files, name);
        if (unlinked && unlinked != -ENOENT)
            rc = unlinked;
    }
    return rc;
}
