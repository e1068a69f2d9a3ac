/* variants - the texts of the packs that a backtest runs: files as they are, and for --sweep the same
 * text with another value of one param. Only the value's bytes change, so that every place in a
 * message is still that of the file. */
#ifndef TOOLS_BACKTEST_VARIANTS_H
#define TOOLS_BACKTEST_VARIANTS_H
#include "proto/err.h"
#include "triggers/ruleset.h"

#define SWEEP_VALUES_MAX 256
#define SWEEP_TEXT_MAX 32

/* "name=from:to:step"; the unit is that of the pack. */
struct sweep {
    char name[64];
    double from, to, step; /* step has the sign of to - from */
    uint32_t count;
};

/* Returns 0, or -EINVAL with *err: form, no number, a step of 0, more than SWEEP_VALUES_MAX. */
int sweep_parse(const char *text, struct sweep *ret_sweep, struct err *err);
/* Value `index` as the pack would write it, without a unit: decimals as `from` and `step` need. */
void sweep_value(const struct sweep *sweep, uint32_t index, char text[SWEEP_TEXT_MAX]);

struct texts; /* packs read so far; each file once */

int texts_open(struct texts **ret_texts); /* 0 or -ENOMEM */
void texts_close(struct texts *texts);    /* takes NULL */

/* The packs at `paths`, borrowed until close, in ret_packs[0..count). With a sweep its param has
 * value `index` in every pack that declares it; *ret_swept (NULL allowed) says how many do. Returns 0,
 * a negative errno of reading, -EBADMSG (not YAML), -ENOMEM, with *err. */
int texts_packs(struct texts *texts, const char *const *paths, uint32_t count,
                const struct sweep *sweep, uint32_t index, struct ruleset_pack *ret_packs,
                uint32_t *ret_swept, struct err *err);

/* Names of params of these packs, for "did you mean"; returns how many of `room` were set. */
uint32_t texts_params(struct texts *texts, const char *const *paths, uint32_t count,
                      const char **ret_names, uint32_t room);

#endif
