/* export - CLIP.mcap of a clip: each generation decoded with its own databases, fetched by hash.
 * Deterministic: the same clip and artifacts give the same bytes. */
#ifndef TOOLS_SINK_EXPORT_H
#define TOOLS_SINK_EXPORT_H
#include "proto/export_mcap.h"
#include "tools/sink/artifacts.h"
#include "tools/sink/facts.h"

struct export_result {
    uint32_t need_count; /* databases that nobody has: their generations stay raw */
    uint8_t needs[WIRE_NEEDS_MAX][SHA256_BYTES];
    uint32_t unusable; /* databases that are here but do not load */
    struct export_mcap_stats stats;
};

/* Only the first step: which databases are missing. */
void export_needs(const struct facts *facts, struct artifacts *artifacts,
                  struct export_result *ret_result);

/* Reads the .rlc at `rlc_path`, writes `mcap_path` (made new, not synced). Returns 0, -EBADMSG when
 * the clip does not decode, or an errno of reading or writing; *err filled. */
int export_clip(const char *rlc_path, const char *mcap_path, const struct facts *facts,
                struct artifacts *artifacts, struct export_result *ret_result, struct err *err);

#endif
