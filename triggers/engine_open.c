/* What an engine allocates, once. */
#include "triggers/engine_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- opening -------------------------------------------------------------------------------- */

static void *room(size_t count, size_t size)
{
    return calloc(count ? count : 1, size);
}

static int open_graph(struct engine *e)
{
    const struct graph *g = e->graph;
    size_t nodes = g->node_count;

    for (uint32_t i = 0; i < nodes; i++) {
        uint8_t op = g->nodes[i].op;
        e->age_count += op == NODE_AGE_OVER;
        e->memory_count += op >= NODE_RISE && op <= NODE_PREV;
        e->op_count += op >= NODE_HELD;
    }
    e->dirty_words = (uint32_t)(nodes + 63) / 64;
    e->map_words = (e->dirty_words + 63) / 64;
    e->cells = room(nodes, sizeof *e->cells);
    e->slots = room(g->signal_count, sizeof *e->slots);
    e->memories = room(e->memory_count, sizeof *e->memories);
    e->memory_of = room(nodes, sizeof *e->memory_of);
    e->is_over = room(nodes, sizeof *e->is_over);
    e->is_sampled = room(nodes, sizeof *e->is_sampled);
    e->age_nodes = room(e->age_count, sizeof *e->age_nodes);
    e->age_slot = room(nodes, sizeof *e->age_slot);
    e->dirty = room(e->dirty_words, sizeof *e->dirty);
    e->dirty_map = room(e->map_words, sizeof *e->dirty_map);
    e->pulses = room(e->memory_count + e->op_count, sizeof *e->pulses);
    if (!e->cells || !e->slots || !e->memories || !e->memory_of || !e->is_over || !e->is_sampled ||
        !e->age_nodes || !e->age_slot || !e->dirty || !e->dirty_map || !e->pulses)
        return -ENOMEM;
    uint32_t ages = 0, memories = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        uint8_t op = g->nodes[i].op;
        e->cells[i].v = LOGIC_U;
        e->age_slot[i] = e->memory_of[i] = -1;
        if (op == NODE_AGE_OVER) {
            e->age_slot[i] = (int32_t)ages;
            e->age_nodes[ages++] = i;
        } else if (op >= NODE_RISE && op <= NODE_PREV) {
            e->memory_of[i] = (int32_t)memories++;
        }
    }
    return 0;
}

/* The operators with memory: one block for the states of all. */
static int open_ops(struct engine *e)
{
    const struct graph *g = e->graph;
    uint32_t slot = 0;
    size_t bytes = 0;

    for (uint32_t i = 0; i < g->node_count; i++)
        bytes += op_size(&g->nodes[i]);
    e->op_states = room(g->node_count, sizeof *e->op_states);
    e->op_slot = room(g->node_count, sizeof *e->op_slot);
    e->op_nodes = room(e->op_count, sizeof *e->op_nodes);
    e->op_memory = room(bytes, 1);
    if (!e->op_states || !e->op_slot || !e->op_nodes || !e->op_memory)
        return -ENOMEM;
    uint8_t *at = e->op_memory;
    for (uint32_t i = 0; i < g->node_count; i++) {
        e->op_slot[i] = -1;
        if (g->nodes[i].op < NODE_HELD)
            continue;
        e->op_states[i] = (struct op_state *)(void *)at;
        at += op_size(&g->nodes[i]);
        e->op_slot[i] = (int32_t)slot;
        e->op_nodes[slot++] = i;
        op_reset(e, i);
    }
    return 0;
}

static int open_messages(struct engine *e, const struct dbset *dbset)
{
    const struct graph *g = e->graph;

    e->routes = room(SOURCES_MAX, sizeof *e->routes);
    e->cache = room(CACHE_SLOTS, sizeof *e->cache);
    e->next_message = room(g->message_count, sizeof *e->next_message);
    e->serves = room((size_t)g->message_count * SOURCES_MAX, sizeof *e->serves);
    if (!e->routes || !e->cache || !e->next_message || !e->serves)
        return -ENOMEM;
    for (uint32_t s = 0; s < e->sources.count && dbset; s++)
        dbset_route_init(&e->routes[s], dbset, e->sources.items[s].name);
    for (uint32_t m = 0; m < g->message_count; m++) {
        e->next_message[m] = NONE_MESSAGE;
        for (uint32_t k = m + 1; k < g->message_count; k++)
            if (g->messages[k].message == g->messages[m].message) {
                e->next_message[m] = (int32_t)k;
                break;
            }
        for (uint32_t s = 0; s < e->sources.count; s++)
            e->serves[m * SOURCES_MAX + s] = !g->messages[m].bus[0] ||
                strcmp(g->messages[m].bus, e->sources.items[s].name) == 0;
    }
    return 0;
}

static int add_life(struct engine *e, uint32_t rule, int32_t root, enum rule_edge edge,
                    int32_t *ret_life)
{
    struct life *l = &e->lives[e->life_count];

    l->rule = rule;
    l->root = root;
    l->edge = (uint8_t)edge;
    l->state = (struct life_state){ .root = LOGIC_U, .armed = LOGIC_U, .end_ns = -1,
                                    .cooldown_until_ns = INT64_MIN, .timer_ns = TIMER_NEVER };
    l->journal = room(ENGINE_JOURNAL, sizeof *l->journal);
    *ret_life = (int32_t)e->life_count++;
    return l->journal ? 0 : -ENOMEM;
}

static int open_rule(struct engine *e, uint32_t index)
{
    const struct rule *rule = &e->ruleset->rules[index];
    const struct program_rule *p = &e->ruleset->program[index];
    struct rule_run *run = &e->runs[index];

    run->life = run->falling = -1;
    run->fires_room = FIRES_KEPT_MIN;
    if (rule->per_hour > run->fires_room)
        run->fires_room = rule->per_hour;
    if (rule->per_day > run->fires_room)
        run->fires_room = rule->per_day;
    run->fires = room(run->fires_room, sizeof *run->fires);
    run->attach = room((size_t)rule->attach_count * engine_attach_sets(e->graph),
                       sizeof *run->attach);
    if (!run->fires || !run->attach)
        return -ENOMEM;
    if (!rule->enabled)
        return 0;
    enum rule_edge edge = rule->trigger == TRIGGER_LEVEL ? EDGE_LEVEL
        : rule->trigger == TRIGGER_FALLING ? EDGE_FALLING : EDGE_RISING;
    int rc = add_life(e, index, p->root, edge, &run->life);
    if (!rc && p->falling != NODE_NONE)
        rc = add_life(e, index, p->falling, EDGE_FALLING, &run->falling);
    return rc;
}

/* Which lives a node is the root of. */
static int open_roots(struct engine *e)
{
    uint32_t nodes = e->graph->node_count;

    e->root_begin = room((size_t)nodes + 1, sizeof *e->root_begin);
    e->root_lives = room(e->life_count, sizeof *e->root_lives);
    uint32_t *fill = room((size_t)nodes + 1, sizeof *fill);
    if (!e->root_begin || !e->root_lives || !fill) {
        free(fill);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < e->life_count; i++)
        e->root_begin[e->lives[i].root + 1]++;
    for (uint32_t i = 0; i < nodes; i++)
        e->root_begin[i + 1] += e->root_begin[i];
    for (uint32_t i = 0; i < e->life_count; i++) {
        int32_t root = e->lives[i].root;
        e->root_lives[e->root_begin[root] + fill[root]++] = i;
    }
    free(fill);
    return 0;
}

static int open_rules(struct engine *e)
{
    uint32_t count = e->ruleset->count;

    e->runs = room(count, sizeof *e->runs);
    e->lives = room((size_t)count * 2, sizeof *e->lives);
    if (!e->runs || !e->lives)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (open_rule(e, i))
            return -ENOMEM;
    e->touched_words = (e->life_count + 63) / 64;
    e->touched = room(e->touched_words, sizeof *e->touched);
    /* FIRE, END and CLOSED of each pass over the graph; twice for what a discontinuity adds. */
    e->event_room = e->life_count * 6 * (e->graph->pulse_depth + 2) + 16;
    e->events = room(e->event_room, sizeof *e->events);
    if (!e->touched || !e->events)
        return -ENOMEM;
    return open_roots(e);
}

int engine_open(const struct engine_config *config, struct engine **ret_engine)
{
    if (!config->ruleset || !config->sources || config->sources->count > SOURCES_MAX)
        return -EINVAL;
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    e->ruleset = config->ruleset;
    e->graph = &config->ruleset->graph;
    e->sources = *config->sources;
    if (open_graph(e) || open_ops(e) || open_messages(e, config->ruleset->dbset) || open_rules(e) ||
        timers_init(&e->timers, engine_op_slot(e, e->op_count))) {
        engine_close(e);
        return -ENOMEM;
    }
    *ret_engine = e;
    return 0;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    for (uint32_t i = 0; i < e->life_count; i++)
        free(e->lives[i].journal);
    for (uint32_t i = 0; e->runs && i < e->ruleset->count; i++) {
        free(e->runs[i].fires);
        free(e->runs[i].attach);
    }
    timers_deinit(&e->timers);
    free(e->routes);
    free(e->cells);
    free(e->slots);
    free(e->memories);
    free(e->memory_of);
    free(e->is_over);
    free(e->is_sampled);
    free(e->op_states);
    free(e->op_slot);
    free(e->op_nodes);
    free(e->op_memory);
    free(e->age_nodes);
    free(e->age_slot);
    free(e->dirty);
    free(e->dirty_map);
    free(e->pulses);
    free(e->root_begin);
    free(e->root_lives);
    free(e->touched);
    free(e->lives);
    free(e->runs);
    free(e->cache);
    free(e->next_message);
    free(e->serves);
    free(e->events);
    free(e);
}

struct ruleset_size ruleset_size(const struct ruleset *set)
{
    const struct graph *g = &set->graph;
    struct ruleset_size size = { .rules = set->count, .nodes = g->node_count,
                                 .signals = g->signal_count, .messages = g->message_count };
    size_t bytes = sizeof(struct engine) + CACHE_SLOTS * sizeof(struct cache_entry) +
                   SOURCES_MAX * sizeof(struct dbset_route);

    for (uint32_t i = 0; i < g->node_count; i++) {
        uint8_t op = g->nodes[i].op;
        bytes += sizeof(struct cell) + 2 + 4 * sizeof(uint32_t) + 1;
        bytes += op >= NODE_RISE && op <= NODE_PREV ? sizeof(struct memory) : 0;
        bytes += sizeof(struct op_state *) + sizeof(int32_t) + op_size(&g->nodes[i]);
    }
    bytes += g->signal_count * (sizeof(struct signal_slot) + 16);
    bytes += g->message_count * (SOURCES_MAX + sizeof(int32_t));
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t lives = set->rules[i].trigger == TRIGGER_BOTH ? 2 : 1;
        uint32_t fires = set->rules[i].per_hour > set->rules[i].per_day ? set->rules[i].per_hour
                                                                        : set->rules[i].per_day;
        bytes += sizeof(struct rule_run) +
                 (fires > FIRES_KEPT_MIN ? fires : FIRES_KEPT_MIN) * sizeof(int64_t);
        bytes += set->rules[i].attach_count * engine_attach_sets(g) * sizeof(struct rule_value);
        bytes += lives * (sizeof(struct life) + ENGINE_JOURNAL * sizeof(struct journal_entry) +
                          6 * (g->pulse_depth + 2) * sizeof(struct rule_event));
    }
    size.engine_bytes = bytes;
    return size;
}
