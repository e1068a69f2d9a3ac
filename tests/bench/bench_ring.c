/* The queue between two threads: rows through our SPSC queue, and through the same number of slots
 * behind a mutex and two condition variables. */
#include "daemon/spsc.h"
#include "proto/frame.h"
#include "tests/bench/bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 4000000u
#define SLOTS 8192u

static void *produce_spsc(void *argument)
{
    struct spsc *queue = argument;
    struct row row = { .frame = { .id = 0x123, .len = 8, .dlc = 8 } };

    for (uint32_t i = 0; i < ROWS; i++) {
        struct row *room = spsc_wait_room(queue, SPSC_ROW, -1);
        row.step = i;
        *room = row;
        spsc_put(queue);
    }
    return NULL;
}

static uint64_t run_spsc(void *context)
{
    struct spsc_config config = { .slot_count = SLOTS, .slot_bytes = sizeof(struct row) };
    struct spsc *queue;
    pthread_t producer;
    uint64_t sum = 0;

    (void)context;
    if (spsc_open(&queue, &config) != 0 || pthread_create(&producer, NULL, produce_spsc, queue) != 0)
        abort();
    for (uint32_t i = 0; i < ROWS; i++) {
        const struct row *row = spsc_wait(queue, -1);
        sum += row->step;
        spsc_pop(queue);
    }
    (void)pthread_join(producer, NULL);
    spsc_close(queue);
    bench_sink = sum;
    return ROWS;
}

struct locked {
    pthread_mutex_t lock;
    pthread_cond_t full, empty;
    uint32_t head, count;
    struct row slots[SLOTS];
};

static void *produce_locked(void *argument)
{
    struct locked *queue = argument;
    struct row row = { .frame = { .id = 0x123, .len = 8, .dlc = 8 } };

    for (uint32_t i = 0; i < ROWS / 4; i++) {
        (void)pthread_mutex_lock(&queue->lock);
        while (queue->count == SLOTS)
            (void)pthread_cond_wait(&queue->full, &queue->lock);
        row.step = i;
        queue->slots[(queue->head + queue->count++) % SLOTS] = row;
        (void)pthread_cond_signal(&queue->empty);
        (void)pthread_mutex_unlock(&queue->lock);
    }
    return NULL;
}

static uint64_t run_locked(void *context)
{
    static struct locked queue = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                   .full = PTHREAD_COND_INITIALIZER,
                                   .empty = PTHREAD_COND_INITIALIZER };
    pthread_t producer;
    uint64_t sum = 0;

    (void)context;
    queue.head = queue.count = 0;
    if (pthread_create(&producer, NULL, produce_locked, &queue) != 0)
        abort();
    for (uint32_t i = 0; i < ROWS / 4; i++) {
        (void)pthread_mutex_lock(&queue.lock);
        while (queue.count == 0)
            (void)pthread_cond_wait(&queue.empty, &queue.lock);
        sum += queue.slots[queue.head].step;
        queue.head = (queue.head + 1) % SLOTS;
        queue.count--;
        (void)pthread_cond_signal(&queue.full);
        (void)pthread_mutex_unlock(&queue.lock);
    }
    (void)pthread_join(producer, NULL);
    bench_sink = sum;
    return ROWS / 4;
}

void bench_ring(void)
{
    struct bench_pair pair = { .name = "ring: rows between two threads", .unit = "rows",
                               .ours = "spsc", .control = "mutex queue", .run_ours = run_spsc,
                               .run_control = run_locked, .rounds = 3 };
    (void)bench_run(&pair);
}
