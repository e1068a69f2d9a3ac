/* roadloop inspect: what a clip holds. Every hash is checked in any case; --verify also decodes
 * every row and counts again what the manifest claims. */
#include "proto/recording_file.h"
#include "tools/cmd.h"
#include "tools/inspect.h"

#include <errno.h>
#include <string.h>

#define CHUNK 65536

static const char usage[] =
    "usage: roadloop inspect CLIP... [--verify] [--json]\n"
    "\n"
    "CLIP is a segment (.rlc), or the segments of one clip one after the other; - is a pipe. A second\n"
    "segment X-1.rlc that lies beside X-0.rlc is read with it.\n"
    "--verify decodes every row and counts again what the manifest claims; the exit status is 1\n"
    "when a clip is torn or damaged, 2 when one cannot be read at all. --json gives one object a clip.\n";

/* What --verify counts again. */
struct recount {
    uint64_t row_bytes, first_step, last_step, rows;
    uint64_t stored[SOURCES_MAX], late[SOURCES_MAX], errors[SOURCES_MAX];
};

struct inspect {
    const struct inspect_printer *print;
    FILE *to;
    bool verify, inside; /* inside: a segment is open */
    uint32_t segments, records, groups;
    struct recount recount;
    struct inspect_result result;
};

const char *inspect_state(const struct inspect_result *result)
{
    if (result->rc == 0)
        return "whole";
    return result->rc == -EPIPE ? "torn" : "damaged";
}

static void count_rows(struct recount *count, const struct rowbuf *rows)
{
    struct rowbuf_cursor cursor = rowbuf_begin(rows);
    struct row row;

    while (rowbuf_next(rows, &cursor, &row)) {
        uint8_t source = row.frame.source;
        if (!count->rows || row.step < count->first_step)
            count->first_step = row.step;
        if (!count->rows || row.step > count->last_step)
            count->last_step = row.step;
        count->rows++;
        count->row_bytes += frame_row_bytes(&row.frame);
        count->stored[source]++;
        count->late[source] += row.frame.flags & FRAME_LATE ? 1 : 0;
        count->errors[source] += row.frame.flags & FRAME_ERR ? 1 : 0;
    }
}

/* What the manifest claims and the rows do not bear out, or NULL. */
static const char *untrue(const struct recount *count, const struct clip_manifest *m)
{
    if (m->row_bytes != count->row_bytes)
        return "row_bytes differs from the rows";
    if (m->first_step != count->first_step || m->last_step != count->last_step)
        return "first_step or last_step differs from the rows";
    for (uint32_t i = 0; i < m->completeness.source_count; i++)
        if (m->completeness.sources[i].stored != count->stored[i])
            return "the frames stored of a source differ from the rows";
    return NULL;
}

static void take_item(struct inspect *x, const struct clip_item *item)
{
    struct group_block blocks[SOURCES_MAX];
    struct group_head head;

    switch (item->kind) {
    case CLIP_ITEM_HEADER:
        x->print->header(x->to, item->header, x->segments++ == 0);
        x->inside = true;
        x->records = x->groups = 0;
        memset(&x->recount, 0, sizeof x->recount);
        break;
    case CLIP_ITEM_SEED:
        x->print->seed(x->to, item->seed_count, x->records++ == 0);
        break;
    case CLIP_ITEM_GROUP:
        (void)group_peek(item->record, item->bytes, false, &head, blocks, NULL);
        x->print->group(x->to, item, blocks, x->print == &inspect_json ? x->records++ == 0
                                                                       : x->groups++ == 0);
        if (item->rows)
            count_rows(&x->recount, item->rows);
        break;
    case CLIP_ITEM_MANIFEST:
        x->print->manifest(x->to, item->manifest);
        x->inside = false;
        const char *wrong = x->verify ? untrue(&x->recount, item->manifest) : NULL;
        if (wrong && x->result.rc == 0) {
            x->result.rc = -EBADMSG;
            (void)snprintf(x->result.text, sizeof x->result.text, "%s", wrong);
        }
        break;
    }
}

static int take_items(struct inspect *x, struct clip_reader *reader, struct err *err)
{
    struct clip_item item;
    int rc;

    while ((rc = clip_reader_next(reader, &item, err)) == 1)
        take_item(x, &item);
    return rc;
}

static int read_all(struct inspect *x, FILE *file, struct clip_reader *reader, struct err *err)
{
    uint8_t bytes[CHUNK];
    size_t got;

    while ((got = fread(bytes, 1, sizeof bytes, file)) > 0)
        for (size_t at = 0; at < got;) {
            int64_t taken = clip_reader_put(reader, bytes + at, got - at);
            if (taken < 0)
                return err_plain(err, (int)taken, "no memory for a record");
            at += (size_t)taken;
            int rc = take_items(x, reader, err);
            if (rc < 0)
                return rc;
        }
    if (ferror(file))
        return err_plain(err, -EIO, "read failed: %s", strerror(errno));
    return clip_reader_finish(reader, err);
}

static int finish(struct inspect *x, int rc, const struct clip_reader *reader,
                  const struct err *err)
{
    clip_reader_stats(reader, &x->result.stats);
    if (rc < 0) {
        x->result.rc = rc;
        (void)snprintf(x->result.text, sizeof x->result.text, "%s", err->text);
    }
    if (x->inside)
        x->print->broken(x->to);
    x->print->end(x->to, &x->result);
    if (x->result.rc == 0)
        return CMD_GOOD;
    return x->segments ? CMD_NO : CMD_BAD;
}

static int inspect_file(struct inspect *x, const char *path, FILE *file, struct err *err)
{
    const struct clip_reader_config config = { .name = path, .heads_only = !x->verify };
    struct clip_reader *reader = clip_reader_open(&config);

    if (!reader) {
        (void)err_plain(err, -ENOMEM, "no memory for a reader");
        return CMD_BAD;
    }
    x->print->begin(x->to, path);
    int status = finish(x, read_all(x, file, reader, err), reader, err);
    clip_reader_close(reader);
    if (status != CMD_GOOD && !err->text[0])
        (void)err_at(err, -EBADMSG, path, 0, 0, "the manifest is not true: %s", x->result.text);
    /* A torn clip is worth a look; only --verify asks whether it is whole. */
    return status == CMD_NO && !x->verify && x->result.rc == -EPIPE ? CMD_GOOD : status;
}

static int inspect(struct inspect *x, const char *path)
{
    struct err err = { 0 };
    FILE *file = recording_file_read(path, &err);
    int status = file ? inspect_file(x, path, file, &err) : CMD_BAD;

    if (file)
        (void)fclose(file);
    if (err.text[0])
        (void)cmd_fail("inspect", &err);
    return status;
}

/* Takes the options; the clips move to the front of argv, their number is the result. < 0: refused. */
static int take_arguments(struct inspect *x, int argc, char **argv)
{
    int clips = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--verify"))
            x->verify = true;
        else if (!strcmp(argv[i], "--json"))
            x->print = &inspect_json;
        else if (argv[i][0] != '-' || !argv[i][1])
            argv[clips++] = argv[i];
        else
            return -EINVAL;
    }
    return clips;
}

int cmd_inspect(int argc, char **argv)
{
    struct inspect options = { .print = &inspect_table, .to = stdout };
    int worst = CMD_GOOD;

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help"))
            return fputs(usage, stdout) < 0 ? CMD_BAD : CMD_GOOD;
    int clips = take_arguments(&options, argc, argv);
    if (clips < 1)
        return cmd_usage("inspect", usage, clips ? "takes CLIP, --verify and --json"
                                                 : "needs a CLIP");
    for (int i = 0; i < clips; i++) {
        struct inspect x = options;
        int status = inspect(&x, argv[i]);
        worst = status > worst ? status : worst;
    }
    return worst;
}
