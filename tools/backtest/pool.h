/* pool - jobs (job.h) side by side, each in a process of its own: a crash, a leak or an error of one
 * drive cannot touch another. */
#ifndef TOOLS_BACKTEST_POOL_H
#define TOOLS_BACKTEST_POOL_H
#include "tools/backtest/job.h"

#define POOL_PROCESSES_MAX 64

struct pool_job {
    const struct replay_options *options;
    uint8_t *bytes; /* its records; the caller frees them */
    size_t size, room;
    bool failed;    /* the last record is no END: an ERROR, or the process died */
};

/* Runs all, at most `processes` at a time; `progress` (NULL allowed) is called after each one that
 * ended. Returns 0 though jobs may have failed, or a negative errno of pipes, processes or memory;
 * then the rest was not run. Call it before there are threads. */
int pool_run(struct pool_job *jobs, uint32_t count, uint32_t processes,
             void (*progress)(void *context, uint32_t ended), void *context);

/* The text of the ERROR at the end of a failed job, allocated; or what it died of. NULL: no memory. */
char *pool_error(const struct pool_job *job);

#endif
