/* backtest - packs over many drives: which drives, which variants, all jobs run, all tallies filled. */
#ifndef TOOLS_BACKTEST_BACKTEST_H
#define TOOLS_BACKTEST_BACKTEST_H
#include "proto/arena.h"
#include "tools/backtest/tally.h"
#include "tools/backtest/variants.h"

#define BACKTEST_DRIVES_MAX 16384
#define BACKTEST_LIST_MAX 16 /* logs, databases or packs of one drive */

struct backtest_list {
    const char *items[BACKTEST_LIST_MAX];
    uint32_t count;
};

struct backtest_drive { /* logs of one drive are merged by stamp */
    struct backtest_list logs, dbcs, packs; /* the last two: empty means those of the command */
};

struct backtest {
    struct arena arena;
    struct backtest_drive *drives;
    uint32_t drive_count, drive_room;
    struct backtest_list dbcs, packs, old_packs; /* old: of --diff */
    const char *config, *format, *vehicle, *codec;
    struct sweep sweep; /* count 0: none */
    uint32_t processes;
    bool show_progress;
    /* results: [0] is the packs as they are; of a sweep one a value; with --diff [1] is the old */
    struct tally *tallies;
    uint32_t variant_count;
    double wall_seconds;
};

void backtest_init(struct backtest *backtest);
void backtest_deinit(struct backtest *backtest);

/* Returns 0; -ENOSPC (too many), -ENOMEM. The text is borrowed. */
int backtest_list_add(struct backtest_list *list, const char *item);
int backtest_add_log(struct backtest *backtest, const char *log);
/* Adds the drives of a corpus file (docs/RULES.md, backtest): paths are relative to its folder.
 * Returns 0, -EBADMSG with *err at its place, or what reading says. */
int backtest_add_corpus(struct backtest *backtest, const char *path, struct err *err);

/* Runs every drive through every variant. Returns 0, or a negative errno with *err (text "" when
 * what is wrong with drives or packs was printed on standard error already). */
int backtest_run(struct backtest *backtest, struct err *err);

#endif
