#include "proto/group.h"

#include "proto/group_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct codec *const group_codecs[CODEC_COUNT] = {
    [CODEC_ROWS] = &codec_rows,
    [CODEC_COLUMNAR] = &codec_columnar,
};

const char *codec_name(unsigned codec)
{
    return codec < CODEC_COUNT ? group_codecs[codec]->name : NULL;
}

int codec_from_name(const char *name)
{
    for (int i = 0; i < CODEC_COUNT; i++)
        if (!strcmp(name, group_codecs[i]->name))
            return i;
    return -EINVAL;
}

struct group_coder *group_coder_open(void)
{
    struct group_coder *coder = calloc(1, sizeof *coder);

    if (!coder)
        return NULL;
    /* Large buffers are touched only as far as groups are long. */
    coder->pack = zpack_open();
    coder->columnar = coder->pack ? columnar_open(coder->pack) : NULL;
    coder->offsets = malloc(sizeof *coder->offsets * ROWBUF_ROWS_MAX);
    static_assert(GROUP_RECORD_BYTES_MAX >= BLOCK_BYTES_MAX, "it holds a record or plain rows");
    coder->bytes = malloc(GROUP_RECORD_BYTES_MAX);
    if (!coder->columnar || !coder->offsets || !coder->bytes ||
        order_init(&coder->order) < 0) {
        group_coder_close(coder);
        return NULL;
    }
    return coder;
}

void group_coder_close(struct group_coder *coder)
{
    if (!coder)
        return;
    order_deinit(&coder->order);
    columnar_close(coder->columnar);
    zpack_close(coder->pack);
    free(coder->offsets);
    free(coder->bytes);
    free(coder);
}

int group_pick(const struct group_coder *coder, const uint8_t *base)
{
    int64_t least = 0;
    int pick = -1;

    for (int s = 0; s < coder->lane_count; s++) {
        const struct lane *lane = &coder->lanes[s];
        if (lane->next == lane->end)
            continue;
        int64_t stamp = plain_stamp(base + coder->offsets[lane->next]);
        if (pick < 0 || stamp < least) {
            pick = s;
            least = stamp;
        }
    }
    return pick;
}
