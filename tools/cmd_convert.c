/* roadloop convert: any recording into any format that can be written. */
#include "proto/dbset.h"
#include "proto/formats/lines.h"
#include "proto/mcap_meta.h"
#include "proto/recording.h"
#include "tools/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: roadloop convert IN OUT [--codec rows|columnar] [--in FMT] [--out FMT]\n"
    "                        [--dbc [BUS=]FILE]... [--rules PACK]... [--start T] [--end T]\n"
    "                        [--strict]\n"
    "\n"
    "IN and OUT may be - for a pipe; a name ending in .zst is unpacked and packed on the way.\n"
    "FMT is candump, rlc, jsonl, csv or mcap; else the first bytes of IN and the name of OUT tell.\n"
    "With databases .jsonl and .mcap have message and signals of each frame that one of them knows; a\n"
    "database without BUS serves every bus. --rules puts a pack into an .mcap, so that a clip can be\n"
    "replayed from it alone. T is in seconds of the recording's own clock, both ends\n"
    "included. --strict refuses the recording at the first line that would be skipped, and a\n"
    "database at the first row that would be taken with a warning.\n";

#define PACKS_MAX 16

struct convert {
    const char *in, *out, *in_format, *out_format;
    const char *dbcs[DBSET_ENTRIES_MAX];
    uint32_t dbc_count;
    struct dbset *dbset; /* of `dbcs`; NULL when none is given */
    const char *rules[PACKS_MAX];
    struct recording_attachment packs[PACKS_MAX]; /* of `rules`; name and bytes are ours */
    uint32_t rule_count, pack_count;
    int64_t start_ns, end_ns;
    uint8_t codec;
    bool strict;
};

static int parse_time(const char *text, int64_t *ret_ns)
{
    uint32_t tick_ns;

    return lines_seconds(text, strlen(text), ret_ns, &tick_ns);
}

/* The value of an option, or NULL when there is none. */
static const char *value_of(int argc, char **argv, int *at)
{
    return *at + 1 < argc ? argv[++*at] : NULL;
}

static int parse_codec(const char *value, uint8_t *ret_codec)
{
    int codec = codec_from_name(value);

    if (codec < 0)
        return -EINVAL;
    *ret_codec = (uint8_t)codec;
    return 0;
}

static int add_dbc(struct convert *c, const char *value)
{
    if (c->dbc_count == DBSET_ENTRIES_MAX)
        return -EINVAL;
    c->dbcs[c->dbc_count++] = value;
    return 0;
}

static int add_rules(struct convert *c, const char *value)
{
    if (c->rule_count == PACKS_MAX)
        return -EINVAL;
    c->rules[c->rule_count++] = value;
    return 0;
}

/* One option and its value; -EINVAL when it is none or its value is wrong. */
static int parse_option(struct convert *c, const char *name, const char *value)
{
    if (!strcmp(name, "--strict"))
        c->strict = true;
    else if (!value)
        return -EINVAL;
    else if (!strcmp(name, "--in"))
        c->in_format = value;
    else if (!strcmp(name, "--out"))
        c->out_format = value;
    else if (!strcmp(name, "--dbc"))
        return add_dbc(c, value);
    else if (!strcmp(name, "--rules"))
        return add_rules(c, value);
    else if (!strcmp(name, "--codec"))
        return parse_codec(value, &c->codec);
    else if (!strcmp(name, "--start"))
        return parse_time(value, &c->start_ns);
    else if (!strcmp(name, "--end"))
        return parse_time(value, &c->end_ns);
    else
        return -EINVAL;
    return 0;
}

static bool takes_value(const char *name) { return strcmp(name, "--strict") != 0; }

static int parse_arguments(int argc, char **argv, struct convert *c)
{
    char why[128];

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (name[0] != '-' || !name[1]) {
            if (c->out)
                return cmd_usage("convert", usage, "more than two files");
            *(c->in ? &c->out : &c->in) = name;
            continue;
        }
        const char *value = takes_value(name) ? value_of(argc, argv, &i) : NULL;
        if (parse_option(c, name, value) < 0) {
            (void)snprintf(why, sizeof why, "cannot take %.40s %.40s", name, value ? value : "");
            return cmd_usage("convert", usage, why);
        }
    }
    return c->out ? 0 : cmd_usage("convert", usage, "needs IN and OUT");
}

static void report_skips(const char *name, const struct recording_skips *skips)
{
    for (int i = 0; i < RECORDING_SKIP_COUNT; i++)
        if (skips->count[i])
            (void)fprintf(stderr, "roadloop convert: %s: %llu %s %s (first at line %llu)\n", name,
                          (unsigned long long)skips->count[i],
                          recording_skip_name((enum recording_skip)i),
                          i == RECORDING_NOTE_UNSORTED ? "kept" : "skipped",
                          (unsigned long long)skips->first_line[i]);
}

/* On a terminal only: a line that stays where it is. */
static void show_progress(uint64_t done, uint64_t all)
{
    if (done % 65536 == 0 && isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r%3u %%", (unsigned)(all ? done * 100 / all : 0));
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r     \r");
}

static int copy(const struct convert *c, struct recording *from, struct recording_writer *to,
                uint64_t frames, struct err *err)
{
    struct recording_item item;
    uint64_t done = 0;
    int rc;

    while ((rc = recording_next(from, &item, err)) == 1) {
        int64_t stamp_ns = item.row.frame.stamp_ns;
        bool frame = item.kind == RECORDING_FRAME;
        if (frame)
            show_progress(++done, frames);
        if (frame && (stamp_ns < c->start_ns || stamp_ns > c->end_ns))
            continue;
        rc = recording_writer_put(to, &item, err);
        if (rc < 0)
            break;
    }
    end_progress();
    return rc;
}

/* The databases that the recording itself carries (a clip in .mcap), where none was given. */
static int attached_dbcs(struct convert *c, const struct recording_clip *clip, struct err *err)
{
    if (!clip || !clip->attachment_count)
        return 0;
    c->dbset = dbset_open();
    if (!c->dbset)
        return err_plain(err, -ENOMEM, "no memory for databases");
    return mcap_meta_dbset(clip, c->dbset, err);
}

static int convert(struct convert *c, struct recording *from, struct err *err)
{
    struct recording_scan scan;
    struct recording_writer *to = NULL;
    int rc = recording_scan(from, &scan, err);

    if (rc == 0 && !c->dbset)
        rc = attached_dbcs(c, recording_clip(from), err);
    if (rc < 0)
        return rc;
    /* A part of a clip is no clip: it does not hold what the manifest promises. */
    bool cut = c->start_ns != INT64_MIN || c->end_ns != INT64_MAX;
    const struct recording_writer_config config = {
        .path = c->out, .format = c->out_format, .codec = c->codec,
        .sources = recording_sources(from), .recording_sha256 = scan.sha256,
        .clip = cut ? NULL : recording_clip(from), .skips = &scan.skips, .dbset = c->dbset,
        .attachments = c->packs, .attachment_count = c->pack_count,
    };
    rc = recording_writer_open(&config, &to, err);
    if (rc == 0)
        rc = copy(c, from, to, scan.frames, err);
    if (rc == 0)
        rc = recording_writer_commit(to, err);
    recording_writer_close(to);
    if (rc == 0)
        report_skips(recording_path(from), &scan.skips);
    return rc;
}

/* Warnings of the databases go to standard error; so do errors, but the one in *err. */
static int load_dbcs(struct convert *c, struct err *err)
{
    struct diags *diags = calloc(1, sizeof *diags);
    int rc = 0;

    if (c->dbc_count)
        c->dbset = dbset_open();
    if (!diags || (c->dbc_count && !c->dbset))
        rc = err_plain(err, -ENOMEM, "no memory for databases");
    for (uint32_t i = 0; rc == 0 && i < c->dbc_count; i++)
        rc = dbset_add_file(c->dbset, c->dbcs[i], c->strict, diags, err);
    if (diags && (rc == 0 || diags->errors > 1))
        diags_print(diags, stderr);
    free(diags);
    return rc;
}

static int read_pack(FILE *file, const char *path, struct recording_attachment *pack,
                     struct err *err)
{
    const char *slash = strrchr(path, '/');
    uint8_t *bytes = malloc(ARTIFACT_RAW_BYTES_MAX + 1);
    char *name = NULL;

    if (!bytes || asprintf(&name, "pack/%s", slash ? slash + 1 : path) < 0) {
        free(bytes);
        return err_plain(err, -ENOMEM, "no memory for a pack");
    }
    pack->name = name; /* *pack owns both from here on */
    pack->media_type = MCAP_META_PACK_TYPE;
    pack->bytes = bytes;
    pack->size = fread(bytes, 1, ARTIFACT_RAW_BYTES_MAX + 1, file);
    if (ferror(file))
        return err_at(err, -EIO, path, 0, 0, "cannot be read: %s", strerror(errno));
    if (pack->size > ARTIFACT_RAW_BYTES_MAX)
        return err_at(err, -ERANGE, path, 0, 0, "a pack has at most %d bytes",
                      ARTIFACT_RAW_BYTES_MAX);
    return 0;
}

static int load_packs(struct convert *c, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < c->rule_count; i++) {
        FILE *file = fopen(c->rules[i], "rb");
        if (!file)
            return err_at(err, -errno, c->rules[i], 0, 0, "cannot be opened: %s",
                          strerror(errno));
        rc = read_pack(file, c->rules[i], &c->packs[i], err);
        c->pack_count = i + 1;
        (void)fclose(file);
    }
    return rc;
}

static void free_packs(struct convert *c)
{
    for (uint32_t i = 0; i < c->pack_count; i++) {
        free((void *)(uintptr_t)c->packs[i].name);
        free((void *)(uintptr_t)c->packs[i].bytes);
    }
}

int cmd_convert(int argc, char **argv)
{
    struct convert c = { .codec = CODEC_COLUMNAR, .start_ns = INT64_MIN, .end_ns = INT64_MAX };
    struct recording *from = NULL;
    struct err err = { 0 };

    if (argc > 1 && !strcmp(argv[1], "--help"))
        return fputs(usage, stdout) < 0 ? CMD_BAD : CMD_GOOD;
    if (parse_arguments(argc, argv, &c))
        return CMD_BAD;
    const struct recording_config config = { c.in, c.in_format, c.strict };
    int rc = load_dbcs(&c, &err);
    if (rc == 0)
        rc = load_packs(&c, &err);
    if (rc == 0)
        rc = recording_open(&config, &from, &err);
    if (rc == 0)
        rc = convert(&c, from, &err);
    recording_close(from);
    dbset_close(c.dbset);
    free_packs(&c);
    return rc < 0 ? cmd_fail("convert", &err) : CMD_GOOD;
}
