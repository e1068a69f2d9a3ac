#include "proto/dbc_build.h"
#include "proto/dbc_index.h"
#include "proto/j1939.h"

#include <errno.h>
#include <string.h>

#define ANY_SOURCE UINT32_C(0x80000000) /* in a PGN key: any source address */

/* A message that pins its source has a key with the address, one that does not has none. */
static uint32_t pgn_key(uint32_t id, bool any_source)
{
    uint32_t pgn = j1939_pgn(id);

    return any_source ? pgn | ANY_SOURCE : pgn << 8 | j1939_source(id);
}

/* Positions among the signals that stay; DBC_NONE for those that do not. */
static void remap(const struct build_signal *signals, uint32_t count, int32_t *ret_map)
{
    int32_t next = 0;

    for (uint32_t i = 0; i < count; i++)
        ret_map[i] = signals[i].refused ? DBC_NONE : next++;
}

static uint32_t copy_signals(const struct build_signal *signals, uint32_t count,
                             const int32_t *map, struct dbc_signal *to)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (signals[i].refused)
            continue;
        struct dbc_signal *signal = &to[used++];
        *signal = signals[i].s;
        if (signal->multiplexor != DBC_NONE)
            signal->multiplexor = map[signal->multiplexor];
        int32_t next = signal->same_name;
        while (next != DBC_NONE && map[next] == DBC_NONE)
            next = signals[next].s.same_name;
        signal->same_name = next == DBC_NONE ? DBC_NONE : map[next];
    }
    return used;
}

static bool copy_message(struct dbc_build *b, struct build_message *from, struct dbc_message *to)
{
    uint32_t count = from->m.signal_count;
    int32_t *map = arena_alloc(&b->arena, count * sizeof *map);
    struct dbc_signal *signals = arena_alloc(&b->arena, count * sizeof *signals);

    if (!map || !signals)
        return false;
    remap(build_signals(b, from), count, map);
    *to = from->m;
    to->signals = signals;
    to->signal_count = copy_signals(build_signals(b, from), count, map, signals);
    return true;
}

static bool copy_messages(struct dbc_build *b, struct dbc *dbc)
{
    struct dbc_message *messages = arena_alloc(&b->arena, b->message_count * sizeof *messages);

    if (!messages)
        return false;
    for (uint32_t i = 0; i < b->message_count; i++) {
        if (b->messages[i].refused)
            continue;
        struct dbc_message *message = &messages[dbc->message_count++];
        if (!copy_message(b, &b->messages[i], message))
            return false;
        dbc->signal_count += message->signal_count;
    }
    dbc->messages = messages;
    return true;
}

static bool copy_refused(struct dbc_build *b, struct dbc *dbc)
{
    size_t bytes = b->refused_count * sizeof *b->refused;
    struct dbc_refused *refused = arena_alloc(&b->arena, bytes);

    if (!refused)
        return false;
    if (bytes)
        memcpy(refused, b->refused, bytes);
    dbc->refused = refused;
    dbc->refused_count = b->refused_count;
    return true;
}

static void index_message(struct dbc_index *index, const struct dbc *dbc, uint32_t i)
{
    const struct dbc_message *message = &dbc->messages[i];

    if (message->is_extended)
        (void)dbc_ids_put(&index->extended, message->id, i);
    else
        index->standard[message->id] = i + 1;
    if (message->is_j1939)
        (void)dbc_ids_put(&index->pgns, pgn_key(message->id, message->any_source), i);
    (void)dbc_names_put(&index->names, DBC_SCOPE_MESSAGES, message->name, i);
    for (uint32_t k = 0; k < message->signal_count; k++)
        (void)dbc_names_put(&index->names, i, message->signals[k].name, k);
}

/* After all long names, so that a short name never hides one. */
static void index_short_names(struct dbc_index *index, const struct dbc *dbc, uint32_t i)
{
    const struct dbc_message *message = &dbc->messages[i];

    (void)dbc_names_put(&index->names, DBC_SCOPE_MESSAGES, message->short_name, i);
    for (uint32_t k = 0; k < message->signal_count; k++)
        (void)dbc_names_put(&index->names, i, message->signals[k].short_name, k);
}

static bool make_index(struct dbc_build *b, struct dbc *dbc)
{
    struct dbc_index *index = arena_alloc(&b->arena, sizeof *index);

    if (!index || dbc_ids_init(&index->extended, &b->arena, dbc->message_count) != 0 ||
        dbc_ids_init(&index->pgns, &b->arena, dbc->message_count) != 0 ||
        dbc_names_init(&index->names, &b->arena,
                       2 * (dbc->message_count + dbc->signal_count)) != 0)
        return false;
    for (uint32_t i = 0; i < dbc->message_count; i++)
        index_message(index, dbc, i);
    for (uint32_t i = 0; i < dbc->message_count; i++)
        index_short_names(index, dbc, i);
    dbc->index = index;
    return true;
}

int dbc_index_build(struct dbc_build *b, struct dbc **ret_dbc)
{
    struct dbc *dbc = arena_alloc(&b->arena, sizeof *dbc);

    if (!dbc)
        return -ENOMEM;
    dbc->name = arena_text(&b->arena, b->name, strlen(b->name));
    if (!dbc->name || !copy_messages(b, dbc) || !copy_refused(b, dbc) || !make_index(b, dbc))
        return -ENOMEM;
    dbc->arena = b->arena; /* after the last allocation */
    *ret_dbc = dbc;
    return 0;
}

static const struct dbc_message *at(const struct dbc *dbc, uint32_t number)
{
    return number == DBC_NAME_UNKNOWN ? NULL : &dbc->messages[number];
}

const struct dbc_message *dbc_find(const struct dbc *dbc, uint32_t id, bool extended)
{
    const struct dbc_index *index = dbc->index;

    if (!extended) {
        uint32_t number = id < DBC_STANDARD_IDS ? index->standard[id] : 0;
        return number ? &dbc->messages[number - 1] : NULL;
    }
    uint32_t number = dbc_ids_find(&index->extended, id);
    if (number == DBC_NAME_UNKNOWN)
        number = dbc_ids_find(&index->pgns, pgn_key(id, false));
    if (number == DBC_NAME_UNKNOWN)
        number = dbc_ids_find(&index->pgns, pgn_key(id, true));
    return at(dbc, number);
}

const struct dbc_message *dbc_message_by_name(const struct dbc *dbc, const char *name)
{
    return at(dbc, dbc_names_find(&dbc->index->names, DBC_SCOPE_MESSAGES, name));
}

const struct dbc_signal *dbc_signal_by_name(const struct dbc *dbc,
                                            const struct dbc_message *message, const char *name)
{
    uint32_t scope = (uint32_t)(message - dbc->messages);
    uint32_t number = dbc_names_find(&dbc->index->names, scope, name);

    return number == DBC_NAME_UNKNOWN ? NULL : &message->signals[number];
}
