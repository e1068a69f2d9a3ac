/* arena - memory that is filled while something is loaded and freed at once.
 * Pointers stay valid until arena_deinit. Single thread. The bound comes with arena_init, so that a
 * hostile file cannot balloon the process. */
#ifndef PROTO_ARENA_H
#define PROTO_ARENA_H
#include <stddef.h>

struct arena_piece; /* private */

struct arena { /* the caller owns the storage; the fields are private */
    struct arena_piece *pieces;
    size_t left, total_bytes, limit_bytes;
    char *at;
};

/* Allocates nothing yet. */
void arena_init(struct arena *arena, size_t limit_bytes);
/* A zero-initialised arena is allowed. */
void arena_deinit(struct arena *arena);

/* Zeroed memory, aligned for any type; NULL beyond the limit or when memory is short. Zero bytes
 * give a pointer too. */
void *arena_alloc(struct arena *arena, size_t bytes);
/* `count` elements of `size` bytes; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* Copies text[0..len) and adds a NUL. */
char *arena_text(struct arena *arena, const char *text, size_t len);

#endif
