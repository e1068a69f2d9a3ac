/* A clip without events. Its id is made of its content, so that the same frames give the same bytes;
 * groups wait in an unnamed file until the header can be written. */
#include "proto/formats/rlc.h"

#include "proto/timeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536
#define GROUP_SPAN_NS (10 * NS_PER_S)

struct rlc_writer {
    FILE *file, *spool; /* spool: the groups so far */
    struct recording_writer_config config;
    struct rowbuf *rows;
    struct group_coder *coder;
    struct sha256 *content;
    struct timeline timeline;
    struct clip_manifest manifest;
    uint32_t generation;
    bool any;
};

void rlc_write_close(void *context)
{
    struct rlc_writer *w = context;

    if (w->spool)
        (void)fclose(w->spool);
    rowbuf_close(w->rows);
    group_coder_close(w->coder);
    sha256_close(w->content);
    free(w);
}

int rlc_write_open(FILE *file, const struct recording_writer_config *config,
                          void **ret_context, struct err *err)
{
    struct rlc_writer *w = calloc(1, sizeof *w);

    if (!w)
        return err_plain(err, -ENOMEM, "no memory for a writer");
    w->file = file;
    w->config = *config;
    w->spool = tmpfile();
    w->rows = rowbuf_open(BLOCK_BYTES_MAX);
    w->coder = group_coder_open();
    w->content = sha256_open();
    timeline_init(&w->timeline);
    w->generation = config->clip ? config->clip->header->generation : 0;
    if (!w->spool || !w->rows || !w->coder || !w->content) {
        rlc_write_close(w);
        return err_plain(err, -ENOMEM, "no memory or temporary file for a writer");
    }
    *ret_context = w;
    return 0;
}

/* Encodes what is open as one group. */
static int close_group(struct rlc_writer *w, struct err *err)
{
    struct group_config config = { w->config.codec, w->generation, w->config.sources };

    if (!rowbuf_count(w->rows))
        return 0;
    int64_t size = group_encode(w->coder, &config, w->rows, NULL, 0);
    if (size < 0)
        return err_plain(err, (int)size, "a group of %u rows cannot be encoded",
                         rowbuf_count(w->rows));
    if (fwrite(group_bytes(w->coder), 1, (size_t)size, w->spool) != (size_t)size)
        return err_plain(err, -EIO, "write failed: %s", strerror(errno));
    sha256_put(w->content, group_bytes(w->coder), (size_t)size);
    w->manifest.groups++;
    rowbuf_clear(w->rows);
    return 0;
}

static bool group_is_full(const struct rlc_writer *w, const struct row *row)
{
    struct rowbuf_info info;

    rowbuf_info(w->rows, &info);
    return info.rows && (row->mono_ns - info.mono_first_ns >= GROUP_SPAN_NS ||
                         row->offset_ns != info.offset_ns);
}

static int place_row(struct rlc_writer *w, const struct recording_item *item, struct row *row,
                     struct err *err)
{
    *row = item->row;
    if (!item->placed)
        (void)timeline_put(&w->timeline, &item->row.frame, row);
    else if (timeline_obey(&w->timeline, row) < 0)
        return err_plain(err, -EBADMSG, "step %llu runs back", (unsigned long long)row->step);
    return 0;
}

static void count_row(struct rlc_writer *w, const struct row *row)
{
    struct clip_manifest *m = &w->manifest;
    struct clip_source_counts *counts = &m->completeness.sources[row->frame.source];

    if (!w->any) {
        w->any = true;
        m->first_step = row->step;
        m->start_ns = row->mono_ns;
        m->start_offset_ns = row->offset_ns;
    }
    m->last_step = row->step;
    m->end_ns = row->mono_ns;
    m->end_offset_ns = row->offset_ns;
    m->frames++;
    m->row_bytes += frame_row_bytes(&row->frame);
    counts->received++;
    counts->stored++;
    counts->late += row->frame.flags & FRAME_LATE ? 1 : 0;
    counts->error_frames += row->frame.flags & FRAME_ERR ? 1 : 0;
}

static int put_row(struct rlc_writer *w, const struct row *row, struct err *err)
{
    int rc = group_is_full(w, row) ? close_group(w, err) : 0;

    if (rc == 0)
        rc = rowbuf_put(w->rows, row);
    if (rc == -ENOBUFS) {
        rc = close_group(w, err);
        if (rc == 0)
            rc = rowbuf_put(w->rows, row);
    }
    if (rc == -EINVAL)
        return err_plain(err, -EINVAL, "a frame that cannot be, id %X", row->frame.id);
    if (rc == 0)
        count_row(w, row);
    return rc;
}

int rlc_put(void *context, const struct recording_item *item, struct err *err)
{
    struct rlc_writer *w = context;
    struct row row;

    if (item->kind == RECORDING_GENERATION) {
        int rc = close_group(w, err);
        w->generation = item->generation;
        return rc;
    }
    if (item->kind == RECORDING_CLOCK) {
        (void)timeline_clock(&w->timeline, item->offset_ns, item->mono_ns);
        return 0;
    }
    int rc = place_row(w, item, &row, err);
    return rc < 0 ? rc : put_row(w, &row, err);
}

static void fill_header(struct rlc_writer *w, struct clip_header *h)
{
    const struct recording_clip *from = w->config.clip;
    uint8_t digest[SHA256_BYTES];

    sha256_take(w->content, digest);
    memcpy(h->session_id, digest, SESSION_ID_BYTES);
    clip_id_make("", h->session_id, 0, h->clip_id);
    h->segments = 1;
    h->codec = w->config.codec;
    h->generation = from ? from->header->generation : 0;
    h->sources = *w->config.sources;
    h->start_ns = h->mono_floor_ns = w->manifest.start_ns;
    h->offset_ns = w->manifest.start_offset_ns;
    h->first_step = w->manifest.first_step;
    if (w->config.recording_sha256)
        memcpy(h->recording_sha256, w->config.recording_sha256, SHA256_BYTES);
    if (from)
        h->clock = from->header->clock;
}

static void fill_manifest(struct rlc_writer *w, const struct clip_header *header)
{
    struct clip_manifest *m = &w->manifest;

    memcpy(m->clip_id, header->clip_id, CLIP_ID_BYTES);
    m->last_segment = true;
    m->clock = header->clock;
    m->completeness.source_count = header->sources.count;
    m->completeness.clamped = w->timeline.clamped;
    m->completeness.discontinuities = w->timeline.discontinuities;
    m->completeness.clock_quality = "recording";
    for (int i = 0; w->config.skips && i < RECORDING_NOTE_UNSORTED; i++)
        m->completeness.skipped_lines += w->config.skips->count[i];
}

static int write_hashed(struct rlc_writer *w, const uint8_t *bytes, size_t size)
{
    sha256_put(w->content, bytes, size);
    w->manifest.body_bytes += size;
    return fwrite(bytes, 1, size, w->file) == size ? 0 : -EIO;
}

/* The segment: header, the groups that wait in the spool, manifest. */
static int write_segment(struct rlc_writer *w, uint8_t *record, size_t size)
{
    struct clip_header header = { 0 };
    size_t got;

    fill_header(w, &header);
    int64_t bytes = clip_header_encode(&header, record, size);
    if (bytes < 0 || write_hashed(w, record, (size_t)bytes) < 0)
        return -EIO;
    if (fflush(w->spool) < 0 || fseeko(w->spool, 0, SEEK_SET) < 0)
        return -EIO;
    while ((got = fread(record, 1, size, w->spool)) > 0)
        if (write_hashed(w, record, got) < 0)
            return -EIO;
    if (ferror(w->spool))
        return -EIO;
    fill_manifest(w, &header);
    sha256_take(w->content, w->manifest.body_sha256);
    bytes = clip_manifest_encode(&w->manifest, record, size);
    if (bytes < 0 || fwrite(record, 1, (size_t)bytes, w->file) != (size_t)bytes)
        return -EIO;
    return 0;
}

int rlc_finish(void *context, struct err *err)
{
    struct rlc_writer *w = context;
    uint8_t record[CHUNK];
    int rc = close_group(w, err);

    if (rc < 0)
        return rc;
    if (write_segment(w, record, sizeof record) < 0)
        return err_plain(err, -EIO, "write failed: %s", strerror(errno));
    return 0;
}
