/* engine_private - what the files of the engine share: engine.c (steps, signals, timers),
 * engine_eval.c (the graph), op*.c (operators with memory), life.c (the life-cycle of rules),
 * engine_state.c (saving, loading, reload), engine_open.c (what is allocated).
 *
 * Invariants between calls of the interface:
 * 1. Every node's cell is the value of its operation over its children's cells (pulses F or U).
 * 2. dirty is empty; touched is empty.
 * 3. A known or invalid signal with a max_age has a timer set no later than its deadline.
 * 4. An operator that waits for a time has its timer set no later than that (op.h).
 * 5. A life that is PENDING, ACTIVE, LINGERING or WAITING has its timer set; others have none. */
#ifndef TRIGGERS_ENGINE_PRIVATE_H
#define TRIGGERS_ENGINE_PRIVATE_H
#include "triggers/engine.h"
#include "triggers/op.h"
#include "triggers/program.h"
#include "triggers/timers.h"

#define LOST_MAX 8          /* stretches of unknown that a memory can tell apart in the past */
#define FIRES_KEPT_MIN 64   /* fires that a rule remembers for saving its state */
#define CACHE_SLOTS 8192    /* frames' (source, id) to messages; a power of two */
#define NONE_MESSAGE (-1)

struct signal_slot {
    uint64_t raw;
    int64_t sampled_ns; /* of the last sample */
    uint8_t state;      /* enum signal_state */
    bool has_sample;
};

/* Of RISE, FALL, CHANGED: the last known value. Of PREV: the last sample and the one before. */
struct memory {
    struct cell last, before;
    bool has_last, has_before;
    uint8_t lost_count;
    struct {
        int64_t at_ns;
        struct cell value;
    } lost[LOST_MAX]; /* the newest last: when the operand became unknown, and the memory then */
};

enum life_phase { LIFE_IDLE, LIFE_PENDING, LIFE_ACTIVE, LIFE_LINGERING, LIFE_WAITING };

/* The part of a life that a clip's header keeps. */
struct life_state {
    uint8_t phase;
    uint8_t root;  /* LOGIC_* of its condition */
    uint8_t armed; /* last known value of "the condition has held for `for`"; LOGIC_U: none */
    uint8_t reason;
    int64_t start_ns, fire_ns, end_ns, cooldown_until_ns, timer_ns;
    uint64_t number, ordinal;
};

struct journal_entry {
    int64_t at_ns;
    struct life_state state; /* after all of that instant */
};

struct life { /* one edge of a rule */
    struct life_state state;
    uint32_t rule;
    int32_t root;
    uint8_t edge;
    uint64_t journal_count; /* ever written */
    struct journal_entry *journal;
};

struct rule_run { /* both edges of a rule share it */
    uint64_t ordinal;       /* fires that no gate held back */
    uint32_t trip_count;
    int64_t *fires;         /* ring of accepted fires */
    uint32_t fires_room;
    uint64_t fires_count;   /* ever */
    struct rule_stats stats;
    struct rule_value *attach; /* of its last fires: engine_attach_sets of attach_count values */
    uint64_t attach_next;
    int32_t life, falling;  /* indices; -1 */
};

struct cache_entry {
    uint64_t key;    /* 0: empty; else (source, extended, id) + 1 */
    int32_t message; /* head of a chain in next_message, or NONE_MESSAGE */
};

struct engine {
    const struct ruleset *ruleset;
    const struct graph *graph;
    struct source_table sources;
    struct dbset_route *routes;
    struct cell *cells;
    struct signal_slot *slots;
    struct memory *memories;
    int32_t *memory_of;       /* of a node, or -1 */
    bool *is_over;            /* of an AGE_OVER node: its bound has passed */
    bool *is_sampled;         /* of a node that is told of samples, within a step */
    struct op_state **op_states; /* of a node, or NULL */
    uint8_t *op_memory;       /* all of them */
    int32_t *op_slot;         /* of a node, or -1: its timer is op_timer(e, slot) */
    uint32_t *op_nodes;       /* nodes by slot */
    uint32_t op_count;
    uint64_t instant;         /* steps and timer instants so far: tells equal stamps apart */
    uint32_t *age_nodes;      /* AGE_OVER nodes by timer slot */
    int32_t *age_slot;        /* of a node, or -1 */
    uint32_t age_count, memory_count;
    uint64_t *dirty;          /* bits of nodes */
    uint64_t *dirty_map;      /* bits of words of dirty that are not 0: cost must not follow the
                               * number of nodes */
    uint32_t dirty_words, map_words;
    uint32_t *pulses;         /* nodes that are T in this pass */
    uint32_t pulse_count;
    uint32_t *root_begin, *root_lives; /* lives of node n */
    uint64_t *touched;        /* bits of lives to run */
    uint32_t touched_words;
    struct life *lives;
    uint32_t life_count;
    struct rule_run *runs;
    struct timers timers;     /* slots: signals, then age nodes, then lives, then operators */
    struct cache_entry *cache;
    uint32_t cache_count;
    int32_t *next_message;
    bool *serves;             /* [message * SOURCES_MAX + source] */
    struct rule_event *events;
    uint32_t event_first, event_count, event_room;
    int64_t now_ns;
    uint64_t step;
    bool by_timer, has_begun;
    uint64_t numbers;         /* events opened so far */
    struct engine_stats stats;
};

/* engine.c */
void engine_rearm(struct engine *e);

/* engine_eval.c */
void engine_mark(struct engine *e, uint32_t node);
void engine_evaluate_all(struct engine *e);
void engine_evaluate_marked(struct engine *e);
void engine_settle(struct engine *e);
void engine_run_lives(struct engine *e);
/* The node has its value during this pass only and is F in the next. */
void engine_pulse(struct engine *e, uint32_t node);
static inline uint32_t engine_op_slot(const struct engine *e, uint32_t op)
{
    return e->graph->signal_count + e->age_count + e->life_count + op;
}
static inline uint32_t engine_life_slot(const struct engine *e, uint32_t life)
{
    return e->graph->signal_count + e->age_count + life;
}
/* Fires of one rule in one call: of both edges, in each pass, on both sides of a discontinuity. */
static inline uint32_t engine_attach_sets(const struct graph *graph)
{
    return 4 * (graph->pulse_depth + 2);
}
static inline void engine_touch(struct engine *e, uint32_t life)
{
    e->touched[life / 64] |= UINT64_C(1) << (life % 64);
}

/* life.c: all run at e->now_ns. */
void life_run(struct engine *e, uint32_t life);
void life_close(struct engine *e, uint32_t life, enum rule_reason reason);
void life_reset(struct engine *e, uint32_t life);
void life_note(struct engine *e, uint32_t life);
void life_arm(struct engine *e, uint32_t life, int64_t due_ns);

/* Does a window of d, now, hold what was at t_ns? Exactly d ago counts at a step and no longer at the timer
 * (rules.md 2, instant 1). */
static inline bool engine_sees(const struct engine *e, int64_t t_ns, int64_t d_ns)
{
    return e->by_timer ? t_ns > e->now_ns - d_ns : t_ns >= e->now_ns - d_ns;
}

#endif
