#include "daemon/generation.h"

#include "proto/dbset.h"
#include "triggers/ruleset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(CLIP_DBCS_MAX >= DBSET_ENTRIES_MAX, "a clip names every database of its generation");

static int load_databases(const struct generation_config *config, struct diags *diags,
                          struct generation *generation)
{
    struct err err;

    generation->dbset = dbset_open();
    if (!generation->dbset)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->dbc_count; i++) {
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

static int load_packs(const struct generation_config *config, struct diags *diags,
                      struct generation *generation)
{
    if (config->pack_count == 0)
        return 0;
    int code = ruleset_load_files(config->packs, config->pack_count, generation->dbset,
                                  config->today_utc_ns, diags, &generation->rules);
    if (code == 0)
        ruleset_hash(generation->rules, generation->pack_sha256);
    return code;
}

int generation_load(const struct generation_config *config, struct diags *diags,
                    struct generation **ret_generation)
{
    struct generation *generation = calloc(1, sizeof *generation);
    uint32_t before = diags->errors;
    int code = generation ? load_databases(config, diags, generation) : -ENOMEM;

    if (code == 0) {
        name_databases(generation);
        code = load_packs(config, diags, generation);
    }
    if (code < 0) {
        if (diags->errors == before)
            diags_add(diags, DIAG_ERROR, "", NULL, 0, 0, "packs and databases: %s", strerror(-code));
        generation_close(generation);
        return code;
    }
    *ret_generation = generation;
    return 0;
}

void generation_close(struct generation *generation)
{
    if (!generation)
        return;
    ruleset_close(generation->rules);
    dbset_close(generation->dbset);
    free(generation);
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
