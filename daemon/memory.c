/* The memory table of DESIGN.md 4: what is fixed at start, from the configuration alone. `doctor`
 * prints it without a running daemon. */
#include "daemon/memory.h"

#include "daemon/threads.h"

uint64_t memory_table(const struct config *config, struct memory_row rows[MEMORY_ROWS])
{
    const uint64_t capture = CAPTURE_SLOTS * (uint64_t)sizeof(struct source_item);
    const uint64_t flow = FLOW_SLOTS * (uint64_t)sizeof(struct flow_item);
    const uint64_t rest = PIECE_SLOTS * (uint64_t)sizeof(struct piece_item) +
                          BACK_SLOTS * (uint64_t)sizeof(struct back_item) +
                          JOB_SLOTS * (uint64_t)sizeof(struct job) +
                          OUTCOME_SLOTS * (uint64_t)sizeof(struct outcome) +
                          WORKER_COUNT * (uint64_t)(WORKER_REPORTS * sizeof(struct report) +
                                                    WORKER_ORDERS * sizeof(struct order));
    const bool live = !config->recording.path[0];
    const bool kafka = config->upload.transport == CONFIG_TRANSPORT_KAFKA;
    uint64_t sum = 0;

    rows[0] = (struct memory_row){ "open rows", (uint64_t)config->shaping.open_bytes };
    rows[1] = (struct memory_row){ "ring", (uint64_t)config->shaping.ring_bytes };
    rows[2] = (struct memory_row){ "pins", (uint64_t)config->shaping.pin_bytes };
    rows[3] = (struct memory_row){ "queues", capture + flow + rest };
    rows[4] = (struct memory_row){ "merge", live ? MERGE_FRAMES * (uint64_t)96 : 0 };
    rows[5] = (struct memory_row){ "codec and scratch block", MEMORY_CODEC_BYTES };
    rows[6] = (struct memory_row){ "librdkafka", kafka ? MEMORY_KAFKA_BYTES : 0 };
    rows[7] = (struct memory_row){ "packs, databases, the rest", MEMORY_REST_BYTES };
    for (uint32_t i = 0; i < MEMORY_ROWS; i++)
        sum += rows[i].bytes;
    return sum;
}
