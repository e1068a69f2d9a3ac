/* columnar - the working memory and the model of the columnar codec, shared by its encoder and
 * decoder and by nobody else. What the codec does: proto/columnar.c. */
#ifndef PROTO_COLUMNAR_H
#define PROTO_COLUMNAR_H
#include "proto/codec.h"

#define KEYS_MAX 8192
#define RANKS 8             /* successors remembered of each key */
#define RANK_ESCAPE 8       /* a known key that is not among them: its index follows */
#define RANK_NEW 9          /* the next key that has not been seen */
#define COLUMNS (RANKS + 1) /* gap columns of a key: one a successor slot, one for the rest */
#define PLANES 8
#define HEAD_BYTES 16
#define KEY_BYTES 10 /* id 4, flags 1, len 1, dlc 1, rows 3 */
#define TABLE_BYTES_MAX (HEAD_BYTES + KEYS_MAX * (KEY_BYTES + FRAME_DATA_MAX + FRAME_DATA_MAX / 4))
#define HASH_SIZE 32768 /* a power of two above 2 * KEYS_MAX */
#define NOISE_ROWS_MIN 16

/* Most recent first. A slot stays with a key for as long as the key is listed, so that its gaps
 * stay in one column while its rank moves. */
struct successors {
    uint16_t key[RANKS];
    uint8_t slot[RANKS];
    uint8_t count;
};

struct key {
    uint64_t word; /* id, flags, len, dlc */
    uint32_t rows;
    uint32_t start; /* of its rows in `sorted`, and of its ranks */
    uint32_t used;
    uint8_t first[FRAME_DATA_MAX];
    uint8_t changing[FRAME_DATA_MAX / 8], noisy[FRAME_DATA_MAX / 8]; /* bit b: byte place b */
};

struct columnar {
    struct zpack *pack;
    struct key keys[KEYS_MAX];
    struct successors successors[KEYS_MAX];
    uint32_t columns[KEYS_MAX * COLUMNS]; /* rows, then write place, of each gap column */
    uint16_t hash[HASH_SIZE];             /* key index + 1 */
    uint32_t key_count, escape_count;
    uint64_t unit;
    uint32_t planes;
    uint16_t row_key[BLOCK_ROWS_MAX];
    uint8_t row_rank[BLOCK_ROWS_MAX];
    uint32_t row_column[BLOCK_ROWS_MAX];
    uint32_t sorted[BLOCK_ROWS_MAX]; /* row places grouped by key */
    uint8_t escapes[2 * BLOCK_ROWS_MAX];
    uint8_t ranks[BLOCK_ROWS_MAX];
    uint8_t gaps[PLANES][BLOCK_ROWS_MAX];
    uint8_t table[TABLE_BYTES_MAX];
    uint8_t calm[BLOCK_BYTES_MAX];  /* encode: columns; decode: the unpacked body */
    uint8_t noise[BLOCK_BYTES_MAX];
};

static inline bool mask_bit(const uint8_t *mask, unsigned at)
{
    return mask[at / 8] >> (at % 8) & 1;
}

static inline uint8_t key_len(const struct key *key) { return (uint8_t)(key->word >> 40); }

/* The rank of `key` after `s`, or RANKS. */
unsigned successors_rank(const struct successors *s, uint16_t key);

/* Moves the successor at `rank` to the front, or lists `key` there when rank is RANKS (the oldest
 * one gives up its slot). Returns the gap column: the slot that was hit, or RANKS on a miss. */
unsigned successors_step(struct successors *s, unsigned rank, uint16_t key);

/* From the rows of each key and row_column: where the rows of each key start, and where the gaps of
 * each column do. */
void columnar_place(struct columnar *c, uint32_t rows);

/* The two functions of struct codec. */
int64_t columnar_encode(void *context, const struct codec_rows *rows, uint8_t *out, size_t size);
int64_t columnar_decode(void *context, const struct codec_block *block, uint8_t *out, size_t size,
                        uint32_t *offsets, struct err *err);

#endif
