#include "triggers/graph.h"

#include "proto/hash.h"
#include "triggers/op.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_NODES_MAX 1024 /* more than one expression has operations */
#define RATE_MESSAGES_MAX 64

void graph_init(struct graph *graph, struct arena *arena)
{
    *graph = (struct graph){ .arena = arena };
}

void graph_deinit(struct graph *graph)
{
    free(graph->nodes);
    free(graph->signals);
    free(graph->buckets);
    *graph = (struct graph){ 0 };
}

/* --- hash-consing --------------------------------------------------------------------------- */

static uint64_t hash_node(const struct node *node)
{
    struct node plain;

    memset(&plain, 0, sizeof plain); /* padding too */
    plain.op = node->op;
    plain.type = node->type;
    memcpy(plain.child, node->child, sizeof plain.child);
    plain.signal = node->signal;
    plain.k0.u = node->k0.u;
    plain.k1.u = node->k1.u;
    return hash_xxh3(&plain, sizeof plain);
}

static bool same_node(const struct node *a, const struct node *b)
{
    return a->op == b->op && a->type == b->type && a->signal == b->signal &&
           memcmp(a->child, b->child, sizeof a->child) == 0 && a->k0.u == b->k0.u &&
           a->k1.u == b->k1.u;
}

static int grow_buckets(struct graph *graph)
{
    uint32_t count = graph->bucket_count ? graph->bucket_count * 2 : 1024;
    int32_t *buckets = malloc(count * sizeof *buckets);

    if (!buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        buckets[i] = NODE_NONE;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        uint32_t at = (uint32_t)hash_node(&graph->nodes[i]) & (count - 1);
        while (buckets[at] != NODE_NONE)
            at = (at + 1) & (count - 1);
        buckets[at] = (int32_t)i;
    }
    free(graph->buckets);
    graph->buckets = buckets;
    graph->bucket_count = count;
    return 0;
}

static int grow_nodes(struct graph *graph)
{
    uint32_t room = graph->node_room ? graph->node_room * 2 : 256;
    struct node *nodes = realloc(graph->nodes, room * sizeof *nodes);

    if (!nodes)
        return -ENOMEM;
    graph->nodes = nodes;
    graph->node_room = room;
    return 0;
}

/* A pulse is what is true in single steps only; `and` with one is one, `or` of two is one. */
static void mark_pulse(const struct graph *graph, struct node *node)
{
    const struct node *a = node->child[0] < 0 ? NULL : &graph->nodes[node->child[0]];
    const struct node *b = node->child[1] < 0 ? NULL : &graph->nodes[node->child[1]];
    const struct node *c = node->child[2] < 0 ? NULL : &graph->nodes[node->child[2]];
    uint8_t depth = a ? a->pulse_depth : 0;

    depth = b && b->pulse_depth > depth ? b->pulse_depth : depth;
    depth = c && c->pulse_depth > depth ? c->pulse_depth : depth;
    bool makes = node->op == NODE_RISE || node->op == NODE_FALL || node->op == NODE_CHANGED ||
                 op_is_pulse(node->op);
    if (b && op_is_pulse(node->op)) /* the edge of its last operand completes it, never the first's */
        depth = b->pulse_depth;
    node->pulse_depth = (uint8_t)(depth + makes);
    node->is_pulse = makes ||
        (node->op == NODE_AND && ((a && a->is_pulse) || (b && b->is_pulse))) ||
        (node->op == NODE_OR && a && a->is_pulse && b && b->is_pulse) ||
        ((node->op == NODE_MUST || node->op == NODE_MAYBE) && a && a->is_pulse);
}

int32_t graph_node(struct graph *graph, const struct node *node)
{
    if (graph->failed)
        return NODE_NONE;
    if (graph->node_count * 2 >= graph->bucket_count && grow_buckets(graph))
        graph->failed = true;
    if (graph->node_count == graph->node_room && grow_nodes(graph))
        graph->failed = true;
    if (graph->failed || graph->node_count == GRAPH_NODES_MAX) {
        graph->failed = true;
        return NODE_NONE;
    }
    uint32_t at = (uint32_t)hash_node(node) & (graph->bucket_count - 1);
    while (graph->buckets[at] != NODE_NONE) {
        if (same_node(&graph->nodes[graph->buckets[at]], node))
            return graph->buckets[at];
        at = (at + 1) & (graph->bucket_count - 1);
    }
    int32_t index = (int32_t)graph->node_count++;
    graph->nodes[index] = *node;
    mark_pulse(graph, &graph->nodes[index]);
    graph->buckets[at] = index;
    return index;
}

static bool same_signal(const struct graph_signal *a, const struct graph_signal *b)
{
    if (a->message != b->message || a->first != b->first || strcmp(a->bus, b->bus) != 0 ||
        a->address != b->address || a->max_age_ns != b->max_age_ns || a->has_valid != b->has_valid ||
        a->invalid_count != b->invalid_count)
        return false;
    if (a->has_valid &&
        (a->valid_low != b->valid_low || a->valid_high != b->valid_high ||
         double_bits(a->float_low) != double_bits(b->float_low) ||
         double_bits(a->float_high) != double_bits(b->float_high) ||
         a->float_open_low != b->float_open_low || a->float_open_high != b->float_open_high))
        return false;
    return !a->invalid_count ||
           memcmp(a->invalid, b->invalid, a->invalid_count * sizeof *a->invalid) == 0;
}

int32_t graph_signal(struct graph *graph, const struct graph_signal *signal)
{
    for (uint32_t i = 0; i < graph->signal_count; i++)
        if (same_signal(&graph->signals[i], signal))
            return (int32_t)i;
    if (graph->signal_count == graph->signal_room && graph->signal_count < GRAPH_SIGNALS_MAX) {
        uint32_t room = graph->signal_room ? graph->signal_room * 2 : 64;
        struct graph_signal *signals = realloc(graph->signals, room * sizeof *signals);
        if (signals) {
            graph->signals = signals;
            graph->signal_room = room;
        }
    }
    if (graph->signal_count == graph->signal_room) {
        graph->failed = true;
        return NODE_NONE;
    }
    graph->signals[graph->signal_count] = *signal;
    return (int32_t)graph->signal_count++;
}

int32_t graph_op(struct graph *graph, enum node_op op, enum node_type type, int32_t a, int32_t b,
                 int32_t c)
{
    struct node node = { .op = (uint8_t)op, .type = (uint8_t)type, .child = { a, b, c },
                         .signal = NODE_NONE };

    return graph_node(graph, &node);
}

int32_t graph_op_const(struct graph *graph, enum node_op op, enum node_type type, int32_t a,
                       union node_constant k0, union node_constant k1)
{
    struct node node = { .op = (uint8_t)op, .type = (uint8_t)type,
                         .child = { a, NODE_NONE, NODE_NONE }, .signal = NODE_NONE, .k0 = k0,
                         .k1 = k1 };

    return graph_node(graph, &node);
}

int32_t graph_leaf(struct graph *graph, enum node_op op, enum node_type type, int32_t signal,
                   union node_constant k0, union node_constant k1)
{
    struct node node = { .op = (uint8_t)op, .type = (uint8_t)type,
                         .child = { NODE_NONE, NODE_NONE, NODE_NONE }, .signal = signal, .k0 = k0,
                         .k1 = k1 };

    return graph_node(graph, &node);
}

/* --- what the engine needs ------------------------------------------------------------------ */

/* pairs of (from, to) as a table of ranges: begin[from]..begin[from + 1] in `list`. */
struct fan {
    uint32_t *begin, *list;
};

static void fan_count(struct fan *fan, uint32_t from)
{
    fan->begin[from + 1]++;
}

static int fan_sum(struct fan *fan, struct arena *arena, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        fan->begin[i + 1] += fan->begin[i];
    fan->list = arena_array(arena, fan->begin[count], sizeof *fan->list);
    return fan->list ? 0 : -ENOMEM;
}

static int finish_parents(struct graph *graph)
{
    struct fan fan = { .begin = arena_array(graph->arena, graph->node_count + 1, sizeof(uint32_t)) };
    uint32_t *fill = arena_array(graph->arena, graph->node_count + 1, sizeof *fill);

    if (!fan.begin || !fill)
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->node_count; i++)
        for (int c = 0; c < 3; c++)
            if (graph->nodes[i].child[c] >= 0)
                fan_count(&fan, (uint32_t)graph->nodes[i].child[c]);
    if (fan_sum(&fan, graph->arena, graph->node_count))
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->node_count; i++)
        for (int c = 0; c < 3; c++) {
            int32_t child = graph->nodes[i].child[c];
            if (child >= 0)
                fan.list[fan.begin[child] + fill[child]++] = i;
        }
    graph->parent_begin = fan.begin;
    graph->parents = fan.list;
    return 0;
}

static int finish_readers(struct graph *graph)
{
    struct fan fan = { .begin = arena_array(graph->arena, graph->signal_count + 1,
                                            sizeof(uint32_t)) };
    uint32_t *fill = arena_array(graph->arena, graph->signal_count + 1, sizeof *fill);

    if (!fan.begin || !fill)
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].signal >= 0)
            fan_count(&fan, (uint32_t)graph->nodes[i].signal);
    if (fan_sum(&fan, graph->arena, graph->signal_count))
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        int32_t signal = graph->nodes[i].signal;
        if (signal >= 0)
            fan.list[fan.begin[signal] + fill[signal]++] = i;
    }
    graph->reader_begin = fan.begin;
    graph->readers = fan.list;
    return 0;
}

/* Walks everything under a node that is told of samples: a sample of any signal there is a sample of its operand. An
 * AGE_OVER node has its own signal only. */
struct walk {
    uint32_t *node_stamp, *signal_stamp; /* root + 1 of the walk that was here */
    uint32_t *stack;
};

static void each_support(const struct graph *graph, struct walk *walk, uint32_t root,
                         struct fan *fan, uint32_t *fill)
{
    uint32_t depth = 0;

    walk->stack[depth++] = root;
    while (depth) {
        const struct node *node = &graph->nodes[walk->stack[--depth]];
        if (node->signal >= 0 && walk->signal_stamp[node->signal] != root + 1) {
            uint32_t s = (uint32_t)node->signal;
            walk->signal_stamp[s] = root + 1;
            if (fill)
                fan->list[fan->begin[s] + fill[s]++] = root;
            else
                fan_count(fan, s);
        }
        for (int c = 0; c < 3; c++) {
            int32_t child = node->child[c];
            if (child < 0 || walk->node_stamp[child] == root + 1)
                continue;
            walk->node_stamp[child] = root + 1;
            walk->stack[depth++] = (uint32_t)child;
        }
    }
}

static int finish_samplers(struct graph *graph)
{
    uint32_t nodes = graph->node_count, signals = graph->signal_count;
    struct fan fan = { .begin = arena_array(graph->arena, signals + 1, sizeof(uint32_t)) };
    uint32_t *fill = arena_array(graph->arena, signals + 1, sizeof *fill);
    struct walk walk = { arena_array(graph->arena, nodes + 1, sizeof(uint32_t)),
                         arena_array(graph->arena, signals + 1, sizeof(uint32_t)),
                         arena_array(graph->arena, nodes + 1, sizeof(uint32_t)) };

    if (!fan.begin || !fill || !walk.node_stamp || !walk.signal_stamp || !walk.stack)
        return -ENOMEM;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < nodes; i++)
            if (graph->nodes[i].op == NODE_PREV || graph->nodes[i].op == NODE_AGE_OVER ||
                op_takes_samples(graph->nodes[i].op))
                each_support(graph, &walk, i, &fan, pass ? fill : NULL);
        if (pass == 0 && fan_sum(&fan, graph->arena, signals))
            return -ENOMEM;
        memset(walk.node_stamp, 0, nodes * sizeof *walk.node_stamp);
        memset(walk.signal_stamp, 0, signals * sizeof *walk.signal_stamp);
    }
    graph->sampler_begin = fan.begin;
    graph->samplers = fan.list;
    return 0;
}

static uint32_t message_slot(struct graph *graph, const struct graph_signal *signal)
{
    for (uint32_t i = 0; i < graph->message_count; i++)
        if (graph->messages[i].message == signal->message &&
            graph->messages[i].address == signal->address && strcmp(graph->messages[i].bus, signal->bus) == 0)
            return i;
    graph->messages[graph->message_count] = (struct graph_message){
        .bus = signal->bus, .address = signal->address, .message = signal->message };
    return graph->message_count++;
}

static int finish_messages(struct graph *graph)
{
    uint32_t at = 0;

    graph->messages = arena_array(graph->arena, graph->signal_count, sizeof *graph->messages);
    graph->by_message = arena_array(graph->arena, graph->signal_count, sizeof *graph->by_message);
    if (!graph->messages || !graph->by_message)
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->signal_count; i++)
        graph->signals[i].message_slot = message_slot(graph, &graph->signals[i]);
    for (uint32_t m = 0; m < graph->message_count; m++) {
        graph->messages[m].first_signal = at;
        for (uint32_t i = 0; i < graph->signal_count; i++)
            if (graph->signals[i].message_slot == m)
                graph->by_message[at++] = i;
        graph->messages[m].signal_count = at - graph->messages[m].first_signal;
    }
    return 0;
}

uint64_t graph_rate_millihz(const struct graph *graph, int32_t root)
{
    const struct dbc_message *seen[RATE_MESSAGES_MAX];
    int32_t stack[RATE_NODES_MAX];
    uint32_t depth = 0, count = 0;
    uint64_t rate = 0;

    stack[depth++] = root;
    while (depth) {
        const struct node *node = &graph->nodes[stack[--depth]];
        for (int c = 0; c < 3; c++)
            if (node->child[c] >= 0 && depth < RATE_NODES_MAX)
                stack[depth++] = node->child[c];
        if (node->signal < 0)
            continue;
        const struct graph_signal *s = &graph->signals[node->signal];
        uint32_t i = 0;
        while (i < count && seen[i] != s->message)
            i++;
        if (i < count || count == RATE_MESSAGES_MAX)
            continue;
        seen[count++] = s->message;
        rate += s->message->cycle_ms ? UINT64_C(1000000) / s->message->cycle_ms
            : s->max_age_ns ? UINT64_C(3000000000000) / (uint64_t)s->max_age_ns : 100000;
    }
    return rate;
}

/* --- canonical text ------------------------------------------------------------------------- */

void canonical_put(struct canonical *c, const char *format, ...)
{
    va_list args;
    size_t left = c->text && c->len < c->size ? c->size - c->len : 0;

    va_start(args, format);
    int len = vsnprintf(left ? c->text + c->len : NULL, left, format, args);
    va_end(args);
    c->len += (size_t)(len < 0 ? 0 : len);
}

static void put_layout(struct canonical *c, const struct dbc_message *message,
                       const struct dbc_signal *signal)
{
    const struct decode_layout *l = &signal->layout;

    canonical_put(c, " {%u %u %s %d %.17g %.17g", l->start, l->bits, l->big_endian ? "be" : "le",
                  (int)l->kind, l->factor, l->offset);
    for (int depth = 0; signal->multiplexor != DBC_NONE && depth < DBC_MUX_DEPTH_MAX; depth++) {
        const struct dbc_signal *mux = &message->signals[signal->multiplexor];
        canonical_put(c, " mux %u %u %s", mux->layout.start, mux->layout.bits,
                      mux->layout.big_endian ? "be" : "le");
        for (uint32_t i = 0; i < signal->range_count; i++)
            canonical_put(c, " %llu-%llu", (unsigned long long)signal->ranges[i].first,
                          (unsigned long long)signal->ranges[i].last);
        signal = mux;
    }
    canonical_put(c, "}");
}

static void put_signal(struct canonical *c, const struct graph_signal *s)
{
    const struct dbc_signal *branch = s->first;

    canonical_put(c, "bus '%s' id %x%s%s", s->bus, s->message->id,
                  s->message->is_extended ? " extended" : "",
                  s->message->is_j1939 ? (s->message->any_source ? " pgn" : " pgn+source") : "");
    if (s->address != DBSET_ANY_ADDRESS)
        canonical_put(c, " address %x", (unsigned)s->address);
    for (;;) {
        put_layout(c, s->message, branch);
        if (branch->same_name == DBC_NONE)
            break;
        branch = &s->message->signals[branch->same_name];
    }
    canonical_put(c, " max_age %lld", (long long)s->max_age_ns);
    if (s->has_valid)
        canonical_put(c, " valid %llx %llx %.17g%s %.17g%s", (unsigned long long)s->valid_low,
                      (unsigned long long)s->valid_high, s->float_low,
                      s->float_open_low ? " open" : "", s->float_high,
                      s->float_open_high ? " open" : "");
    for (uint32_t i = 0; i < s->invalid_count; i++)
        canonical_put(c, " invalid %lld", (long long)s->invalid[i]);
}

static void put_node(struct canonical *c, const struct graph *graph, int32_t index)
{
    const struct node *node = &graph->nodes[index];

    if (node->signal >= 0 && c->signal_numbers[node->signal] < 0) {
        c->signal_order[c->signal_count] = node->signal;
        c->signal_numbers[node->signal] = c->signal_count++;
        canonical_put(c, "signal %d ", c->signal_numbers[node->signal]);
        put_signal(c, &graph->signals[node->signal]);
        canonical_put(c, "\n");
    }
    c->order[c->count] = index;
    c->numbers[index] = c->count++;
    canonical_put(c, "node %d op %u type %u", c->numbers[index], node->op, node->type);
    for (int i = 0; i < 3 && node->child[i] >= 0; i++)
        canonical_put(c, " n%d", c->numbers[node->child[i]]);
    if (node->signal >= 0)
        canonical_put(c, " s%d", c->signal_numbers[node->signal]);
    canonical_put(c, " %llx %llx\n", (unsigned long long)node->k0.u,
                  (unsigned long long)node->k1.u);
}

int32_t canonical_node(struct canonical *c, const struct graph *graph, int32_t root)
{
    uint32_t depth = 0;

    if (c->numbers[root] >= 0)
        return c->numbers[root];
    /* A node stays on the stack until its operands are numbered; -2 marks it as waiting, so each
     * is pushed once and the stack never exceeds the number of nodes. */
    c->stack[depth++] = root;
    c->numbers[root] = -2;
    while (depth) {
        int32_t at = c->stack[depth - 1], next = NODE_NONE;
        for (int i = 0; i < 3 && next == NODE_NONE; i++) {
            int32_t child = graph->nodes[at].child[i];
            if (child >= 0 && c->numbers[child] == -1)
                next = child;
        }
        if (next != NODE_NONE) {
            c->numbers[next] = -2;
            c->stack[depth++] = next;
        } else {
            put_node(c, graph, at);
            depth--;
        }
    }
    return c->numbers[root];
}

static int finish_hashes(struct graph *graph)
{
    char text[4096];

    graph->node_hash = arena_array(graph->arena, graph->node_count, sizeof *graph->node_hash);
    graph->signal_hash = arena_array(graph->arena, graph->signal_count,
                                     sizeof *graph->signal_hash);
    if (!graph->node_hash || !graph->signal_hash)
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->signal_count; i++) {
        struct canonical c = { .text = text, .size = sizeof text };
        put_signal(&c, &graph->signals[i]);
        graph->signal_hash[i] = hash_xxh3(text, c.len < sizeof text ? c.len : sizeof text - 1);
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        uint64_t parts[7] = { (uint64_t)node->op << 8 | node->type, node->k0.u, node->k1.u,
                              node->signal < 0 ? 0 : graph->signal_hash[node->signal] };
        for (int c = 0; c < 3; c++)
            parts[4 + c] = node->child[c] < 0 ? 0 : graph->node_hash[node->child[c]];
        graph->node_hash[i] = hash_xxh3(parts, sizeof parts);
        if (node->pulse_depth > graph->pulse_depth)
            graph->pulse_depth = node->pulse_depth;
    }
    return 0;
}

int graph_finish(struct graph *graph)
{
    if (graph->failed || finish_parents(graph) || finish_readers(graph) ||
        finish_samplers(graph) || finish_messages(graph) || finish_hashes(graph))
        return -ENOMEM;
    return 0;
}
