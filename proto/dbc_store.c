#include "proto/dbc_store.h"

#include "proto/hash.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 65536u

struct page {
    struct page *next;
    size_t used, size;
    alignas(max_align_t) uint8_t bytes[];
};

struct dbc_arena {
    struct page *pages; /* the newest first */
};

struct dbc_arena *dbc_arena_open(void)
{
    return calloc(1, sizeof(struct dbc_arena));
}

void dbc_arena_close(struct dbc_arena *arena)
{
    if (!arena)
        return;
    for (struct page *page = arena->pages; page;) {
        struct page *next = page->next;
        free(page);
        page = next;
    }
    free(arena);
}

static struct page *page_open(struct dbc_arena *arena, size_t need)
{
    size_t size = need > PAGE_BYTES ? need : PAGE_BYTES;
    struct page *page = calloc(1, sizeof *page + size);

    if (!page)
        return NULL;
    page->size = size;
    page->next = arena->pages;
    arena->pages = page;
    return page;
}

void *dbc_arena_take(struct dbc_arena *arena, size_t size)
{
    size_t align = alignof(max_align_t), need = (size + align - 1) / align * align;
    struct page *page = arena->pages;

    if (!page || page->size - page->used < need)
        page = page_open(arena, need);
    if (!page)
        return NULL;
    void *taken = page->bytes + page->used;
    page->used += need;
    return taken;
}

char *dbc_arena_text(struct dbc_arena *arena, const char *text, size_t size)
{
    char *copy = dbc_arena_take(arena, size + 1);

    if (copy)
        memcpy(copy, text, size);
    return copy;
}

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

int dbc_names_init(struct dbc_names *names, struct dbc_arena *arena, uint32_t count)
{
    uint32_t capacity = capacity_for(count);

    names->slots = dbc_arena_take(arena, capacity * sizeof *names->slots);
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

int dbc_ids_init(struct dbc_ids *ids, struct dbc_arena *arena, uint32_t count)
{
    uint32_t capacity = capacity_for(count);

    ids->slots = dbc_arena_take(arena, capacity * sizeof *ids->slots);
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
