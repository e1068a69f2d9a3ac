/* generation - loads what a struct generation (daemon/pipeline.h) holds: packs and databases, read
 * and compiled, with the hashes that stand in every clip. Replay and the daemon load by this, so that
 * the same files give the same session id.
 *
 * The pack of a generation is one text, known by its SHA-256 in every clip, and an artifact for the
 * sink: the pack file itself; of several packs the bundle of them, each behind a line
 * "# pack SIZE NAME". A bundle is taken wherever a pack is.
 * Thread: whoever loads (main); the result is immutable. */
#ifndef DAEMON_GENERATION_H
#define DAEMON_GENERATION_H
#include "daemon/pipeline.h"
#include "daemon/session.h"
#include "triggers/ruleset.h"

struct generation_config {
    const char *const *packs; /* paths; unused where `texts` are given */
    uint32_t pack_count;
    const struct ruleset_pack *texts; /* or packs from memory, copied: those that a clip carries */
    uint32_t text_count;
    const char *const *dbcs;  /* "[BUS=]FILE"; unused where `dbset` is given */
    uint32_t dbc_count;
    struct dbset *dbset;      /* or databases loaded before: taken over, also on failure */
    bool strict;              /* databases: leniencies are errors */
    int64_t today_utc_ns;     /* tests `until`; 0 for recordings: their result has no date */
};

/* Reads and compiles all; no packs: `rules` is NULL. Warnings and errors go to diags. Returns 0 with
 * a heap object that generation_close releases; -EBADMSG, -ENOENT..., -ENOMEM with an error in
 * diags. `number` is left 0. */
int generation_load(const struct generation_config *config, struct diags *diags,
                    struct generation **ret_generation);

struct recording_attachment;
/* The same with what an .mcap of ours carries, where `given` has no databases or no packs of its own:
 * attachments "dbc/<bus>/<file>", and the one that has the pack's SHA-256. */
int generation_load_attached(const struct generation_config *given,
                             const struct recording_attachment *attachments, uint32_t count,
                             const uint8_t *pack_sha256, struct diags *diags,
                             struct generation **ret_generation);
void generation_close(struct generation *generation); /* takes NULL */

/* The pack's text and name, borrowed until close; size 0 when there is none. */
const uint8_t *generation_pack(const struct generation *generation, const char **ret_name,
                               size_t *ret_size);

/* One digest of the pack and of all databases with their buses: whether the files on disk are those
 * that a daemon runs with. */
void generation_digest(const struct generation *generation, uint8_t ret_digest[SHA256_BYTES]);

/* The identity of a session on recordings, from the generation it starts with. */
void generation_session(const struct generation *generation, const struct shaping *shaping,
                        const uint8_t (*recordings)[SHA256_BYTES], uint32_t recording_count,
                        struct session *ret_session);

#endif
