/* gen - random packs and traces for the comparison of the engine with the reference evaluator, and
 * how a failing one becomes smaller. Equal seed, equal case. One thread. */
#ifndef TESTS_RULES_GEN_H
#define TESTS_RULES_GEN_H
#include "tests/rules/ref.h"

#define GEN_RULES_MAX 6
#define GEN_PACK_BYTES 65536
#define GEN_KIDS_MAX 4
#define GEN_TEXT_MAX 40

extern const char gen_dbc0[], gen_dbc1[];

struct gen_node {
    uint32_t form; /* of the table of forms */
    struct gen_node *kids[GEN_KIDS_MAX];
    char text[GEN_KIDS_MAX][GEN_TEXT_MAX]; /* what stands for each '#', '~' and '@' of the form */
};

struct gen_rule {
    struct gen_node *when, *unless, *attach[3];
    int trigger;               /* 0 none said, 1 falling, 2 both, 3 level */
    int for_ms, keep_ms, cooldown_ms, max_active_ms, per_trip, per_hour;
    bool initial_fire, shadow, disabled, attach_age;
    bool in_a, in_b, b_differs;
};

struct gen_case {
    uint64_t seed;
    struct gen_rule rules[GEN_RULES_MAX];
    uint32_t rule_count;
    char signals[4096];
    bool has_reload;
    struct trace trace;
    struct gen_node *nodes; /* the room of all gen_node */
    uint32_t node_count;
};

uint32_t gen_form_count(void);
const char *gen_form_name(uint32_t form);
/* The first form of the same operator: which stands for it in counts. */
uint32_t gen_form_operator(uint32_t form);
/* Can a rule with this form as its root be unknown? */
bool gen_form_can_be_unknown(uint32_t form);

/* `accepts` says whether the engine loads a pack; a rule that it refuses is made anew, and counted. */
typedef bool gen_accepts(void *context, const char *pack);
void gen_make(struct gen_case *c, uint64_t seed, gen_accepts *accepts, void *context,
              uint64_t *refused);
void gen_free(struct gen_case *c);

/* Before all else: leaves out the forms that the engine refuses; returns how many these are. */
uint32_t gen_probe(gen_accepts *accepts, void *context);
bool gen_form_is_absent(uint32_t form);

/* The text of the pack: the first, or that of the reload. */
void gen_pack(const struct gen_case *c, bool second, char *text);
void gen_count_forms(const struct gen_case *c, uint32_t rule, bool *forms);

/* Makes the case smaller as long as it fails. */
typedef bool gen_fails(void *context, const struct gen_case *c);
void gen_shrink(struct gen_case *c, gen_fails *fails, void *context);

#endif
