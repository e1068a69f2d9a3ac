/* The columnar codec: what repeats is put side by side, and one zstd frame takes it.
 *
 * A *key* is all of a row but stamp and data: id, flags, len, dlc. Rows of a key share columns.
 *  - Order is coded, not implied: each row says its rank among the recent successors of the row
 *    before it (successors below). Ranks stand grouped by the key of the row before, so that the
 *    habit of one key is one run of equal bytes. Equal and backward stamps therefore cost nothing.
 *  - Stamps are gaps to the row before, in units of their common divisor, zig-zag, split in byte
 *    planes, grouped by (key before, which successor): a pair of ids has its own typical gap.
 *  - Data bytes are differences to the row before of that key, a column a byte place. Constant
 *    columns are a bit in a mask. Columns without a favourite difference ("noise") stand apart.
 * Each kind is a part of its own (zpack), so that each gets its own entropy table: measured on the
 * RAV4 drive 2.99 B/frame against 3.27 for the same bytes in one run. docs/FORMAT.md section 5.
 *
 * Decoding checks every count and index before use; sizes come from the bytes that are there. */
#include "proto/columnar.h"

#include <stdlib.h>

struct columnar *columnar_open(struct zpack *pack)
{
    /* Pages are only touched as far as blocks are long. */
    struct columnar *c = malloc(sizeof *c);

    if (c)
        c->pack = pack;
    return c;
}

void columnar_close(struct columnar *columnar) { free(columnar); }

unsigned successors_rank(const struct successors *s, uint16_t key)
{
    unsigned rank = 0;

    while (rank < s->count && s->key[rank] != key)
        rank++;
    return rank < s->count ? rank : RANKS;
}

static void successors_front(struct successors *s, unsigned rank, uint16_t key, uint8_t slot)
{
    for (unsigned i = rank; i > 0; i--) {
        s->key[i] = s->key[i - 1];
        s->slot[i] = s->slot[i - 1];
    }
    s->key[0] = key;
    s->slot[0] = slot;
}

unsigned successors_step(struct successors *s, unsigned rank, uint16_t key)
{
    if (rank < RANKS) {
        uint8_t slot = s->slot[rank];
        if (rank)
            successors_front(s, rank, key, slot);
        return slot;
    }
    uint8_t slot = s->count < RANKS ? s->count++ : s->slot[RANKS - 1];
    successors_front(s, s->count - 1u, key, slot);
    return RANKS;
}

void columnar_place(struct columnar *c, uint32_t rows)
{
    uint32_t start = 0;

    for (uint32_t k = 0; k < c->key_count; k++) {
        c->keys[k].start = start;
        c->keys[k].used = 0;
        start += c->keys[k].rows;
    }
    memset(c->columns, 0, sizeof *c->columns * COLUMNS * c->key_count);
    for (uint32_t i = 1; i < rows; i++)
        c->columns[c->row_column[i]]++;
    start = 0;
    for (uint32_t i = 0; i < c->key_count * COLUMNS; i++) {
        uint32_t count = c->columns[i];
        c->columns[i] = start;
        start += count;
    }
}

const struct codec codec_columnar = { "columnar", columnar_encode, columnar_decode };
