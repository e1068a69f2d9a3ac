#include "storage/statelog.h"

#include "proto/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_HEAD 20

void statelog_init(struct statelog *log) { memset(log, 0, sizeof *log); }

void statelog_deinit(struct statelog *log)
{
    free(log->bytes);
    free(log->state);
    statelog_init(log);
}

void statelog_clear(struct statelog *log)
{
    log->size = 0;
    log->state_size = 0;
}

static int reserve(uint8_t **bytes, size_t *room, size_t need)
{
    size_t grown = *room ? *room : 4096;

    if (need <= *room)
        return 0;
    while (grown < need)
        grown *= 2;
    uint8_t *moved = realloc(*bytes, grown);
    if (!moved)
        return -ENOMEM;
    *bytes = moved;
    *room = grown;
    return 0;
}

static void append(struct statelog *log, int64_t at_ns, const uint8_t *state, size_t size,
                   size_t head, size_t tail)
{
    uint8_t *at = log->bytes + log->size;
    size_t changed = size - head - tail;

    store_le64(at, (uint64_t)at_ns);
    store_le32(at + 8, (uint32_t)size);
    store_le32(at + 12, (uint32_t)head);
    store_le32(at + 16, (uint32_t)tail);
    if (changed)
        memcpy(at + ENTRY_HEAD, state + head, changed);
    log->size += ENTRY_HEAD + changed;
}

int statelog_put(struct statelog *log, int64_t at_ns, const uint8_t *state, size_t size)
{
    size_t head = 0, tail = 0, least = size < log->state_size ? size : log->state_size;

    while (head < least && state[head] == log->state[head])
        head++;
    while (tail < least - head && state[size - 1 - tail] == log->state[log->state_size - 1 - tail])
        tail++;
    size_t need = log->size + ENTRY_HEAD + size - head - tail;
    if (need > STATELOG_BYTES_MAX)
        return -ENOBUFS;
    int rc = reserve(&log->state, &log->state_room, size);
    if (!rc)
        rc = reserve(&log->bytes, &log->room, need);
    if (rc)
        return rc;
    append(log, at_ns, state, size, head, tail);
    if (size)
        memcpy(log->state, state, size);
    log->state_size = size;
    return 0;
}

int statelog_find(const uint8_t *text, size_t text_size, int64_t from_ns, int64_t *ret_at_ns,
                  uint8_t *ret_state, size_t room, size_t *ret_size)
{
    struct bytes_reader reader = bytes_reader_init(text, text_size);
    size_t size = 0;

    while (bytes_left(&reader)) {
        int64_t at_ns = (int64_t)bytes_u64(&reader);
        size_t next = bytes_u32(&reader), head = bytes_u32(&reader), tail = bytes_u32(&reader);

        if (reader.failed || head > next || tail > next - head || head > size || tail > size - head)
            return -EBADMSG;
        const uint8_t *changed = bytes_take(&reader, next - head - tail);
        if (reader.failed)
            return -EBADMSG;
        if (next > room)
            return -ENOBUFS;
        memmove(ret_state + next - tail, ret_state + size - tail, tail);
        memcpy(ret_state + head, changed, next - head - tail);
        size = next;
        if (at_ns >= from_ns) {
            *ret_at_ns = at_ns;
            *ret_size = size;
            return 1;
        }
    }
    return 0;
}
