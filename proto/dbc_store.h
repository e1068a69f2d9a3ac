/* dbc_store - growing arrays for the time of reading, and maps from names and identifiers to
 * numbers, which live in the database's arena. */
#ifndef PROTO_DBC_STORE_H
#define PROTO_DBC_STORE_H
#include "proto/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes room for one more item: *items is realloc'ed when count has reached *capacity. Returns 0,
 * -ENOMEM, or -ENOBUFS when count has reached max. */
int dbc_grow(void **items, uint32_t *capacity, uint32_t count, size_t item_size, uint32_t max);

/* (scope, name) -> number; the first number that was put for a key stays. Names are borrowed. */
struct dbc_names {
    struct dbc_name_slot {
        const char *name; /* NULL: free */
        uint32_t scope, number;
    } *slots;
    uint32_t mask; /* capacity - 1, a power of two */
};

#define DBC_NAME_UNKNOWN UINT32_MAX
#define DBC_SCOPE_MESSAGES UINT32_MAX /* scope of message names; signals have their message's number */
#define DBC_SCOPE_TABLES (UINT32_MAX - 1)

/* For at most `count` keys; the slots come from the arena. Returns 0 or -ENOMEM. */
int dbc_names_init(struct dbc_names *names, struct arena *arena, uint32_t count);

/* Returns the number that the key has afterwards: `number`, or the one put before. */
uint32_t dbc_names_put(struct dbc_names *names, uint32_t scope, const char *name, uint32_t number);

/* The key has `number` afterwards; returns what it had before, or DBC_NAME_UNKNOWN. */
uint32_t dbc_names_set(struct dbc_names *names, uint32_t scope, const char *name, uint32_t number);

/* DBC_NAME_UNKNOWN when there is none. */
uint32_t dbc_names_find(const struct dbc_names *names, uint32_t scope, const char *name);

/* number -> number, for identifiers; the first one that was put for a key stays. */
struct dbc_ids {
    struct dbc_id_slot {
        uint32_t key, number_plus_1; /* 0: free */
    } *slots;
    uint32_t mask;
};

int dbc_ids_init(struct dbc_ids *ids, struct arena *arena, uint32_t count);
uint32_t dbc_ids_put(struct dbc_ids *ids, uint32_t key, uint32_t number);

/* On the path of every frame of a 29-bit bus. DBC_NAME_UNKNOWN when there is none. */
static inline uint32_t dbc_ids_find(const struct dbc_ids *ids, uint32_t key)
{
    uint32_t i = (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32);

    for (;; i++) {
        const struct dbc_id_slot *slot = &ids->slots[i & ids->mask];
        if (!slot->number_plus_1)
            return DBC_NAME_UNKNOWN;
        if (slot->key == key)
            return slot->number_plus_1 - 1;
    }
}

#endif
