/* The engine against the reference evaluator.
 *
 *     random_rules COUNT [SEED]   random rules on random traces, COUNT rule x trace cases; a failing one
 *                                 is made smaller, printed, and written to CASE_OUT (build/random.case)
 *     random_rules --case FILE... cases that were kept
 *     random_rules --show FILE    what the evaluator says of a case: every event
 *     random_rules --roots FILE   what it says of every root after every row, a line of F, U, T a row;
 *                                 the engine is not asked
 *
 * Compared: every event with all its fields and attached values, and every root after every step.
 * Exit status 1 when the two differ, or when the cases were not as various as they should be. */
#include "tests/rules/gen.h"
#include "triggers/engine_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROOTS_MAX (REF_ROWS_MAX * GEN_RULES_MAX)

struct bench { /* what all cases share */
    struct dbset *dbset;
    struct source_table sources;
};

struct roots { /* of every rule after every row */
    uint8_t v[ROOTS_MAX];
    uint32_t count;
};

/* One side's account of a case. */
struct outcome {
    struct ref_events events;
    struct roots roots;
};

static struct bench bench;
static struct outcome by_engine, by_reference;
static char pack_a[GEN_PACK_BYTES], pack_b[GEN_PACK_BYTES];
static char difference[1024];
static uint64_t coalesced; /* samples that took the place of one before, in a window (decision 33) */

/* --- the engine ----------------------------------------------------------------------------- */

static struct ruleset *load(const char *text, bool loud)
{
    struct ruleset_pack pack = { "pack.yaml", text, strlen(text) };
    struct ruleset_config config = { &pack, 1, bench.dbset, 0 };
    struct diags diags = { 0 };
    struct ruleset *set = NULL;

    if (ruleset_load(&config, &diags, &set) && loud)
        diags_print(&diags, stderr);
    return set;
}

static bool accepts(void *context, const char *text)
{
    struct ruleset *set = load(text, getenv("GEN_SHOW_REFUSED") != NULL);

    (void)context;
    ruleset_close(set);
    return set != NULL;
}

static void take(struct engine *engine, const struct ruleset *set)
{
    struct ref_events *to = &by_engine.events;
    struct rule_event event;

    while (engine_take(engine, &event)) {
        if (to->count == REF_EVENTS_MAX)
            abort();
        struct ref_event *e = &to->items[to->count++];
        e->event = event;
        e->attach_count = event.kind == EVENT_FIRE ? ruleset_rule(set, event.rule)->attach_count : 0;
        for (uint32_t i = 0; i < e->attach_count; i++)
            e->attach[i] = event.attach[i];
    }
}

static void note_roots(const struct engine *engine)
{
    for (uint32_t i = 0; i < engine->ruleset->count; i++)
        by_engine.roots.v[by_engine.roots.count++] =
            engine->cells[engine->ruleset->program[i].root].v;
}

static struct engine *start(const struct ruleset *set)
{
    struct engine_config config = { set, &bench.sources };
    struct engine *engine = NULL;

    if (engine_open(&config, &engine))
        abort();
    return engine;
}

static struct engine *reload(struct engine *old, const struct ruleset *a, const struct ruleset *b,
                             int64_t t)
{
    struct engine *next = start(b);

    engine_reload(old, next, t);
    take(old, a);
    take(next, b);
    engine_close(old);
    return next;
}

static void run_engine(const struct ruleset *a, const struct ruleset *b, const struct trace *trace)
{
    const struct ruleset *set = a;
    struct engine *engine = start(a);
    bool begun = false;

    by_engine.events.count = by_engine.roots.count = 0;
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct trace_item *item = &trace->items[i];
        int64_t t = item->row.mono_ns;
        if (item->kind == HAPPENS_ROW && (item->row.frame.flags & FRAME_LATE)) {
            if (begun)
                engine_step(engine, &item->row);
            continue;
        }
        if (!begun)
            engine_begin(engine, t);
        begun = true;
        take(engine, set);
        while (item->kind != HAPPENS_DISCONTINUITY && engine_advance(engine, t))
            take(engine, set);
        if (item->kind == HAPPENS_ROW) {
            engine_step(engine, &item->row);
            take(engine, set);
            note_roots(engine);
        } else if (item->kind == HAPPENS_DISCONTINUITY) {
            engine_discontinuity(engine, t);
        } else if (b) {
            engine = reload(engine, a, b, t);
            set = b;
        }
        take(engine, set);
    }
    engine_finish(engine, REASON_INPUT_END);
    take(engine, set);
    coalesced = engine_stats(engine).coalesced;
    engine_close(engine);
}

/* --- the reference -------------------------------------------------------------------------- */

static bool is_line_of(const char *line, size_t len, const char *name)
{
    char head[96];
    int n = snprintf(head, sizeof head, "  - {name: %s,", name);

    return len > (size_t)n && memcmp(line, head, (size_t)n) == 0;
}

/* The rule's line in a pack: rules that stand so alike in both go on over a reload. */
static const char *line_of(const char *text, const char *name, size_t *ret_len)
{
    while (*text) {
        *ret_len = strcspn(text, "\n");
        if (is_line_of(text, *ret_len, name))
            return text;
        text += *ret_len + (text[*ret_len] == '\n');
    }
    return NULL;
}

static int32_t kept_from(const struct ref_pack *a, const char *name)
{
    size_t len_a = 0, len_b = 0;
    const char *in_a = line_of(pack_a, name, &len_a), *in_b = line_of(pack_b, name, &len_b);

    if (!in_a || !in_b || len_a != len_b || memcmp(in_a, in_b, len_a) != 0)
        return -1;
    for (uint32_t i = 0; i < a->rule_count; i++)
        if (strcmp(a->rules[i].rule->name, name) == 0)
            return (int32_t)i;
    return -1;
}

static void note_reference_roots(const struct timeline *line, const struct ref_pack *a,
                                 const struct ref_pack *b)
{
    const struct ref_pack *p = a;

    by_reference.roots.count = 0;
    for (uint32_t i = 0; i < line->count; i++) {
        const struct entry *e = &line->entries[i];
        if (e->kind == ENTRY_RELOAD && b)
            p = b;
        bool is_last = i + 1 == line->count || line->entries[i + 1].sub == 0;
        for (uint32_t k = 0; e->kind == ENTRY_STEP && is_last && k < p->rule_count; k++) {
            const struct ref_rule *r = &p->rules[k];
            const struct ref_node *root = r->rule->trigger == TRIGGER_FALLING ? r->not_when
                                                                              : r->when;
            by_reference.roots.v[by_reference.roots.count++] = root->at[i].v;
        }
    }
}

static bool run_reference(const struct trace *trace, bool has_b, char *problem, size_t size)
{
    struct ref_pack a, b = { 0 };
    struct timeline line = { 0 };
    int32_t kept[GEN_RULES_MAX + 64];

    by_reference.events.count = 0;
    bool ok = ref_open(&a, pack_a, bench.dbset);
    if (ok && has_b)
        ok = ref_open(&b, pack_b, bench.dbset);
    if (!ok) {
        (void)snprintf(problem, size, "the evaluator cannot type the pack: %s%s", a.problem,
                       b.problem);
    } else {
        for (uint32_t i = 0; i < b.rule_count; i++)
            kept[i] = kept_from(&a, b.rules[i].rule->name);
        ref_values(&line, &a, has_b ? &b : NULL, trace, &bench.sources);
        ref_lives(&line, &a, has_b ? &b : NULL, kept, trace, &by_reference.events);
        note_reference_roots(&line, &a, has_b ? &b : NULL);
    }
    timeline_free(&line);
    /* Labels and names of exceptions belong to the pack; the comparison comes before ref_close, so
     * they are copied there only as far as they are printed: see compare. */
    for (uint32_t i = 0; i < by_reference.events.count; i++) {
        struct ref_event *e = &by_reference.events.items[i];
        e->event.exception = e->event.exception ? "quiet" : NULL;
        for (uint32_t k = 0; k < e->attach_count; k++)
            e->attach[k].label = NULL; /* the raw number is compared */
    }
    ref_close(&a);
    if (has_b)
        ref_close(&b);
    return ok;
}

/* --- comparing ------------------------------------------------------------------------------ */

static void print_value(FILE *to, const struct rule_value *v)
{
    if (v->kind == VALUE_NULL)
        (void)fprintf(to, " null");
    else if (v->kind == VALUE_NUM)
        (void)fprintf(to, " %.17g", v->number);
    else
        (void)fprintf(to, " %s%lld", v->kind == VALUE_BOOL ? "bool:" : v->kind == VALUE_LABEL
                                                                 ? "label:" : "",
                      (long long)v->integer);
}

static void print_event(FILE *to, const struct ref_event *e)
{
    const struct rule_event *v = &e->event;

    (void)fprintf(to, "%s rule %u %s t=%lld start=%lld fire=%lld end=%lld closed=%lld n=%llu o=%llu "
                  "step=%llu%s %s %s", rule_event_kind_name(v->kind), v->rule,
                  rule_edge_name(v->edge), (long long)v->t_ns, (long long)v->start_ns,
                  (long long)v->fire_ns, (long long)v->end_ns, (long long)v->closed_ns,
                  (unsigned long long)v->number, (unsigned long long)v->ordinal,
                  (unsigned long long)v->step, v->by_timer ? " timer" : "",
                  rule_reason_name(v->reason), v->exception ? v->exception : "");
    for (uint32_t i = 0; i < e->attach_count; i++)
        print_value(to, &e->attach[i]);
    (void)fprintf(to, "\n");
}

/* Sums over windows are rounded in another order here than there; all else is compared exactly. */
static bool is_inexact;

static bool same_attached(const struct rule_value *a, const struct rule_value *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == VALUE_NUM && is_inexact)
        return fabs(a->number - b->number) <= 1e-9 * (1 + fabs(a->number));
    if (a->kind == VALUE_NUM)
        return !(a->number < b->number) && !(a->number > b->number);
    return a->kind == VALUE_NULL || a->integer == b->integer;
}

/* What closes everything at an end says nothing of timers. */
static bool is_cut(const struct rule_event *e)
{
    return e->reason == REASON_INPUT_END || e->reason == REASON_DISCONTINUITY ||
           e->reason == REASON_RELOAD;
}

static bool same_event(const struct ref_event *x, const struct ref_event *y)
{
    const struct rule_event *a = &x->event, *b = &y->event;

    if (a->kind != b->kind || a->edge != b->edge || a->reason != b->reason || a->rule != b->rule ||
        a->number != b->number || a->ordinal != b->ordinal || a->t_ns != b->t_ns ||
        a->start_ns != b->start_ns || a->fire_ns != b->fire_ns || a->end_ns != b->end_ns ||
        a->closed_ns != b->closed_ns || a->step != b->step ||
        (a->by_timer != b->by_timer && !is_cut(a)) || !a->exception != !b->exception ||
        x->attach_count != y->attach_count)
        return false;
    for (uint32_t i = 0; i < x->attach_count; i++)
        if (!same_attached(&x->attach[i], &y->attach[i]))
            return false;
    return true;
}

static void describe_event(uint32_t at)
{
    FILE *to = fmemopen(difference, sizeof difference, "w");
    const struct ref_events *a = &by_engine.events, *b = &by_reference.events;

    if (!to)
        abort();
    (void)fprintf(to, "event %u\n  engine:    ", at);
    if (at < a->count)
        print_event(to, &a->items[at]);
    else
        (void)fprintf(to, "none\n");
    (void)fprintf(to, "  reference: ");
    if (at < b->count)
        print_event(to, &b->items[at]);
    else
        (void)fprintf(to, "none\n");
    (void)fclose(to);
}

static bool compare(void)
{
    const struct ref_events *a = &by_engine.events, *b = &by_reference.events;

    for (uint32_t i = 0; i < a->count || i < b->count; i++)
        if (i >= a->count || i >= b->count || !same_event(&a->items[i], &b->items[i])) {
            describe_event(i);
            return false;
        }
    for (uint32_t i = 0; i < by_engine.roots.count || i < by_reference.roots.count; i++)
        if (i >= by_engine.roots.count || i >= by_reference.roots.count ||
            by_engine.roots.v[i] != by_reference.roots.v[i]) {
            (void)snprintf(difference, sizeof difference,
                           "root %u of %u: engine %c, reference %c\n", i, by_engine.roots.count,
                           "FUT"[by_engine.roots.v[i]], "FUT"[by_reference.roots.v[i]]);
            return false;
        }
    return true;
}

/* pack_a, pack_b and the trace. Returns 1 when the two sides agree, 0 when not, -1 when the engine
 * does not load a pack, 2 when a window coalesced samples: the evaluator keeps them all. */
static int run_texts(const struct trace *trace, bool has_b, bool loud)
{
    struct ruleset *a = load(pack_a, loud), *b = has_b ? load(pack_b, loud) : NULL;
    int agree = -1;

    difference[0] = 0;
    if (a && (b || !has_b)) {
        run_engine(a, b, trace);
        is_inexact = strstr(pack_a, "_over(") || strstr(pack_a, "integral(") ||
                     strstr(pack_a, "deriv(") || strstr(pack_a, "duty(");
        agree = coalesced ? 2
            : run_reference(trace, has_b, difference, sizeof difference) && compare();
    }
    ruleset_close(a);
    ruleset_close(b);
    return agree;
}

static bool has_reload(const struct trace *trace)
{
    for (uint32_t i = 0; i < trace->count; i++)
        if (trace->items[i].kind == HAPPENS_RELOAD)
            return true;
    return false;
}

static int run_case(const struct gen_case *c)
{
    bool second = has_reload(&c->trace);

    gen_pack(c, false, pack_a);
    if (second)
        gen_pack(c, true, pack_b);
    return run_texts(&c->trace, second, false);
}

static bool case_fails(void *context, const struct gen_case *c)
{
    (void)context;
    return run_case(c) == 0;
}

/* --- files of cases ------------------------------------------------------------------------- */

static void write_case(FILE *to, const struct gen_case *c)
{
    run_case(c);
    (void)fprintf(to, "# seed %llu\n[pack]\n%s", (unsigned long long)c->seed, pack_a);
    if (has_reload(&c->trace))
        (void)fprintf(to, "[reload]\n%s", pack_b);
    (void)fprintf(to, "[trace]\n");
    for (uint32_t i = 0; i < c->trace.count; i++) {
        const struct trace_item *item = &c->trace.items[i];
        const struct row *row = &item->row;
        static const char *const kinds[] = { "row", "discontinuity", "reload" };
        (void)fprintf(to, "%s %lld", kinds[item->kind], (long long)row->mono_ns);
        if (item->kind == HAPPENS_ROW) {
            (void)fprintf(to, " %llu %u %x %x ", (unsigned long long)row->step, row->frame.source,
                          row->frame.id, row->frame.flags);
            for (uint32_t k = 0; k < row->frame.len; k++)
                (void)fprintf(to, "%02x", row->frame.data[k]);
            (void)fprintf(to, "%s", row->frame.len ? "" : "-");
        }
        (void)fprintf(to, "\n");
    }
}

static bool read_row(struct row *row, const char *text)
{
    unsigned long long step;
    unsigned source, id, flags;
    char hex[2 * FRAME_DATA_MAX + 1] = "";

    if (sscanf(text, "%llu %u %x %x %128s", &step, &source, &id, &flags, hex) != 5)
        return false;
    row->step = step;
    row->frame.source = (uint8_t)source;
    row->frame.id = id;
    row->frame.flags = (uint16_t)flags;
    for (const char *at = hex; at[0] != '-' && at[0] && at[1]; at += 2) {
        unsigned byte;
        if (sscanf(at, "%2x", &byte) != 1)
            return false;
        row->frame.data[row->frame.len++] = (uint8_t)byte;
    }
    row->frame.dlc = row->frame.len;
    row->frame.stamp_ns = row->mono_ns;
    return true;
}

static bool read_item(struct trace *trace, const char *line)
{
    struct trace_item *item = &trace->items[trace->count];
    char kind[16];
    long long t;
    int used = 0;

    if (trace->count == REF_ROWS_MAX || sscanf(line, "%15s %lld %n", kind, &t, &used) < 2)
        return false;
    memset(item, 0, sizeof *item);
    item->row.mono_ns = t;
    item->kind = kind[1] == 'i' ? HAPPENS_DISCONTINUITY : kind[1] == 'e' ? HAPPENS_RELOAD
                                                                         : HAPPENS_ROW;
    trace->count++;
    return item->kind != HAPPENS_ROW || read_row(&item->row, line + used);
}

static bool read_case(const char *path, struct trace *trace)
{
    FILE *from = fopen(path, "r");
    char line[8192], *into = NULL;

    trace->count = 0;
    pack_a[0] = pack_b[0] = 0;
    if (!from)
        return false;
    bool ok = true, in_trace = false;
    while (ok && fgets(line, sizeof line, from)) {
        if (line[0] == '#' && !into)
            continue;
        if (line[0] == '[') {
            in_trace = strncmp(line, "[trace]", 7) == 0;
            into = strncmp(line, "[pack]", 6) == 0 ? pack_a : pack_b;
        } else if (in_trace) {
            ok = read_item(trace, line);
        } else if (into && strlen(into) + strlen(line) < GEN_PACK_BYTES) {
            (void)strcat(into, line);
        }
    }
    (void)fclose(from);
    return ok && trace->count > 0;
}

static int print_roots(const char *path)
{
    static struct trace trace;
    struct ref_pack a;
    struct timeline line = { 0 };

    if (!read_case(path, &trace) || !ref_open(&a, pack_a, bench.dbset)) {
        (void)fprintf(stderr, "%s: no case\n", path);
        return 2;
    }
    ref_values(&line, &a, NULL, &trace, &bench.sources);
    note_reference_roots(&line, &a, NULL);
    for (uint32_t i = 0; i < by_reference.roots.count; i++)
        (void)printf("%c%s", "FUT"[by_reference.roots.v[i]],
                     (i + 1) % a.rule_count ? "" : "\n");
    timeline_free(&line);
    ref_close(&a);
    return 0;
}

static int run_file(const char *path, bool show)
{
    static struct trace trace;

    if (!read_case(path, &trace)) {
        (void)fprintf(stderr, "%s: no case\n", path);
        return 2;
    }
    int agree = run_texts(&trace, has_reload(&trace), true);
    for (uint32_t i = 0; show && i < by_reference.events.count; i++)
        print_event(stdout, &by_reference.events.items[i]);
    if (agree == 1)
        return 0;
    (void)printf("%s: %s\n", path, agree < 0 ? "the engine does not load the pack" : difference);
    return 1;
}

/* --- statistics ----------------------------------------------------------------------------- */

struct statistics {
    uint64_t cases, traces, refused, fired, events, reloads, breaks, gaps, pending, steps;
    uint64_t with_form[256], root[256][3]; /* [form of the root][F, U, T] */
    uint64_t late, equal_stamps, coalesced;
};

static void count_trace(struct statistics *s, const struct trace *trace)
{
    s->traces++;
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct trace_item *item = &trace->items[i];
        s->reloads += item->kind == HAPPENS_RELOAD;
        s->breaks += item->kind == HAPPENS_DISCONTINUITY;
        s->steps += item->kind == HAPPENS_ROW;
        s->late += item->kind == HAPPENS_ROW && (item->row.frame.flags & FRAME_LATE);
        if (i == 0)
            continue;
        int64_t gap = item->row.mono_ns - trace->items[i - 1].row.mono_ns;
        s->gaps += gap > 5 * NS_PER_S;
        s->equal_stamps += gap == 0;
    }
}

static void count_case(struct statistics *s, const struct gen_case *c)
{
    bool fired[GEN_RULES_MAX] = { false };
    uint32_t index = 0, rules = 0;

    for (uint32_t i = 0; i < by_engine.events.count; i++) {
        const struct rule_event *e = &by_engine.events.items[i].event;
        s->events++;
        s->pending += e->reason == REASON_INPUT_END;
        /* The index is that of one of two packs when there was a reload: near enough to count. */
        if (e->kind == EVENT_FIRE && e->rule < GEN_RULES_MAX)
            fired[e->rule] = true;
    }
    for (uint32_t i = 0; i < c->rule_count; i++)
        rules += c->rules[i].in_a;
    for (uint32_t i = 0; i < c->rule_count; i++) {
        bool seen[256] = { false };
        s->cases++;
        gen_count_forms(c, i, seen);
        for (uint32_t k = 0; k < gen_form_count(); k++)
            seen[gen_form_operator(k)] = seen[gen_form_operator(k)] || seen[k];
        for (uint32_t k = 0; k < gen_form_count(); k++)
            s->with_form[k] += seen[k] && gen_form_operator(k) == k;
        if (!c->rules[i].in_a)
            continue;
        s->fired += fired[index];
        /* A pulse is over behind its step, but it was true if it fired. */
        if (fired[index] && c->rules[i].trigger != 1 && !has_reload(&c->trace))
            s->root[c->rules[i].when->form][REF_T]++;
        for (uint32_t k = index; k < by_engine.roots.count && !has_reload(&c->trace); k += rules) {
            uint8_t v = by_engine.roots.v[k]; /* of `falling` it is the condition's opposite */
            s->root[c->rules[i].when->form][c->rules[i].trigger == 1 ? 2 - v : v]++;
        }
        index++;
    }
    count_trace(s, &c->trace);
}

static bool is_various(const struct statistics *s)
{
    bool ok = true;

    for (uint32_t k = 0; k < gen_form_count(); k++) {
        bool roots = s->root[k][0] || s->root[k][1] || s->root[k][2];
        if (gen_form_operator(k) == k && !gen_form_is_absent(k) &&
            s->with_form[k] * 100 < s->cases) {
            (void)printf("too rare: %s stands in %.2f %% of the cases\n", gen_form_name(k),
                         100.0 * (double)s->with_form[k] / (double)s->cases);
            ok = false;
        }
        if (roots && (!s->root[k][0] || !s->root[k][2] ||
                      (!s->root[k][1] && gen_form_can_be_unknown(k)))) {
            (void)printf("roots '%s' were F %llu, U %llu, T %llu times\n", gen_form_name(k),
                         (unsigned long long)s->root[k][0], (unsigned long long)s->root[k][1],
                         (unsigned long long)s->root[k][2]);
            ok = false;
        }
    }
    if (s->fired * 5 < s->cases || !s->reloads || !s->breaks || !s->gaps || !s->late ||
        !s->equal_stamps || !s->pending || s->coalesced * 20 > s->traces)
        ok = false;
    return ok;
}

static void print_statistics(const struct statistics *s)
{
    uint64_t least = UINT64_MAX;
    uint32_t operators = 0;

    for (uint32_t k = 0; k < gen_form_count(); k++)
        if (gen_form_operator(k) == k && !gen_form_is_absent(k)) {
            operators++;
            least = s->with_form[k] < least ? s->with_form[k] : least;
        }
    (void)printf("%llu cases (rule x trace) on %llu traces of %llu steps agree: %llu events; "
                 "%.1f %% of the cases fire; %u operators in %u forms, each operator in at least "
                 "%.2f %%; %llu reloads, "
                 "%llu discontinuities, %llu gaps over 5 s, %llu late rows, %llu equal stamps, %llu "
                 "cut by the end; %llu rules refused and made anew, %llu traces left out since a window "
                 "coalesced\n",
                 (unsigned long long)s->cases, (unsigned long long)s->traces,
                 (unsigned long long)s->steps, (unsigned long long)s->events,
                 100.0 * (double)s->fired / (double)s->cases, operators, gen_form_count(),
                 100.0 * (double)least / (double)s->cases, (unsigned long long)s->reloads,
                 (unsigned long long)s->breaks, (unsigned long long)s->gaps,
                 (unsigned long long)s->late, (unsigned long long)s->equal_stamps,
                 (unsigned long long)s->pending, (unsigned long long)s->refused,
                 (unsigned long long)s->coalesced);
}

/* --- the loop ------------------------------------------------------------------------------- */

static int report(struct gen_case *c)
{
    const char *path = getenv("CASE_OUT") ? getenv("CASE_OUT") : "build/random.case";

    (void)printf("seed %llu: %s", (unsigned long long)c->seed, difference);
    (void)fflush(stdout);
    if (!getenv("CASE_AS_IS"))
        gen_shrink(c, case_fails, NULL);
    FILE *to = fopen(path, "w");
    if (to) {
        write_case(to, c);
        (void)fclose(to);
    }
    (void)run_case(c);
    (void)printf("made smaller (%s): %s", path, difference);
    write_case(stdout, c);
    return 1;
}

static int run_random(uint64_t count, uint64_t seed)
{
    static struct gen_case c;
    struct statistics s = { 0 };

    (void)printf("seed %llu\n", (unsigned long long)seed);
    if (gen_probe(accepts, NULL)) {
        (void)printf("not in this engine:");
        for (uint32_t k = 0; k < gen_form_count(); k++)
            if (gen_form_is_absent(k))
                (void)printf(" %s", gen_form_name(k));
        (void)printf("\n");
    }
    for (; s.cases < count; seed++) {
        gen_make(&c, seed, accepts, NULL, &s.refused);
        int agree = run_case(&c);
        if (agree == 0) {
            int rc = report(&c);
            gen_free(&c);
            return rc;
        }
        if (agree == 1)
            count_case(&s, &c);
        s.coalesced += agree == 2;
        gen_free(&c);
    }
    print_statistics(&s);
    if (count >= 10000 && !is_various(&s)) {
        (void)printf("the cases were not various enough\n");
        return 1;
    }
    return 0;
}

static void open_bench(void)
{
    struct err err = { 0 };

    bench.dbset = dbset_open();
    if (!bench.dbset ||
        dbset_add(bench.dbset, "can0", "gen0.dbc", gen_dbc0, strlen(gen_dbc0), false, NULL, &err) ||
        dbset_add(bench.dbset, "can1", "gen1.dbc", gen_dbc1, strlen(gen_dbc1), false, NULL, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    bench.sources.count = 2;
    (void)snprintf(bench.sources.items[0].name, SOURCE_NAME_MAX, "can0");
    (void)snprintf(bench.sources.items[1].name, SOURCE_NAME_MAX, "can1");
}

int main(int argc, char **argv)
{
    int rc = 0;

    if (argc < 2) {
        (void)fprintf(stderr, "random_rules COUNT [SEED] | --case FILE... | --show FILE | --roots FILE\n");
        return 2;
    }
    open_bench();
    if (strcmp(argv[1], "--roots") == 0 && argc == 3) {
        rc = print_roots(argv[2]);
    } else if (argv[1][0] == '-') {
        for (int i = 2; i < argc; i++) {
            int one = run_file(argv[i], strcmp(argv[1], "--show") == 0);
            rc = one > rc ? one : rc;
        }
        if (!rc && strcmp(argv[1], "--case") == 0)
            (void)printf("%d kept cases agree\n", argc - 2);
    } else {
        rc = run_random(strtoull(argv[1], NULL, 10), argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    }
    dbset_close(bench.dbset);
    return rc;
}
