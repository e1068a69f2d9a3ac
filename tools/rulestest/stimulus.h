/* stimulus - the samples of a test case as the frames that a bus would carry. A frame carries all
 * signals of its message (of one multiplexor branch): signals without a sample yet have their start
 * value, the others keep their last one. */
#ifndef TOOLS_RULESTEST_STIMULUS_H
#define TOOLS_RULESTEST_STIMULUS_H
#include "proto/dbset.h"
#include "proto/frame.h"
#include "proto/yaml.h"

#define STIMULUS_BASE_NS (1000000 * NS_PER_S) /* stamp of time 0 of a case: room before it */
#define STIMULUS_SIGNALS_MAX 64
#define STIMULUS_FRAMES_MAX 200000

struct stimulus {
    struct frame *frames; /* in order of stamp */
    uint32_t count, room;
    struct source_table sources;
    int64_t last_ns;      /* of the last sample, from time 0 */
};

/* Where the aliases of a case's signals come from: the `signals` of its packs. */
struct stimulus_names {
    const struct yaml_node *const *signals; /* one map a pack, or NULL */
    uint32_t count;
    const struct dbset *dbset;
};

struct stimulus_input {
    const struct yaml_tree *tree; /* of the test file */
    const struct yaml_node *node; /* {signal, every, values} or {signal, at, repeat} */
};

/* Builds the frames, then one frame of no message at end_ns (from time 0; at least the last sample),
 * so that timers run until there; `repeat` sends the last value again until there too. Returns 0; -EBADMSG or -ERANGE with *err at its place; -ENOMEM. */
int stimulus_build(const struct stimulus_names *names, const struct stimulus_input *inputs,
                   uint32_t count, int64_t end_ns, struct stimulus *ret_stimulus,
                   struct err *err);
void stimulus_deinit(struct stimulus *stimulus);

/* "1500ms", "-2s", "0". Returns 0 or -EINVAL. */
int duration_parse(const char *text, int64_t *ret_ns);

#endif
