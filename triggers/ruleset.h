/* ruleset - rule packs, compiled: YAML in, one immutable graph of all rules out.
 * ruleset_load parses, expands macros, resolves names against the databases, checks types and units,
 * folds constants and hash-conses every expression of every rule into one graph. After that nothing
 * changes: an engine (triggers/engine.h) runs it, any thread may read it. The dbset must outlive it.
 * The language is docs/RULES.md. */
#ifndef TRIGGERS_RULESET_H
#define TRIGGERS_RULESET_H
#include "proto/dbset.h"
#include "proto/err.h"
#include "proto/hash.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Same pack, same frames, same number: the same events. Raised whenever a result can change; part
 * of the session id of a recording. */
#define ENGINE_SEMANTICS_VERSION 2
#define PACKS_MAX 16
#define RULE_STREAMS_MAX 16
#define RULE_ERRORS_SHOWN 20 /* of one load; the rest is counted */

struct ruleset_pack { /* the text of one pack, borrowed for the load only */
    const char *name; /* stands in messages: a path or the name of an attachment */
    const void *bytes;
    size_t size;
};

struct ruleset_config {
    const struct ruleset_pack *packs;
    size_t pack_count; /* 0..PACKS_MAX; none gives an empty set */
    const struct dbset *dbset;
    int64_t today_utc_ns; /* tests the `until` of exceptions; 0: not tested (replay of a clip) */
};

enum rule_status { RULE_DRAFT, RULE_SHADOW, RULE_CANARY, RULE_STABLE, RULE_DEPRECATED };
enum rule_trigger { TRIGGER_RISING, TRIGGER_FALLING, TRIGGER_BOTH, TRIGGER_LEVEL };

struct rule_attach {
    const char *name;
    const char *unit; /* "" for none, labels and booleans */
};

struct rule {
    const char *id;   /* "package/name" */
    const char *name, *package, *version; /* of its pack */
    const char *title, *why, *owner;      /* "" when absent */
    const char *file; /* pack and place of the rule */
    uint32_t line, column;
    enum rule_status status;
    bool enabled;     /* a disabled rule is checked, never run */
    enum rule_trigger trigger;
    bool initial_fire;
    uint8_t priority; /* 0..PRIORITY_MAX */
    int64_t for_ns, keep_ns, cooldown_ns, max_active_ns;
    uint32_t per_trip, per_hour, per_day; /* 0: no limit; a session is one trip */
    int64_t pre_ns, post_ns;
    int64_t clip_max_bytes; /* 0: the configuration's */
    bool merge;             /* may share a clip with other events */
    const char *const *streams; /* empty: all */
    uint32_t stream_count;
    const struct rule_attach *attach;
    uint32_t attach_count; /* at most ATTACH_MAX */
    const char *const *unless; /* names of its exceptions */
    uint32_t unless_count;
    uint8_t hash[SHA256_BYTES]; /* of the canonical text: all that shapes its events and clips */
    int64_t memory_ns; /* how far before a clip's begin a sample can matter, beyond the last row of
                        * each id and the saved state; 0 none, -1 unbounded */
};

struct ruleset;

/* Returns 0, or -EBADMSG (diags has at least one error), -ERANGE (a limit, also in diags), -ENOMEM.
 * Warnings (W7..) go to diags too. On failure *ret_ruleset is untouched. */
int ruleset_load(const struct ruleset_config *config, struct diags *diags,
                 struct ruleset **ret_ruleset);
/* Reads the files first; a file that cannot be read is in diags and gives its negative errno. */
int ruleset_load_files(const char *const *paths, size_t count, const struct dbset *dbset,
                       int64_t today_utc_ns, struct diags *diags, struct ruleset **ret_ruleset);
void ruleset_close(struct ruleset *ruleset); /* NULL is allowed */

uint32_t ruleset_count(const struct ruleset *ruleset);
const struct rule *ruleset_rule(const struct ruleset *ruleset, uint32_t index);
/* By "package/name", or by the bare name when only one package has it; -1 when there is none. */
int32_t ruleset_find(const struct ruleset *ruleset, const char *id);

/* SHA-256 over the hashes of all rules in order and ENGINE_SEMANTICS_VERSION: equal hash, equal
 * events. */
void ruleset_hash(const struct ruleset *ruleset, uint8_t ret_hash[SHA256_BYTES]);

/* A message that rules read, for `check` and for keeping its last row before a clip. */
struct ruleset_message {
    const char *bus; /* "" any */
    const struct dbc_message *message;
    uint32_t signal_count; /* of it, that rules read */
};
uint32_t ruleset_message_count(const struct ruleset *ruleset);
struct ruleset_message ruleset_message(const struct ruleset *ruleset, uint32_t index);

struct ruleset_size {
    uint32_t rules, nodes, signals, messages;
    size_t engine_bytes; /* what engine_open will allocate, once */
};
struct ruleset_size ruleset_size(const struct ruleset *ruleset);

/* The canonical text that a rule's hash is taken of, for people who ask why two hashes differ.
 * Writes at most `size` bytes with NUL; returns the length of the whole. */
size_t ruleset_canonical(const struct ruleset *ruleset, uint32_t index, char *text, size_t size);

#endif
