#include "tools/sim/cuts.h"

#include "proto/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct segment {
    struct clip_header header;
    struct clip_manifest manifest;
    uint8_t *body; /* seed and group records */
    size_t body_size;
};

struct cut {
    struct segment segments[SEGMENTS_MAX];
    uint32_t segment_count;
    uint64_t bytes;
};

struct cuts {
    struct cut *items; /* items[count] is being read */
    uint32_t count;
    uint64_t bytes;
    struct clip_reader *reader; /* of items[count]; NULL between clips */
    uint8_t *scratch;           /* a header or a manifest record */
    size_t scratch_size;
};

/* ---- Reading ---- */

static int append_record(struct segment *segment, const struct clip_item *item)
{
    uint8_t *grown = realloc(segment->body, segment->body_size + item->bytes);

    if (!grown)
        return -ENOMEM;
    memcpy(grown + segment->body_size, item->record, item->bytes);
    segment->body = grown;
    segment->body_size += item->bytes;
    return 0;
}

/* The reader has checked counts, order and hashes; what it lends is decoded again to be kept. */
static int take_item(struct cuts *cuts, const struct clip_item *item)
{
    struct cut *cut = &cuts->items[cuts->count];
    struct segment *segment;

    cut->bytes += item->bytes;
    cuts->bytes += item->bytes;
    if (cuts->bytes > CUTS_BYTES_MAX)
        return -ERANGE;
    if (item->kind == CLIP_ITEM_HEADER) {
        segment = &cut->segments[cut->segment_count++]; /* the reader holds segments to their max */
        return clip_header_decode(item->record, item->bytes, &segment->header, NULL);
    }
    segment = &cut->segments[cut->segment_count - 1];
    if (item->kind != CLIP_ITEM_MANIFEST)
        return append_record(segment, item);
    int rc = clip_manifest_decode(item->record, item->bytes, &segment->manifest, NULL);
    if (!rc && cut->segment_count == segment->header.segments) {
        clip_reader_close(cuts->reader);
        cuts->reader = NULL;
        cuts->count++;
    }
    return rc;
}

static int feed(struct cuts *cuts, const char *path, const uint8_t *bytes, size_t size,
                struct err *err)
{
    const struct clip_reader_config config = { .name = path };
    struct clip_item item;
    int rc = 0;

    for (size_t at = 0; !rc && at < size;) {
        if (cuts->count == CUTS_MAX)
            return err_at(err, -ERANGE, path, 0, 0, "more than %d clips", CUTS_MAX);
        if (!cuts->reader && !(cuts->reader = clip_reader_open(&config)))
            return err_plain(err, -ENOMEM, "no memory for clips");
        int64_t taken = clip_reader_put(cuts->reader, bytes + at, size - at);
        if (taken < 0)
            return err_plain(err, (int)taken, "no memory for clips");
        at += (size_t)taken;
        while (!rc && cuts->reader && (rc = clip_reader_next(cuts->reader, &item, err)) == 1) {
            rc = take_item(cuts, &item);
            if (rc)
                (void)err_at(err, rc, path, 0, 0, rc == -ERANGE ? "clips beyond %lld bytes in all"
                                                                : "cannot be kept",
                             (long long)CUTS_BYTES_MAX);
        }
    }
    return rc;
}

static int read_file(const char *path, uint8_t **ret_bytes, size_t *ret_size, struct err *err)
{
    FILE *file = fopen(path, "rb");
    struct stat st;

    if (!file || fstat(fileno(file), &st)) {
        int rc = -errno;
        if (file)
            (void)fclose(file);
        return err_at(err, rc, path, 0, 0, "cannot be read: %s", strerror(-rc));
    }
    if (st.st_size > SEGMENTS_MAX * (off_t)SEGMENT_BYTES_MAX) {
        (void)fclose(file);
        return err_at(err, -ERANGE, path, 0, 0, "larger than any clip");
    }
    uint8_t *bytes = malloc((size_t)st.st_size + 1);
    size_t size = bytes ? fread(bytes, 1, (size_t)st.st_size, file) : 0;
    (void)fclose(file);
    if (!bytes || size != (size_t)st.st_size) {
        free(bytes);
        return err_at(err, bytes ? -EIO : -ENOMEM, path, 0, 0, "cannot be read as a whole");
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

int cuts_load(const char *const *paths, uint32_t count, struct err *err, struct cuts **ret_cuts)
{
    struct cuts *cuts = calloc(1, sizeof *cuts);
    int rc = 0;

    if (!cuts)
        return err_plain(err, -ENOMEM, "no memory for clips");
    cuts->items = calloc(CUTS_MAX, sizeof *cuts->items);
    if (!cuts->items) {
        cuts_close(cuts);
        return err_plain(err, -ENOMEM, "no memory for clips");
    }
    for (uint32_t i = 0; !rc && i < count; i++) {
        uint8_t *bytes = NULL;
        size_t size = 0;
        rc = read_file(paths[i], &bytes, &size, err);
        if (!rc)
            rc = feed(cuts, paths[i], bytes, size, err);
        free(bytes);
    }
    if (!rc && cuts->reader)
        rc = err_at(err, -EBADMSG, paths[count - 1], 0, 0, "the clip ends here and is not whole");
    if (!rc && cuts->count == 0)
        rc = err_plain(err, -EINVAL, "no clip: give clips (.rlc), or recordings and their rules");
    if (rc) {
        cuts_close(cuts);
        return rc;
    }
    *ret_cuts = cuts;
    return 0;
}

void cuts_close(struct cuts *cuts)
{
    if (!cuts)
        return;
    for (uint32_t i = 0; cuts->items && i < CUTS_MAX; i++)
        for (uint32_t k = 0; k < cuts->items[i].segment_count; k++) {
            struct segment *segment = &cuts->items[i].segments[k];
            clip_header_deinit(&segment->header);
            clip_manifest_deinit(&segment->manifest);
            free(segment->body);
        }
    clip_reader_close(cuts->reader);
    free(cuts->items);
    free(cuts->scratch);
    free(cuts);
}

uint32_t cuts_count(const struct cuts *cuts)
{
    return cuts->count;
}

uint64_t cuts_bytes(const struct cuts *cuts, uint32_t index)
{
    return cuts->items[index].bytes;
}

/* ---- Dealing ---- */

static int reserve(struct cuts *cuts, int64_t size)
{
    if (size < 0 || (size_t)size <= cuts->scratch_size)
        return size < 0 ? (int)size : 0;
    uint8_t *grown = realloc(cuts->scratch, (size_t)size);
    if (!grown)
        return -ENOMEM;
    cuts->scratch = grown;
    cuts->scratch_size = (size_t)size;
    return 0;
}

struct dealing {
    struct cuts *cuts;
    int (*put)(void *context, const struct recorder_piece *piece);
    void *context;
    struct recorder_piece piece; /* what all pieces of the segment share */
    struct sha256 *sha;          /* of the segment so far */
    uint64_t bytes;              /* likewise */
};

static int give(struct dealing *dealing, enum recorder_piece_kind kind, const uint8_t *bytes,
                size_t size)
{
    dealing->piece.kind = kind;
    dealing->piece.bytes = bytes;
    dealing->piece.size = size;
    sha256_put(dealing->sha, bytes, size);
    dealing->bytes += size;
    return dealing->put(dealing->context, &dealing->piece);
}

static int deal_header(struct dealing *dealing, const struct clip_header *header)
{
    struct cuts *cuts = dealing->cuts;
    int64_t size = clip_header_encode(header, NULL, 0);
    int rc = reserve(cuts, size);

    if (rc)
        return rc;
    size = clip_header_encode(header, cuts->scratch, cuts->scratch_size);
    if (size < 0)
        return (int)size;
    dealing->piece.header = header;
    rc = give(dealing, RECORDER_BEGIN, cuts->scratch, (size_t)size);
    dealing->piece.header = NULL;
    return rc;
}

/* Links to other clips of the drive name a session that this vehicle never had. */
static int deal_manifest(struct dealing *dealing, const struct clip_manifest *from)
{
    struct cuts *cuts = dealing->cuts;
    struct clip_manifest manifest = *from;

    memcpy(manifest.clip_id, dealing->piece.clip_id, CLIP_ID_BYTES);
    manifest.continues = false;
    manifest.overlap_count = 0;
    manifest.body_bytes = dealing->bytes;
    sha256_take(dealing->sha, manifest.body_sha256);
    int64_t size = clip_manifest_encode(&manifest, NULL, 0);
    int rc = reserve(cuts, size);
    if (rc)
        return rc;
    size = clip_manifest_encode(&manifest, cuts->scratch, cuts->scratch_size);
    if (size < 0)
        return (int)size;
    dealing->piece.manifest = &manifest;
    rc = give(dealing, RECORDER_END, cuts->scratch, (size_t)size);
    dealing->piece.manifest = NULL;
    return rc;
}

static int deal_segment(struct dealing *dealing, const struct segment *segment,
                        const struct cuts_identity *identity)
{
    struct clip_header header = segment->header; /* borrows; only the names are ours */
    uint8_t none[SHA256_BYTES];

    header.vehicle = identity->vehicle;
    header.ordinal = identity->ordinal;
    memcpy(header.session_id, identity->session_id, SESSION_ID_BYTES);
    memcpy(header.clip_id, dealing->piece.clip_id, CLIP_ID_BYTES);
    dealing->piece.segment = header.segment;
    dealing->piece.segments = header.segments;
    dealing->bytes = 0;
    int rc = deal_header(dealing, &header);
    if (!rc && segment->body_size)
        rc = give(dealing, RECORDER_DATA, segment->body, segment->body_size);
    if (!rc)
        rc = deal_manifest(dealing, &segment->manifest);
    sha256_take(dealing->sha, none); /* anew for the next segment */
    return rc;
}

int cuts_deal(struct cuts *cuts, uint32_t index, const struct cuts_identity *identity,
              int (*put)(void *context, const struct recorder_piece *piece), void *context)
{
    struct dealing dealing = { .cuts = cuts, .put = put, .context = context,
                               .sha = sha256_open() };
    const struct cut *cut = &cuts->items[index];
    int rc = dealing.sha ? 0 : -ENOMEM;

    clip_id_make(identity->vehicle, identity->session_id, identity->ordinal,
                 dealing.piece.clip_id);
    for (uint32_t i = 0; !rc && i < cut->segment_count; i++)
        rc = deal_segment(&dealing, &cut->segments[i], identity);
    sha256_close(dealing.sha);
    return rc;
}
