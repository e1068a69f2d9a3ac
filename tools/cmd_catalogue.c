/* roadloop catalogue DATASET OUT.sqlite: an index of the dataset, made anew from its JSON files each
 * time, so it can be thrown away. Tables: clip, event, file, source, clock. Clips sealed before the
 * car knew the time get their wall time from the session's clock pairs (status.v1), in the columns
 * wall_start_ns and wall_from; their folder date=unknown stays. */
#include "storage/db.h"
#include "tools/cmd.h"
#include "tools/sink/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CATALOGUE_APPLICATION_ID 0x524c4341 /* "RLCA" */

static const char usage[] =
    "usage: roadloop catalogue DATASET OUT.sqlite [--json]\n"
    "Writes an SQLite index of the dataset: tables clip, event, file, source, clock.\n"
    "OUT.sqlite is replaced.\n";

static const char schema[] =
    "CREATE TABLE clip (clip TEXT PRIMARY KEY, vehicle TEXT NOT NULL, date TEXT NOT NULL,"
    " status TEXT NOT NULL, rule TEXT, priority INTEGER, session TEXT, ordinal INTEGER,"
    " start_s REAL, end_s REAL, start_ns INTEGER, end_ns INTEGER, wall_start_ns INTEGER,"
    " wall_from TEXT, frames INTEGER, rlc_bytes INTEGER, rlc_sha256 TEXT, manifest_sha256 TEXT,"
    " needs INTEGER, json TEXT NOT NULL);"
    "CREATE INDEX clip_vehicle ON clip (vehicle, wall_start_ns);"
    "CREATE INDEX clip_rule ON clip (rule);"
    "CREATE TABLE event (clip TEXT NOT NULL, rule TEXT NOT NULL, ordinal INTEGER, t_ns INTEGER,"
    " start_ns INTEGER, end_ns INTEGER, wall_ns INTEGER, step INTEGER, reason TEXT, vals TEXT);"
    "CREATE INDEX event_rule ON event (rule);"
    "CREATE TABLE file (clip TEXT NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL);"
    "CREATE TABLE source (clip TEXT NOT NULL, segment INTEGER, name TEXT, received INTEGER,"
    " stored INTEGER, dropped INTEGER, late INTEGER, error_frames INTEGER);"
    "CREATE TABLE clock (vehicle TEXT NOT NULL, session TEXT NOT NULL, mono_ns INTEGER,"
    " utc_ns INTEGER, uncertainty_ns INTEGER, origin TEXT);";

enum statement { ADD_CLIP, ADD_EVENT, ADD_FILE, ADD_SOURCE, ADD_CLOCK, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    [ADD_CLIP] = ("INSERT INTO clip VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
                  "?16,?17,?18,?19,?20)"),
    [ADD_EVENT] = "INSERT INTO event VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [ADD_FILE] = "INSERT INTO file VALUES (?1,?2,?3)",
    [ADD_SOURCE] = "INSERT INTO source VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
    [ADD_CLOCK] = "INSERT INTO clock VALUES (?1,?2,?3,?4,?5,?6)",
};

struct catalogue {
    struct dataset *dataset;
    struct db *db;
    struct db_statement *statements[STATEMENTS];
    uint32_t clips, events, broken, timed; /* timed: wall time from a session's clock */
};

/* The least uncertain clock pair of a clip's session. */
struct clock_pair {
    bool known;
    int64_t mono_ns, utc_ns, uncertainty_ns;
};

static const char *text_of(const json_t *from, const char *key)
{
    const char *text = json_string_value(json_object_get(from, key));

    return text ? text : "";
}

static void bind_time(struct db_statement *s, int index, const json_t *from, const char *key)
{
    int64_t ns;

    if (record_time_read(text_of(from, key), &ns))
        db_bind_null(s, index);
    else
        db_bind_i64(s, index, ns);
}

static void bind_number(struct db_statement *s, int index, const json_t *from, const char *key)
{
    const json_t *value = json_object_get(from, key);

    if (json_is_integer(value))
        db_bind_i64(s, index, json_integer_value(value));
    else
        db_bind_null(s, index);
}

/* ---- Clocks of sessions ---- */

static int64_t number_text(const json_t *from, const char *key)
{
    return strtoll(text_of(from, key), NULL, 10);
}

static void best_pair(const json_t *clocks, struct clock_pair *pair)
{
    for (size_t i = 0; i < json_array_size(clocks); i++) {
        const json_t *clock = json_array_get(clocks, i);
        int64_t uncertainty_ns = number_text(clock, "uncertainty_ns");
        if (!strcmp(text_of(clock, "origin"), "none") ||
            (pair->known && uncertainty_ns >= pair->uncertainty_ns))
            continue;
        *pair = (struct clock_pair){ true, number_text(clock, "mono_ns"),
                                     number_text(clock, "utc_ns"), uncertainty_ns };
    }
}

static json_t *session_clocks(struct catalogue *c, const char *vehicle, const char *session)
{
    char name[FILES_PATH_MAX], *text;
    size_t size;
    uint8_t id[16];

    if (strlen(session) != 32 || hex_to(session, 16, id))
        return NULL;
    (void)snprintf(name, sizeof name, "status/vehicle=%.63s/%.32s.json", vehicle, session);
    if (files_read(dataset_files(c->dataset), name, RECORD_BYTES_MAX, &text, &size))
        return NULL;
    json_t *top = json_loadb(text, size, 0, NULL);
    free(text);
    return top;
}

/* The offset that maps the session's clock to the wall; false when nobody knows. */
static bool session_offset(struct catalogue *c, const struct record *record, int64_t *ret_ns)
{
    struct clock_pair pair = { .known = false };
    char session[33];

    hex_from(record->final.about.session_id, 16, session);
    json_t *top = session_clocks(c, record->vehicle, session);
    best_pair(json_object_get(top, "clocks"), &pair);
    json_decref(top);
    *ret_ns = (int64_t)((uint64_t)pair.utc_ns - (uint64_t)pair.mono_ns);
    return pair.known;
}

/* Of the clip's start; *ret_from says where it is from, or is NULL. */
static int64_t wall_start(struct catalogue *c, const struct record *record, const json_t *top,
                          const char **ret_from)
{
    const struct wire_about *about = &record->final.about;
    const json_t *part = json_array_get(json_object_get(top, "parts"), 0);
    int64_t offset_ns, mono_ns;

    *ret_from = about->utc_ns > 0 ? "clip" : NULL;
    if (about->utc_ns > 0 || record_time_read(text_of(part, "mono_start"), &mono_ns) ||
        !session_offset(c, record, &offset_ns))
        return about->utc_ns;
    *ret_from = "session";
    c->timed++;
    return (int64_t)((uint64_t)mono_ns + (uint64_t)offset_ns);
}

/* ---- Rows ---- */

static int run(struct catalogue *c, enum statement which)
{
    return db_run(c->statements[which]);
}

static int64_t frames_of(const json_t *top)
{
    const json_t *parts = json_object_get(top, "parts");
    int64_t frames = 0;

    for (size_t i = 0; i < json_array_size(parts); i++)
        frames += json_integer_value(json_object_get(json_array_get(parts, i), "frames"));
    return frames;
}

static int add_clip(struct catalogue *c, const struct dataset_place *place,
                    const struct record *record, const json_t *top, int64_t wall_ns,
                    const char *wall_from)
{
    struct db_statement *s = c->statements[ADD_CLIP];
    char name[FILES_PATH_MAX];

    dataset_name(place, ".json", name);
    db_bind_text(s, 1, place->clip);
    db_bind_text(s, 2, place->vehicle);
    db_bind_text(s, 3, place->date);
    db_bind_text(s, 4, record_status_name(record->status));
    db_bind_text(s, 5, record->final.about.rule);
    db_bind_i64(s, 6, record->final.about.priority);
    db_bind_text(s, 7, text_of(top, "session"));
    bind_number(s, 8, top, "ordinal");
    db_bind_text(s, 9, text_of(top, "start")); /* REAL affinity makes it a number */
    db_bind_text(s, 10, text_of(top, "end"));
    bind_time(s, 11, top, "start");
    bind_time(s, 12, top, "end");
    if (wall_from)
        db_bind_i64(s, 13, wall_ns);
    db_bind_text(s, 14, wall_from);
    db_bind_i64(s, 15, frames_of(top));
    db_bind_i64(s, 16, record->rlc_bytes);
    db_bind_text(s, 17, text_of(top, "rlc_sha256"));
    db_bind_text(s, 18, text_of(top, "manifest_sha256"));
    db_bind_i64(s, 19, record->need_count);
    db_bind_text(s, 20, name);
    return run(c, ADD_CLIP);
}

static int add_event(struct catalogue *c, const char *clip, const json_t *event,
                     const struct record *record, int64_t wall_ns, bool wall_known)
{
    struct db_statement *s = c->statements[ADD_EVENT];
    char *values = json_dumps(json_object_get(event, "values"), JSON_COMPACT);
    int64_t fire_ns;

    db_bind_text(s, 1, clip);
    db_bind_text(s, 2, text_of(event, "rule"));
    bind_number(s, 3, event, "ordinal");
    bind_time(s, 4, event, "t");
    bind_time(s, 5, event, "start");
    bind_time(s, 6, event, "end");
    if (wall_known && !record_time_read(text_of(event, "t"), &fire_ns))
        db_bind_i64(s, 7, wall_ns + (fire_ns - record->final.about.start_ns));
    bind_number(s, 8, event, "step");
    db_bind_text(s, 9, text_of(event, "reason"));
    db_bind_text(s, 10, values);
    free(values);
    c->events++;
    return run(c, ADD_EVENT);
}

static int add_source(struct catalogue *c, const char *clip, const json_t *part,
                      const json_t *source)
{
    struct db_statement *s = c->statements[ADD_SOURCE];
    static const char *const drops[] = { "dropped_kernel", "dropped_queue", "dropped_filter",
                                         "dropped_driver" };
    int64_t dropped = 0;

    for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++)
        dropped += json_integer_value(json_object_get(source, drops[i]));
    db_bind_text(s, 1, clip);
    bind_number(s, 2, part, "segment");
    db_bind_text(s, 3, text_of(source, "name"));
    bind_number(s, 4, source, "received");
    bind_number(s, 5, source, "stored");
    db_bind_i64(s, 6, dropped);
    bind_number(s, 7, source, "late");
    bind_number(s, 8, source, "error_frames");
    return run(c, ADD_SOURCE);
}

static int add_file(struct catalogue *c, const char *clip, const char *kind, const char *path)
{
    db_bind_text(c->statements[ADD_FILE], 1, clip);
    db_bind_text(c->statements[ADD_FILE], 2, kind);
    db_bind_text(c->statements[ADD_FILE], 3, path);
    return run(c, ADD_FILE);
}

/* The .rlc, and every export that is there. */
static int add_files(struct catalogue *c, const struct dataset_place *place)
{
    char name[FILES_PATH_MAX], suffix[32] = ".mcap";
    int rc;

    dataset_name(place, ".rlc", name);
    rc = add_file(c, place->clip, "rlc", name);
    for (int n = 0; !rc; n++) {
        if (n)
            (void)snprintf(suffix, sizeof suffix, ".r%d.mcap", n);
        dataset_name(place, suffix, name);
        if (files_exist(dataset_files(c->dataset), name))
            rc = add_file(c, place->clip, "mcap", name);
        else if (n)
            break;
    }
    return rc;
}

static int add_details(struct catalogue *c, const struct dataset_place *place,
                       const struct record *record, const json_t *top, int64_t wall_ns,
                       bool wall_known)
{
    const json_t *events = json_object_get(top, "events"), *parts = json_object_get(top, "parts");
    int rc = 0;

    for (size_t i = 0; !rc && i < json_array_size(events); i++)
        rc = add_event(c, place->clip, json_array_get(events, i), record, wall_ns, wall_known);
    for (size_t i = 0; !rc && i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *sources = json_object_get(part, "sources");
        for (size_t k = 0; !rc && k < json_array_size(sources); k++)
            rc = add_source(c, place->clip, part, json_array_get(sources, k));
    }
    return rc ? rc : add_files(c, place);
}

static void broken(void *context, const char *name, const char *reason)
{
    struct catalogue *c = context;

    c->broken++;
    (void)fprintf(stderr, "roadloop catalogue: %s: %s\n", name, reason);
}

static int add_one(void *context, const struct dataset_place *place, const char *json, size_t size)
{
    struct catalogue *c = context;
    struct record record;
    const char *wall_from;
    struct err err = { .text = "" };
    char name[FILES_PATH_MAX];

    dataset_name(place, ".json", name);
    if (record_read(json, size, &record, &err)) {
        broken(c, name, err.text);
        return 0;
    }
    json_t *top = json_loadb(json, size, 0, NULL);
    int64_t wall_ns = wall_start(c, &record, top, &wall_from);
    int rc = add_clip(c, place, &record, top, wall_ns, wall_from);
    if (!rc)
        rc = add_details(c, place, &record, top, wall_ns, wall_from != NULL);
    json_decref(top);
    record_deinit(&record);
    c->clips++;
    return rc;
}

/* ---- The command ---- */

static int open_output(struct catalogue *c, const char *path, struct err *err)
{
    const struct db_config config = { .path = path, .schema = schema, .version = 1,
                                      .application_id = CATALOGUE_APPLICATION_ID,
                                      .relaxed = true };
    enum db_how how;

    if (unlink(path) && errno != ENOENT)
        return err_at(err, -errno, path, 0, 0, "cannot be replaced: %s", strerror(errno));
    int rc = db_open(&config, err, &c->db, &how);
    for (int i = 0; !rc && i < STATEMENTS; i++) {
        rc = db_prepare(c->db, sql[i], &c->statements[i]);
        if (rc)
            (void)err_at(err, rc, path, 0, 0, "%s", db_reason(c->db));
    }
    return rc;
}

static int fill(struct catalogue *c, struct err *err)
{
    const struct walk_ops ops = { .clip = add_one, .broken = broken };
    int rc = db_begin(c->db);

    err->text[0] = '\0';
    if (!rc)
        rc = walk_dataset(c->dataset, &ops, c, err);
    if (!rc)
        rc = db_commit(c->db);
    if (rc && !err->text[0])
        (void)err_plain(err, rc, "catalogue: %s", db_reason(c->db));
    return rc;
}

static void catalogue_close(struct catalogue *c)
{
    for (int i = 0; i < STATEMENTS; i++)
        db_finalize(c->statements[i]);
    db_close(c->db);
    dataset_close(c->dataset);
}

static int make(const char *root, const char *out, bool json)
{
    const struct dataset_config config = { .root = root };
    char temp[PATH_MAX];
    struct catalogue c = { .clips = 0 };
    struct err err;
    int rc = access(root, R_OK | X_OK) ? -errno : 0;

    if (rc)
        (void)err_at(&err, rc, root, 0, 0, "dataset: %s", strerror(-rc));
    if (!rc)
        rc = dataset_open(&config, &err, &c.dataset);
    (void)snprintf(temp, sizeof temp, "%s.new", out);
    if (!rc)
        rc = open_output(&c, temp, &err);
    if (!rc)
        rc = fill(&c, &err);
    catalogue_close(&c);
    if (!rc && rename(temp, out))
        rc = err_at(&err, -errno, out, 0, 0, "cannot be replaced: %s", strerror(errno));
    if (rc)
        return cmd_fail("catalogue", &err);
    (void)printf(json ? "{\"clips\": %u, \"events\": %u, \"timed_by_session\": %u, \"broken\": %u}\n"
                      : "%u clips, %u events; %u timed by their session's clock; %u broken\n",
                 c.clips, c.events, c.timed, c.broken);
    return c.broken ? CMD_NO : CMD_GOOD;
}

int cmd_catalogue(int argc, char **argv)
{
    const char *words[2] = { NULL, NULL };
    bool json = false;
    int count = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            (void)fputs(usage, stdout);
            return CMD_GOOD;
        }
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (argv[i][0] == '-' || count == 2)
            return cmd_usage("catalogue", usage, "takes a dataset and a file");
        else
            words[count++] = argv[i];
    }
    if (count != 2)
        return cmd_usage("catalogue", usage, "takes a dataset and a file");
    return make(words[0], words[1], json);
}
