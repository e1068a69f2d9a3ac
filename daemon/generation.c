#include "daemon/generation.h"

#include "proto/dbset.h"
#include "proto/recording.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLE_MARK "# pack "
#define BUNDLE_LINE_MAX 512
#define PACK_BYTES_MAX (1u << 20) /* as proto/yaml.h */

static_assert(CLIP_DBCS_MAX >= DBSET_ENTRIES_MAX, "a clip names every database of its generation");

struct loaded {
    struct generation generation; /* first: what callers see */
    uint8_t *pack;                /* the text that pack_sha256 is of */
    size_t pack_size;
    char pack_name[128];
};

static struct loaded *loaded_of(const struct generation *generation)
{
    return (struct loaded *)(uintptr_t)generation;
}

/* --- databases --- */

static int load_databases(const struct generation_config *config, struct diags *diags,
                          struct generation *generation)
{
    struct err err;

    generation->dbset = config->dbset ? config->dbset : dbset_open();
    if (!generation->dbset)
        return -ENOMEM;
    for (uint32_t i = 0; !config->dbset && i < config->dbc_count; i++) {
        uint32_t before = diags->errors;
        int code = dbset_add_file(generation->dbset, config->dbcs[i], config->strict, diags, &err);
        if (code < 0) {
            if (diags->errors == before) /* not from inside the file: its name, its bus, reading it */
                diags_add(diags, DIAG_ERROR, "", err.file[0] ? err.file : config->dbcs[i], err.line,
                          err.column, "%s", err.text);
            return code;
        }
    }
    return 0;
}

static void name_databases(struct generation *generation)
{
    const struct dbset *set = generation->dbset;

    for (uint32_t i = 0; i < set->count; i++) {
        struct clip_dbc *dbc = &generation->dbcs[generation->dbc_count++];
        dbc->bus = set->entries[i].bus;
        dbc->name = set->entries[i].name;
        memcpy(dbc->sha256, set->entries[i].sha256, SHA256_BYTES);
    }
}

/* --- the pack's text --- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int append(struct loaded *loaded, const void *bytes, size_t size)
{
    uint8_t *grown = realloc(loaded->pack, loaded->pack_size + size + 1);

    if (!grown)
        return -ENOMEM;
    memcpy(grown + loaded->pack_size, bytes, size);
    loaded->pack = grown;
    loaded->pack_size += size;
    return 0;
}

static int add_text(struct loaded *loaded, const char *name, const void *bytes, size_t size,
                    bool bundled)
{
    char line[BUNDLE_LINE_MAX] = "";
    int code = 0;

    (void)snprintf(line, sizeof line, "%s%zu %.200s\n", BUNDLE_MARK, size, base_name(name));
    if (bundled)
        code = append(loaded, line, strlen(line));
    else
        (void)snprintf(loaded->pack_name, sizeof loaded->pack_name, "%.120s", base_name(name));
    return code < 0 ? code : append(loaded, bytes, size);
}

static int add_file(struct loaded *loaded, const char *path, bool bundled, struct diags *diags)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(PACK_BYTES_MAX + 1);
    int code = file && bytes ? 0 : file ? -ENOMEM : -errno;

    if (code == 0) {
        size_t size = fread(bytes, 1, PACK_BYTES_MAX + 1, file);
        code = ferror(file) ? -errno : size > PACK_BYTES_MAX ? -EFBIG
                                    : add_text(loaded, path, bytes, size, bundled);
    }
    if (code < 0)
        diags_add(diags, DIAG_ERROR, "", path, 0, 0, "pack: %s", strerror(-code));
    free(bytes);
    if (file)
        (void)fclose(file);
    return code;
}

static int gather(const struct generation_config *config, struct diags *diags,
                  struct loaded *loaded)
{
    uint32_t count = config->texts ? config->text_count : config->pack_count;
    int code = 0;

    if (count > 1)
        (void)snprintf(loaded->pack_name, sizeof loaded->pack_name, "packs.bundle");
    for (uint32_t i = 0; code == 0 && i < count; i++) {
        if (config->texts)
            code = add_text(loaded, config->texts[i].name, config->texts[i].bytes,
                            config->texts[i].size, count > 1);
        else
            code = add_file(loaded, config->packs[i], count > 1, diags);
    }
    if (code == 0 && loaded->pack_size)
        sha256_of(loaded->pack, loaded->pack_size, loaded->generation.pack_sha256);
    return code;
}

/* --- the rules --- */

/* Takes the head line of a bundled pack off. Returns the bytes of the line, 0 when it is none. */
static size_t bundle_line(const uint8_t *at, size_t left, char name[BUNDLE_LINE_MAX],
                          size_t *ret_size)
{
    char line[BUNDLE_LINE_MAX];
    const uint8_t *end = memchr(at, '\n', left < sizeof line ? left : sizeof line - 1);
    size_t length = end ? (size_t)(end - at) : 0;
    char *after;

    if (length < strlen(BUNDLE_MARK) || memcmp(at, BUNDLE_MARK, strlen(BUNDLE_MARK)) != 0)
        return 0;
    memcpy(line, at, length);
    line[length] = 0;
    unsigned long size = strtoul(line + strlen(BUNDLE_MARK), &after, 10);
    if (*after != ' ' || size > left - length - 1)
        return 0;
    (void)snprintf(name, BUNDLE_LINE_MAX, "%s", after + 1);
    *ret_size = size;
    return length + 1;
}

static uint32_t split(const struct loaded *loaded, struct ruleset_pack packs[PACKS_MAX],
                      char names[PACKS_MAX][BUNDLE_LINE_MAX])
{
    const uint8_t *at = loaded->pack;
    size_t left = loaded->pack_size, size = 0, line;
    uint32_t count = 0;

    while (left && count < PACKS_MAX && (line = bundle_line(at, left, names[count], &size))) {
        packs[count] = (struct ruleset_pack){ names[count], at + line, size };
        count++;
        at += line + size;
        left -= line + size;
    }
    if (count == 0 || left)
        return 0; /* no bundle: one pack */
    return count;
}

/* Messages name the files as they were given. */
static void rename_packs(const struct generation_config *config, struct ruleset_pack *packs,
                         uint32_t count)
{
    if (!config->texts && config->pack_count == count)
        for (uint32_t i = 0; i < count; i++)
            packs[i].name = config->packs[i];
}

static int compile(const struct generation_config *config, struct diags *diags,
                   struct loaded *loaded)
{
    static _Thread_local char names[PACKS_MAX][BUNDLE_LINE_MAX];
    struct ruleset_pack packs[PACKS_MAX];

    if (!loaded->pack) /* none was given; an empty one is refused like any other text */
        return 0;
    uint32_t count = split(loaded, packs, names);
    if (count == 0) {
        packs[0] = (struct ruleset_pack){ loaded->pack_name, loaded->pack, loaded->pack_size };
        count = 1;
    }
    rename_packs(config, packs, count);
    const struct ruleset_config rules = { .packs = packs, .pack_count = count,
        .dbset = loaded->generation.dbset, .today_utc_ns = config->today_utc_ns };
    return ruleset_load(&rules, diags, &loaded->generation.rules);
}

/* --- all of it --- */

int generation_load(const struct generation_config *config, struct diags *diags,
                    struct generation **ret_generation)
{
    struct loaded *loaded = calloc(1, sizeof *loaded);
    uint32_t before = diags->errors;
    int code = loaded ? load_databases(config, diags, &loaded->generation) : -ENOMEM;

    if (!loaded)
        dbset_close(config->dbset);
    if (code == 0) {
        name_databases(&loaded->generation);
        code = gather(config, diags, loaded);
    }
    if (code == 0)
        code = compile(config, diags, loaded);
    if (code < 0) {
        if (diags->errors == before)
            diags_add(diags, DIAG_ERROR, "", NULL, 0, 0, "packs and databases: %s", strerror(-code));
        generation_close(loaded ? &loaded->generation : NULL);
        return code;
    }
    *ret_generation = &loaded->generation;
    return 0;
}

/* --- from an .mcap --- */

static int attach_database(struct dbset *set, const struct recording_attachment *from,
                           struct diags *diags)
{
    const char *bus = from->name + strlen("dbc/"), *slash = strchr(bus, '/');
    char bus_name[SOURCE_NAME_MAX];
    struct err err;

    if (!slash || (size_t)(slash - bus) >= sizeof bus_name)
        return 0; /* not named as ours are */
    memcpy(bus_name, bus, (size_t)(slash - bus));
    bus_name[slash - bus] = '\0';
    uint32_t before = diags->errors;
    int code = dbset_add(set, bus_name, slash + 1, from->bytes, from->size, false, diags, &err);
    if (code < 0 && diags->errors == before)
        diags_add(diags, DIAG_ERROR, "", from->name, err.line, err.column, "%s", err.text);
    return code;
}

static bool is_pack(const struct recording_attachment *from, const uint8_t *pack_sha256)
{
    uint8_t digest[SHA256_BYTES];

    sha256_of(from->bytes, from->size, digest);
    return !memcmp(digest, pack_sha256, SHA256_BYTES);
}

/* All attached databases, or NULL with an error in diags. */
static struct dbset *attached_databases(const struct recording_attachment *attachments,
                                        uint32_t count, struct diags *diags)
{
    struct dbset *set = dbset_open();
    int code = set ? 0 : -ENOMEM;

    for (uint32_t i = 0; code >= 0 && i < count; i++)
        if (!strncmp(attachments[i].name, "dbc/", 4))
            code = attach_database(set, &attachments[i], diags);
    if (code >= 0)
        return set;
    dbset_close(set);
    return NULL;
}

int generation_load_attached(const struct generation_config *given,
                             const struct recording_attachment *attachments, uint32_t count,
                             const uint8_t *pack_sha256, struct diags *diags,
                             struct generation **ret_generation)
{
    struct generation_config config = *given;
    struct ruleset_pack pack;

    if (!config.dbc_count && !config.dbset) {
        config.dbset = attached_databases(attachments, count, diags);
        if (!config.dbset)
            return -EBADMSG;
    }
    if (!config.pack_count && !config.text_count) {
        for (uint32_t i = 0; i < count && !config.text_count; i++) {
            if (!is_pack(&attachments[i], pack_sha256))
                continue;
            pack = (struct ruleset_pack){ base_name(attachments[i].name), attachments[i].bytes,
                                          attachments[i].size };
            config.texts = &pack;
            config.text_count = 1;
        }
    }
    return generation_load(&config, diags, ret_generation);
}

void generation_close(struct generation *generation)
{
    if (!generation)
        return;
    struct loaded *loaded = loaded_of(generation);
    ruleset_close(generation->rules);
    dbset_close(generation->dbset);
    free(loaded->pack);
    free(loaded);
}

const uint8_t *generation_pack(const struct generation *generation, const char **ret_name,
                               size_t *ret_size)
{
    const struct loaded *loaded = loaded_of(generation);

    *ret_name = loaded->pack_name;
    *ret_size = loaded->pack_size;
    return loaded->pack;
}

void generation_digest(const struct generation *generation, uint8_t ret_digest[SHA256_BYTES])
{
    uint8_t bytes[SHA256_BYTES * (1 + 2 * CLIP_DBCS_MAX)];
    size_t size = SHA256_BYTES;

    memcpy(bytes, generation->pack_sha256, SHA256_BYTES);
    for (uint32_t i = 0; i < generation->dbc_count; i++) {
        const struct clip_dbc *dbc = &generation->dbcs[i];
        sha256_of(dbc->bus, strlen(dbc->bus), bytes + size);
        memcpy(bytes + size + SHA256_BYTES, dbc->sha256, SHA256_BYTES);
        size += 2 * SHA256_BYTES;
    }
    sha256_of(bytes, size, ret_digest);
}

void generation_session(const struct generation *generation, const struct shaping *shaping,
                        const uint8_t (*recordings)[SHA256_BYTES], uint32_t recording_count,
                        struct session *ret_session)
{
    const struct session_inputs inputs = {
        .recordings = recordings,
        .recording_count = recording_count,
        .pack_sha256 = generation->rules ? generation->pack_sha256 : NULL,
        .dbcs = generation->dbcs,
        .dbc_count = generation->dbc_count,
        .engine_version = generation->rules ? ENGINE_SEMANTICS_VERSION : 0,
    };

    session_recorded(ret_session, shaping, &inputs);
}
