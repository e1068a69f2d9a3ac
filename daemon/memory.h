/* memory - what the daemon will hold, as a table. Pure. */
#ifndef DAEMON_MEMORY_H
#define DAEMON_MEMORY_H
#include "daemon/config.h"

#define MEMORY_ROWS 8
#define MEMORY_CODEC_BYTES (8 * UINT64_C(1048576))
#define MEMORY_KAFKA_BYTES (6 * UINT64_C(1048576))
#define MEMORY_REST_BYTES (8 * UINT64_C(1048576))
#define MEMORY_BUDGET_BYTES (64 * UINT64_C(1048576)) /* resident, DESIGN.md 4 */

struct memory_row {
    const char *name;
    uint64_t bytes;
};

/* Fills all rows and returns their sum. */
uint64_t memory_table(const struct config *config, struct memory_row rows[MEMORY_ROWS]);

#endif
