#include "proto/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 65536

struct arena_piece {
    struct arena_piece *next;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){ .limit_bytes = limit_bytes };
}

void arena_deinit(struct arena *arena)
{
    while (arena->pieces) {
        struct arena_piece *next = arena->pieces->next;
        free(arena->pieces);
        arena->pieces = next;
    }
    *arena = (struct arena){ 0 };
}

static int add_piece(struct arena *arena, size_t bytes)
{
    size_t size = bytes > PIECE_BYTES ? bytes : PIECE_BYTES;

    if (size > arena->limit_bytes - arena->total_bytes)
        return -1;
    struct arena_piece *piece = calloc(1, sizeof *piece + size);
    if (!piece)
        return -1;
    piece->next = arena->pieces;
    arena->pieces = piece;
    arena->total_bytes += size;
    arena->at = piece->bytes;
    arena->left = size;
    return 0;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    const size_t align = alignof(max_align_t);

    if (bytes > SIZE_MAX - align)
        return NULL;
    bytes = (bytes + align - 1) / align * align;
    if ((!arena->pieces || bytes > arena->left) && add_piece(arena, bytes))
        return NULL;
    char *at = arena->at;
    arena->at += bytes;
    arena->left -= bytes;
    return at;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    return arena_alloc(arena, count * size);
}

char *arena_text(struct arena *arena, const char *text, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);

    if (copy)
        memcpy(copy, text, len);
    return copy;
}
