/* spsc - bounded queue between exactly one producing and one consuming thread.
 * Slots of fixed size in memory that is allocated at start; lock-free; the only module with atomics.
 * A side that must wait arms its bell (an eventfd), looks once more, and polls the bell; the other
 * side rings only an armed bell, so a busy queue makes no system call.
 *
 * Room is reserved for commands: rows stop at slot_count - reserved, commands may fill all. A full
 * queue is the caller's policy: live sources drop and count, recordings wait.
 * Threads: functions marked P belong to the producer, C to the consumer, others to whoever holds the
 * queue before the threads start and after they have ended. */
#ifndef DAEMON_SPSC_H
#define DAEMON_SPSC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPSC_SLOTS_MAX 1048576
#define SPSC_SLOT_BYTES_MAX 16384

struct spsc;

struct spsc_config {
    uint32_t slot_count; /* 2..SPSC_SLOTS_MAX, a power of two */
    uint32_t slot_bytes; /* 1..SPSC_SLOT_BYTES_MAX */
    uint32_t reserved;   /* slots that only commands may take; less than slot_count */
};

enum spsc_class { SPSC_ROW, SPSC_COMMAND };

/* Returns 0, -EINVAL for a configuration outside the limits, -ENOMEM, or the errno of eventfd. The
 * memory is touched once here, so that the first burst meets no page fault. */
int spsc_open(struct spsc **ret_queue, const struct spsc_config *config);
void spsc_close(struct spsc *queue);
size_t spsc_memory_bytes(const struct spsc *queue);

/* P. Borrows the next free slot, or NULL when the class has no room. Nothing is visible to the
 * consumer until spsc_put; a borrowed slot may be abandoned. */
void *spsc_room(struct spsc *queue, enum spsc_class class);
/* P. Publishes the slot that spsc_room gave last, and rings if the consumer sleeps. */
void spsc_put(struct spsc *queue);
/* P. Arms the bell that rings when a slot becomes free. True: it has room now, do not sleep. */
bool spsc_arm_room(struct spsc *queue, enum spsc_class class);
/* P. To be polled for reading while armed. */
int spsc_room_fd(const struct spsc *queue);
/* P. Waits for room as spsc_room gives it; NULL after timeout_ms (-1: for ever). */
void *spsc_wait_room(struct spsc *queue, enum spsc_class class, int timeout_ms);

/* C. Borrows the oldest slot until spsc_pop, or NULL when the queue is empty. */
void *spsc_peek(struct spsc *queue);
/* C. Gives the slot back that spsc_peek showed, and rings if the producer sleeps. */
void spsc_pop(struct spsc *queue);
/* C. Slots that wait, at least; more may have come since. */
uint32_t spsc_count(const struct spsc *queue);
/* C. Arms the bell that rings when something comes. True: there is something, do not sleep. */
bool spsc_arm(struct spsc *queue);
/* C. To be polled for reading while armed. */
int spsc_fd(const struct spsc *queue);
/* C. Waits for something to peek at; NULL after timeout_ms (-1: for ever). */
void *spsc_wait(struct spsc *queue, int timeout_ms);

/* A bell is level-triggered: the side that polled it quiets it. */
void spsc_quiet(int fd);

#endif
