/* facts - what a clip's own bytes say: its databases by generation, and the content of CLIP.json
 * (sources, events, completeness). Every record's hash is checked on the way; what does not read,
 * or names another clip, is refused. Reads one file; no other state. */
#ifndef TOOLS_SINK_FACTS_H
#define TOOLS_SINK_FACTS_H
#include "proto/clip.h"
#include "proto/wire.h"

#define FACTS_GENERATIONS_MAX 64
#define FACTS_DBCS_MAX 32 /* of one generation: DBSET_ENTRIES_MAX */

struct facts_dbc {
    char bus[SOURCE_NAME_MAX], name[CLIP_TEXT_MAX];
    uint8_t sha256[SHA256_BYTES];
};

struct facts_generation {
    uint32_t generation, dbc_count;
    struct facts_dbc dbcs[FACTS_DBCS_MAX];
};

struct json_t;

struct facts {
    struct json_t *content;
    uint32_t generation_count;
    struct facts_generation *generations; /* rising; FACTS_GENERATIONS_MAX places */
    uint8_t pack_sha256[SHA256_BYTES];    /* zero: none */
};

/* Reads the clip at `path`. Returns 0; -EBADMSG with *err when it is no whole clip or is not what
 * `about` announced; another errno when the file cannot be read. */
int facts_read(const char *path, const struct wire_about *about, struct facts *ret_facts,
               struct err *err);
void facts_deinit(struct facts *facts); /* takes a zeroed one */

#endif
