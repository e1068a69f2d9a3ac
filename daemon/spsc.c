/* Invariants:
 * 1. tail is written by the producer alone, head by the consumer alone; both only grow (mod 2^32).
 * 2. head <= tail <= head + slot_count, counted modulo 2^32.
 * 3. Slot contents in [head, tail) belong to the consumer, all others to the producer.
 * 4. No lost wake-up: a sleeper sets its flag, then reads the other side's index; the other side
 *    writes its index, then reads the flag. All four are sequentially consistent, so at least one of
 *    them sees the other. (A fence would do too, but ThreadSanitizer does not know fences.) */
#include "daemon/spsc.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CACHE_LINE 64

struct spsc {
    uint8_t *slots;
    uint32_t slot_count, slot_bytes, reserved;
    int data_fd, room_fd;
    /* Written by the producer; on its own line, as is what the consumer writes. */
    _Alignas(CACHE_LINE) _Atomic uint32_t tail;
    uint32_t head_seen; /* producer's last reading of head: refreshed only when it looks full */
    _Atomic uint32_t room_armed;
    _Alignas(CACHE_LINE) _Atomic uint32_t head;
    uint32_t tail_seen; /* consumer's last reading of tail: refreshed only when it looks empty */
    _Atomic uint32_t data_armed;
};

static bool config_ok(const struct spsc_config *config)
{
    uint32_t n = config->slot_count;

    return n >= 2 && n <= SPSC_SLOTS_MAX && (n & (n - 1)) == 0 && config->slot_bytes >= 1 &&
           config->slot_bytes <= SPSC_SLOT_BYTES_MAX && config->reserved < n;
}

int spsc_open(struct spsc **ret_queue, const struct spsc_config *config)
{
    if (!config_ok(config))
        return -EINVAL;
    struct spsc *queue = aligned_alloc(CACHE_LINE, sizeof *queue);
    if (!queue)
        return -ENOMEM;
    memset(queue, 0, sizeof *queue);
    queue->slot_count = config->slot_count;
    /* Slots hold structs: keep each aligned as malloc would. */
    queue->slot_bytes = (config->slot_bytes + 15u) & ~15u;
    queue->reserved = config->reserved;
    queue->data_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    queue->room_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    queue->slots = malloc((size_t)queue->slot_count * queue->slot_bytes);
    if (queue->data_fd < 0 || queue->room_fd < 0 || !queue->slots) {
        int code = queue->slots ? -errno : -ENOMEM;
        spsc_close(queue);
        return code;
    }
    memset(queue->slots, 0, (size_t)queue->slot_count * queue->slot_bytes);
    *ret_queue = queue;
    return 0;
}

void spsc_close(struct spsc *queue)
{
    if (!queue)
        return;
    if (queue->data_fd >= 0)
        (void)close(queue->data_fd);
    if (queue->room_fd >= 0)
        (void)close(queue->room_fd);
    free(queue->slots);
    free(queue);
}

size_t spsc_memory_bytes(const struct spsc *queue)
{
    return sizeof *queue + (size_t)queue->slot_count * queue->slot_bytes;
}

static void ring(int fd)
{
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    assert(n == (ssize_t)sizeof one); /* an eventfd counter of 2^64 - 2 rings is out of reach */
}

void spsc_quiet(int fd)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof count); /* EAGAIN: it did not ring, which is fine */
}

static uint8_t *slot_at(const struct spsc *queue, uint32_t index)
{
    return queue->slots + (size_t)(index & (queue->slot_count - 1)) * queue->slot_bytes;
}

static uint32_t limit_of(const struct spsc *queue, enum spsc_class class)
{
    return class == SPSC_COMMAND ? queue->slot_count : queue->slot_count - queue->reserved;
}

void *spsc_room(struct spsc *queue, enum spsc_class class)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed); /* our own */

    if (tail - queue->head_seen >= limit_of(queue, class)) {
        /* Acquire pairs with the release in spsc_pop: the consumer is done with the slot. */
        queue->head_seen = atomic_load_explicit(&queue->head, memory_order_acquire);
        if (tail - queue->head_seen >= limit_of(queue, class))
            return NULL;
    }
    return slot_at(queue, tail);
}

void spsc_put(struct spsc *queue)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

    assert(tail - queue->head_seen < queue->slot_count);
    /* The release that spsc_peek and spsc_arm acquire: the slot's bytes go before it. */
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_seq_cst);
    /* Acquire pairs with the store in spsc_arm (invariant 4). */
    if (atomic_load_explicit(&queue->data_armed, memory_order_seq_cst) &&
        atomic_exchange_explicit(&queue->data_armed, 0, memory_order_seq_cst))
        ring(queue->data_fd);
}

bool spsc_arm_room(struct spsc *queue, enum spsc_class class)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

    atomic_store_explicit(&queue->room_armed, 1, memory_order_seq_cst);
    /* Acquire pairs with the release in spsc_pop. */
    queue->head_seen = atomic_load_explicit(&queue->head, memory_order_seq_cst);
    return tail - queue->head_seen < limit_of(queue, class);
}

int spsc_room_fd(const struct spsc *queue) { return queue->room_fd; }

void *spsc_peek(struct spsc *queue)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed); /* our own */

    if (head == queue->tail_seen) {
        /* Acquire pairs with the release in spsc_put: the slot's bytes are there. */
        queue->tail_seen = atomic_load_explicit(&queue->tail, memory_order_acquire);
        if (head == queue->tail_seen)
            return NULL;
    }
    return slot_at(queue, head);
}

void spsc_pop(struct spsc *queue)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

    assert(head != queue->tail_seen);
    /* The release that spsc_room and spsc_arm_room acquire: we are done with the slot. */
    atomic_store_explicit(&queue->head, head + 1, memory_order_seq_cst);
    /* Acquire pairs with the store in spsc_arm_room (invariant 4). */
    if (atomic_load_explicit(&queue->room_armed, memory_order_seq_cst) &&
        atomic_exchange_explicit(&queue->room_armed, 0, memory_order_seq_cst))
        ring(queue->room_fd);
}

uint32_t spsc_count(const struct spsc *queue)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

    /* Acquire pairs with the release in spsc_put. */
    return atomic_load_explicit(&queue->tail, memory_order_acquire) - head;
}

bool spsc_arm(struct spsc *queue)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

    atomic_store_explicit(&queue->data_armed, 1, memory_order_seq_cst);
    /* Acquire pairs with the release in spsc_put. */
    queue->tail_seen = atomic_load_explicit(&queue->tail, memory_order_seq_cst);
    return head != queue->tail_seen;
}

int spsc_fd(const struct spsc *queue) { return queue->data_fd; }

static void sleep_on(int fd, int timeout_ms)
{
    struct pollfd bell = { .fd = fd, .events = POLLIN };

    if (poll(&bell, 1, timeout_ms) > 0)
        spsc_quiet(fd);
}

void *spsc_wait_room(struct spsc *queue, enum spsc_class class, int timeout_ms)
{
    void *slot;

    while (!(slot = spsc_room(queue, class))) {
        if (spsc_arm_room(queue, class))
            continue;
        sleep_on(queue->room_fd, timeout_ms);
        if (timeout_ms >= 0)
            return spsc_room(queue, class);
    }
    return slot;
}

void *spsc_wait(struct spsc *queue, int timeout_ms)
{
    void *slot;

    while (!(slot = spsc_peek(queue))) {
        if (spsc_arm(queue))
            continue;
        sleep_on(queue->data_fd, timeout_ms);
        if (timeout_ms >= 0)
            return spsc_peek(queue);
    }
    return slot;
}
