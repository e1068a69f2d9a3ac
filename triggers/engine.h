/* engine - runs a ruleset over rows: rows in, rule events out.
 * Pure: no clock, thread, file or allocation after engine_open; single thread. All times are
 * mono_ns (DESIGN.md 3). A row is one step: its signals change together and the graph runs once.
 *
 * How to drive it:
 *     engine_open; [engine_seed...; engine_state_load]; engine_begin(first mono)
 *     for each row:   while (engine_advance(e, row->mono_ns)) take all events
 *                     engine_step(e, row); take all events
 *     at the end:     engine_finish(e, ...); take all events
 * engine_advance runs timers one instant at a time, so what one call can raise is bounded and the
 * queue of events, sized for it, never overflows. Take all events after each call, also after
 * engine_begin, engine_discontinuity and engine_reload (there from both engines).
 * A live source calls engine_advance(e, t + 1) once no frame with a stamp <= t can come any more;
 * engine_next_due says when that is worth while.
 *
 * Life-cycle of a rule: idle -> pending (`for`) -> active: FIRE -> END when it is no longer true ->
 * lingers `keep` -> CLOSED; true again while it lingers: CONTINUE, and a later END. With keep 0, END
 * and CLOSED come together. A clip of the event may be sealed when CLOSED has come. Whatever was
 * kept from firing is SUPPRESSED, with its reason. */
#ifndef TRIGGERS_ENGINE_H
#define TRIGGERS_ENGINE_H
#include "proto/frame.h"
#include "triggers/ruleset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_NEVER INT64_MAX

enum rule_event_kind { EVENT_FIRE, EVENT_END, EVENT_CONTINUE, EVENT_CLOSED, EVENT_SUPPRESSED };

enum rule_edge { EDGE_RISING, EDGE_FALLING, EDGE_LEVEL };

enum rule_reason {
    REASON_NONE,          /* FIRE, CONTINUE */
    REASON_ENDED,         /* the condition became false */
    REASON_INPUT_LOST,    /* the condition became unknown */
    REASON_MAX_ACTIVE,
    REASON_INPUT_END,     /* the recording or the session ended */
    REASON_DISCONTINUITY,
    REASON_RELOAD,        /* the rule was removed or changed */
    REASON_EXCEPTION,     /* suppressed from here on */
    REASON_COOLDOWN,
    REASON_LIMIT,         /* per_trip, per_hour, per_day */
    REASON_SHADOW,
    REASON_UNKNOWN,       /* a `then not` whose second operand was unknown meanwhile */
    REASON_COUNT
};

enum rule_value_kind { VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_NUM, VALUE_LABEL };

struct rule_value { /* unit and name: struct rule_attach */
    enum rule_value_kind kind;
    int64_t integer;   /* VALUE_INT; VALUE_BOOL: 0, 1; VALUE_LABEL: the raw number */
    double number;     /* VALUE_NUM: finite */
    const char *label; /* VALUE_LABEL: lives as long as the ruleset */
};

struct rule_event {
    enum rule_event_kind kind;
    enum rule_edge edge;
    enum rule_reason reason; /* why END, CLOSED (a lingering event cut short has its own) or
                              * SUPPRESSED */
    uint32_t rule;           /* index in the ruleset */
    uint64_t number;         /* of the event: from 1 in a session, equal in all its items; also over
                              * a reload. 0 for SUPPRESSED */
    uint64_t ordinal;        /* fires of this rule so far that no gate held back, from 0 */
    int64_t t_ns;            /* the instant of this item */
    int64_t start_ns;        /* first instant of the run that led to the fire */
    int64_t fire_ns;
    int64_t end_ns;          /* END, CLOSED; else -1 */
    int64_t closed_ns;       /* CLOSED; else -1 */
    uint64_t step;           /* the last step applied at that instant */
    bool by_timer;           /* raised after that step, by a timer */
    const char *exception;   /* REASON_EXCEPTION: its name; else NULL */
    const struct rule_value *attach; /* FIRE: rule.attach_count values, valid until the next call */
};

const char *rule_event_kind_name(enum rule_event_kind kind); /* "fire", "end", ... */
const char *rule_edge_name(enum rule_edge edge);             /* "rising", ... */
const char *rule_reason_name(enum rule_reason reason);       /* "input_end", ... */

struct engine_config {
    const struct ruleset *ruleset;      /* must outlive the engine */
    const struct source_table *sources; /* copied */
};

struct engine;

/* Returns 0, -ENOMEM, or -EINVAL for an empty config. This is the only allocation. */
int engine_open(const struct engine_config *config, struct engine **ret_engine);
void engine_close(struct engine *engine); /* NULL is allowed */

/* Before engine_begin, in any order: the last row before the clip of an id that rules read. Its
 * values and their age count, no rule runs. */
void engine_seed(struct engine *engine, const struct row *row);

/* Runs the graph once, at the time of the first step and before it: every signal is missing or
 * seeded. What is known now is no edge, except for rules with `initial: fire`. */
void engine_begin(struct engine *engine, int64_t mono_ns);

/* Runs the earliest instant at which timers are due before mono_ns. Returns whether there was one:
 * take the events and call again. */
bool engine_advance(struct engine *engine, int64_t mono_ns);

/* Applies one row; engine_advance(engine, row->mono_ns) has returned false. Late rows are counted
 * and not looked at. row->mono_ns never goes back. */
void engine_step(struct engine *engine, const struct row *row);

/* When engine_advance will have work next; ENGINE_NEVER. May be early, never late. */
int64_t engine_next_due(const struct engine *engine);

/* A gap in time: timers due up to the last step run, open events close at its time, every signal is
 * missing again and edge memory is gone; cooldowns and quotas stay. The next row may come at any
 * time not before the last. */
void engine_discontinuity(struct engine *engine, int64_t mono_ns);

/* The end: timers due up to the last step run, open events close at its time with `reason`. */
void engine_finish(struct engine *engine, enum rule_reason reason);

/* Gives the next event. Returns whether there was one. */
bool engine_take(struct engine *engine, struct rule_event *ret_event);

/* Hands over from `old` to `next`, which is fresh from engine_open: rules with equal hash keep
 * their life-cycle and open events, nodes and signals with equal meaning keep their memory. Events of
 * rules that are gone or changed are closed: take these from `old`, then close it; other rules start
 * unknown. `next` needs no engine_begin. mono_ns: the time of the step where the reload stands. */
void engine_reload(struct engine *old, struct engine *next, int64_t mono_ns);

/* Does any rule read this frame? Then its last row before a clip belongs to the clip's seed. */
bool engine_reads(struct engine *engine, const struct frame *frame);

/* The life-cycle of every rule as it was before the first instant at or after at_ns (a clip's begin,
 * usually in the past: engines keep ENGINE_JOURNAL transitions a rule). Writes at most `size` bytes;
 * returns the length of the whole, which never exceeds engine_state_max. Times are kept relative to
 * at_ns. */
#define ENGINE_JOURNAL 512
size_t engine_state_save(struct engine *engine, int64_t at_ns, uint8_t *bytes, size_t size);
size_t engine_state_max(const struct engine *engine);

/* The same as it is now, with what this very instant did, and with the time now_ns and the last step
 * in it: before engine_reload, which goes on from there in the midst of an instant. It carries the
 * signals and samples that these rules know too: the next ones take no more than that over. */
size_t engine_state_handover(struct engine *engine, int64_t now_ns, uint64_t step, uint8_t *bytes,
                             size_t size);
/* The step of a handover; UINT64_MAX for a state that is none. */
uint64_t engine_state_step(const uint8_t *bytes, size_t size);
/* The time of a state that was asked for at_ns: that of the handover, or at_ns. */
int64_t engine_state_time(int64_t at_ns, const uint8_t *bytes, size_t size);

/* Between engine_seed and engine_begin, which must get engine_state_time. Rules are
 * matched by hash; others are left alone. An event that was open at the cut goes on with a new
 * number and no FIRE: its END and CLOSED concern no clip. A handover says all that is known: seeds
 * from before it count no more. Returns 0, or -EBADMSG with nothing
 * changed. */
int engine_state_load(struct engine *engine, int64_t at_ns, const uint8_t *bytes, size_t size);

struct engine_stats {
    uint64_t steps, late;      /* rows applied; rows passed over */
    uint64_t samples;          /* signal values decoded */
    uint64_t misfits;          /* signals that a short frame or a code made invalid */
    uint64_t flips;            /* nodes whose value changed */
    uint64_t instants;         /* timer instants run */
    uint64_t coalesced;        /* samples that took the place of the one before: a source above twice
                                * its rate, in a window */
    uint64_t fires;
    uint64_t suppressed[REASON_COUNT];
    uint64_t journal_short;    /* states saved for a time before the journal's reach */
};
struct engine_stats engine_stats(const struct engine *engine);

struct rule_stats {
    uint64_t fires, suppressed[REASON_COUNT];
    bool is_active; /* active or lingering */
};
struct rule_stats engine_rule_stats(const struct engine *engine, uint32_t rule);

#endif
