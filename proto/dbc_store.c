#include "proto/dbc_store.h"

#include "proto/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int dbc_grow(void **items, uint32_t *capacity, uint32_t count, size_t item_size, uint32_t max)
{
    if (count >= max)
        return -ENOBUFS;
    if (count < *capacity)
        return 0;
    uint32_t larger = *capacity ? *capacity * 2 : 64;
    void *grown = realloc(*items, larger * item_size);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *capacity = larger;
    return 0;
}

/* At most half of the slots are ever used, so that every search ends soon. */
static uint32_t capacity_for(uint32_t count)
{
    uint32_t capacity = 16;

    while (capacity / 2 < count)
        capacity *= 2;
    return capacity;
}

int dbc_names_init(struct dbc_names *names, struct arena *arena, uint32_t count)
{
    uint32_t capacity = capacity_for(count);

    names->slots = arena_alloc(arena, capacity * sizeof *names->slots);
    names->mask = capacity - 1;
    return names->slots ? 0 : -ENOMEM;
}

/* The slot of the key, or the free one where it belongs. */
static struct dbc_name_slot *slot_of(const struct dbc_names *names, uint32_t scope,
                                     const char *name)
{
    uint64_t hash = hash_xxh64(name, strlen(name)) + scope * UINT64_C(0x9e3779b97f4a7c15);

    for (uint32_t i = (uint32_t)(hash >> 16);; i++) {
        struct dbc_name_slot *slot = &names->slots[i & names->mask];
        if (!slot->name || (slot->scope == scope && strcmp(slot->name, name) == 0))
            return slot;
    }
}

uint32_t dbc_names_put(struct dbc_names *names, uint32_t scope, const char *name, uint32_t number)
{
    struct dbc_name_slot *slot = slot_of(names, scope, name);

    if (!slot->name)
        *slot = (struct dbc_name_slot){ name, scope, number };
    return slot->number;
}

uint32_t dbc_names_set(struct dbc_names *names, uint32_t scope, const char *name, uint32_t number)
{
    struct dbc_name_slot *slot = slot_of(names, scope, name);
    uint32_t before = slot->name ? slot->number : DBC_NAME_UNKNOWN;

    *slot = (struct dbc_name_slot){ name, scope, number };
    return before;
}

uint32_t dbc_names_find(const struct dbc_names *names, uint32_t scope, const char *name)
{
    const struct dbc_name_slot *slot = slot_of(names, scope, name);

    return slot->name ? slot->number : DBC_NAME_UNKNOWN;
}

int dbc_ids_init(struct dbc_ids *ids, struct arena *arena, uint32_t count)
{
    uint32_t capacity = capacity_for(count);

    ids->slots = arena_alloc(arena, capacity * sizeof *ids->slots);
    ids->mask = capacity - 1;
    return ids->slots ? 0 : -ENOMEM;
}

uint32_t dbc_ids_put(struct dbc_ids *ids, uint32_t key, uint32_t number)
{
    uint32_t found = dbc_ids_find(ids, key);

    if (found != DBC_NAME_UNKNOWN)
        return found;
    uint32_t i = (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    while (ids->slots[i & ids->mask].number_plus_1)
        i++;
    ids->slots[i & ids->mask] = (struct dbc_id_slot){ key, number + 1 };
    return number;
}
