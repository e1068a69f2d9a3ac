/* The groups of all segments in step order, every row with its place. Groups may stand in any order
 * in the file and their steps may interlock at the edges of a cut (rows out of order by stamp), so
 * up to ACTIVE_MAX groups are merged by step. */
#include "proto/formats/rlc.h"

#include "proto/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACTIVE_MAX 4
#define CHUNK 65536
#define INDEX_MIN 64

struct place {
    uint64_t first_step;
    uint64_t offset; /* in the file */
    uint32_t bytes, generation;
};

/* A group that is being read. */
struct active {
    struct rowbuf *rows;
    struct rowbuf_cursor cursor;
    struct row row; /* the next one */
    bool used;
    uint32_t generation;
};

struct rlc {
    struct recording_input *input;
    struct recording_state *state;
    struct clip_header header;
    struct clip_manifest manifest;
    struct row *seed;
    uint32_t seed_count;
    struct place *index; /* by first_step */
    size_t count, capacity, next;
    struct active active[ACTIVE_MAX];
    struct group_coder *coder;
    uint8_t *record;
    size_t record_capacity;
    uint32_t generation;
    uint64_t last_step;
    bool started;
};

void rlc_close(void *context)
{
    struct rlc *r = context;

    clip_header_deinit(&r->header);
    clip_manifest_deinit(&r->manifest);
    free(r->seed);
    free(r->index);
    for (int i = 0; i < ACTIVE_MAX; i++)
        rowbuf_close(r->active[i].rows);
    group_coder_close(r->coder);
    free(r->record);
    free(r);
}

static int add_place(struct rlc *r, const struct clip_item *item)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : INDEX_MIN;
        struct place *grown = realloc(r->index, capacity * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        r->index = grown;
        r->capacity = capacity;
    }
    r->index[r->count++] = (struct place){ item->group.first_step, item->offset, item->bytes,
                                           item->group.generation };
    return 0;
}

static int note_item(struct rlc *r, const struct clip_item *item, struct err *err)
{
    switch (item->kind) {
    case CLIP_ITEM_HEADER:
        if (r->header.owned)
            return 0; /* the first segment speaks for the clip */
        return clip_header_decode(item->record, item->bytes, &r->header, err);
    case CLIP_ITEM_SEED:
        if (r->seed)
            return 0;
        return clip_seed_decode(item->record, item->bytes, &r->seed, &r->seed_count, err);
    case CLIP_ITEM_GROUP:
        return add_place(r, item);
    case CLIP_ITEM_MANIFEST:
        clip_manifest_deinit(&r->manifest);
        return clip_manifest_decode(item->record, item->bytes, &r->manifest, err);
    }
    return 0;
}

static int note_items(struct rlc *r, struct clip_reader *reader, struct err *err)
{
    struct clip_item item;
    int rc;

    while ((rc = clip_reader_next(reader, &item, err)) == 1) {
        rc = note_item(r, &item, err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* A torn tail leaves what is good before it; the manifest is then missing. */
static int end_of_index(struct rlc *r, struct clip_reader *reader, struct err *err)
{
    struct err why;
    int rc = clip_reader_finish(reader, &why);

    if (rc == -EPIPE && r->header.owned)
        return recording_skip_line(r->input, r->state, RECORDING_SKIP_TORN, r->count + 1, 0, err,
                                   "%.300s", why.text);
    if (rc < 0 && err)
        *err = why;
    return rc == -EPIPE ? -EBADMSG : rc;
}

static int read_index(struct rlc *r, struct clip_reader *reader, struct err *err)
{
    FILE *file = r->input->file;
    uint8_t bytes[CHUNK];
    size_t got;

    while ((got = fread(bytes, 1, sizeof bytes, file)) > 0)
        for (size_t at = 0; at < got;) {
            int64_t taken = clip_reader_put(reader, bytes + at, got - at);
            if (taken < 0)
                return err_plain(err, (int)taken, "no memory for a record");
            at += (size_t)taken;
            int rc = note_items(r, reader, err);
            if (rc < 0)
                return rc;
        }
    if (ferror(file))
        return err_at(err, -EIO, r->input->name, 0, 0, "read failed");
    return end_of_index(r, reader, err);
}

static int by_step(const void *a, const void *b)
{
    const struct place *p = a, *q = b;

    if (p->first_step != q->first_step)
        return p->first_step < q->first_step ? -1 : 1;
    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

static void tell(struct rlc *r)
{
    if (r->count)
        qsort(r->index, r->count, sizeof *r->index, by_step);
    r->generation = r->header.generation;
    r->state->sources = r->header.sources;
    r->state->has_clip = true;
    r->state->clip = (struct recording_clip){
        .header = &r->header, .manifest = r->manifest.owned ? &r->manifest : NULL,
        .seed = r->seed, .seed_count = r->seed_count,
    };
}

int rlc_open(struct recording_input *input, struct recording_state *state,
                    void **ret_context, struct err *err)
{
    struct rlc *r = calloc(1, sizeof *r);
    struct clip_reader *reader =
        clip_reader_open(&(struct clip_reader_config){ .name = input->name, .heads_only = true });
    int rc = -ENOMEM;

    if (r)
        r->coder = group_coder_open();
    if (r && r->coder && reader) {
        r->input = input;
        r->state = state;
        rc = read_index(r, reader, err);
    } else {
        (void)err_plain(err, -ENOMEM, "no memory for a reader");
    }
    clip_reader_close(reader);
    if (rc < 0) {
        if (r)
            rlc_close(r);
        return rc;
    }
    tell(r);
    *ret_context = r;
    return 0;
}

/* The group's bytes, as the index has them. */
static int load(struct rlc *r, const struct place *place, struct err *err)
{
    if (r->record_capacity < place->bytes) {
        uint8_t *grown = realloc(r->record, place->bytes);
        if (!grown)
            return err_plain(err, -ENOMEM, "no memory for a group");
        r->record = grown;
        r->record_capacity = place->bytes;
    }
    if (fseeko(r->input->file, (off_t)place->offset, SEEK_SET) < 0)
        return err_at(err, -EIO, r->input->name, 0, 0,
                      "a clip is read by position; unpack it first");
    if (fread(r->record, 1, place->bytes, r->input->file) != place->bytes)
        return err_at(err, -EIO, r->input->name, 0, 0, "read failed");
    return 0;
}

static int activate(struct rlc *r, struct active *a, const struct place *place, struct err *err)
{
    struct group_head head;
    struct err why;
    int rc = load(r, place, err);

    if (rc < 0)
        return rc;
    if (!a->rows)
        a->rows = rowbuf_open(ROWBUF_BYTES_MAX);
    if (!a->rows)
        return err_plain(err, -ENOMEM, "no memory for a group");
    rc = group_decode(r->coder, r->record, place->bytes, &head, a->rows, &why);
    if (rc < 0)
        return err_at(err, rc, r->input->name, 0, 0, "at byte %llu: %.300s",
                      (unsigned long long)place->offset, why.text);
    a->cursor = rowbuf_begin(a->rows);
    a->used = rowbuf_next(a->rows, &a->cursor, &a->row);
    a->generation = place->generation;
    return 0;
}

/* The active group with the least step, or NULL. */
static struct active *least(struct rlc *r)
{
    struct active *pick = NULL;

    for (int i = 0; i < ACTIVE_MAX; i++)
        if (r->active[i].used && (!pick || r->active[i].row.step < pick->row.step))
            pick = &r->active[i];
    return pick;
}

/* Takes up every group that may hold the next step. */
static int fill_active(struct rlc *r, struct err *err)
{
    for (;;) {
        const struct active *pick = least(r);
        if (r->next == r->count || (pick && r->index[r->next].first_step > pick->row.step))
            return 0;
        struct active *free_one = NULL;
        for (int i = 0; i < ACTIVE_MAX; i++)
            if (!r->active[i].used)
                free_one = &r->active[i];
        if (!free_one)
            return err_at(err, -EBADMSG, r->input->name, 0, 0,
                          "more than %d groups share the same steps", ACTIVE_MAX);
        int rc = activate(r, free_one, &r->index[r->next], err);
        if (rc < 0)
            return rc;
        r->next++;
    }
}

int rlc_next(void *context, struct recording_item *ret_item, struct err *err)
{
    struct rlc *r = context;
    int rc = fill_active(r, err);
    struct active *pick = least(r);

    if (rc < 0 || !pick)
        return rc;
    if (pick->generation != r->generation) {
        r->generation = pick->generation;
        *ret_item = (struct recording_item){ .kind = RECORDING_GENERATION,
                                             .generation = pick->generation };
        return 1;
    }
    if (r->started && pick->row.step <= r->last_step)
        return err_at(err, -EBADMSG, r->input->name, 0, 0, "step %llu stands twice",
                      (unsigned long long)pick->row.step);
    r->started = true;
    r->last_step = pick->row.step;
    *ret_item = (struct recording_item){ .kind = RECORDING_FRAME, .placed = true,
                                         .row = pick->row };
    pick->used = rowbuf_next(pick->rows, &pick->cursor, &pick->row);
    return 1;
}

int rlc_rewind(void *context, struct err *err)
{
    struct rlc *r = context;

    (void)err;
    for (int i = 0; i < ACTIVE_MAX; i++)
        r->active[i].used = false;
    r->next = 0;
    r->started = false;
    r->generation = r->header.generation;
    /* What the index pass found still holds. */
    if (!r->manifest.owned) {
        r->state->skips.count[RECORDING_SKIP_TORN] = 1;
        r->state->skips.first_line[RECORDING_SKIP_TORN] = r->count + 1;
    }
    return 0;
}

int rlc_sniff(const uint8_t *bytes, size_t size)
{
    return size >= 4 && load_le32(bytes) == RECORD_HEADER;
}
