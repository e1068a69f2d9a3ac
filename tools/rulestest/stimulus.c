#include "tools/rulestest/stimulus.h"

#include "proto/encode.h"
#include "tools/rulestest/samples.h"
#include "tools/yaml_map.h"
#include "triggers/unit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STALE_DEFAULT_NS (2 * NS_PER_S) /* where neither pack nor database says when */
#define MAX_AGE_CYCLES 3
#define CLOCK_ID 0x7ffu /* the frame that only lets time pass */

struct input {
    const struct stimulus_input *from;
    struct dbset_signal found;
    const struct yaml_node *alias; /* its entry in the pack, or NULL */
    double mul, div, add;          /* from the alias's unit to the database's */
    int64_t max_age_ns;
};

struct sample {
    int64_t at_ns;
    uint32_t input, order;
    bool absent;
    uint64_t raw;
};

struct build {
    const struct stimulus_names *names;
    struct input inputs[STIMULUS_SIGNALS_MAX];
    uint32_t input_count;
    struct sample *samples;
    uint32_t count, room;
    int64_t end_ns;
    struct stimulus *to;
    struct err *err;
};

static int bad(struct build *b, const struct stimulus_input *from, const struct yaml_node *node,
               uint32_t offset, const char *text, const char *detail)
{
    uint32_t line = node->line, column = node->column;

    if (node->kind == YAML_TEXT)
        yaml_place(from->tree, node, offset, &line, &column);
    return err_at(b->err, -EBADMSG, yaml_file(from->tree), line, column, "%s%s", text, detail);
}

int duration_parse(const char *text, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = { { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 }, { "h", 3600e9 } };
    char *end;
    double value = strtod(text, &end);

    if (end == text || !isfinite(value))
        return -EINVAL;
    if (!*end && value == 0)
        return *ret_ns = 0, 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(units[i].unit, end) && fabs(value * units[i].ns) < 9e15)
            return *ret_ns = llround(value * units[i].ns), 0;
    return -EINVAL;
}

/* --- what a signal is --- */

static const char *child_text(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = yaml_get(map, key);

    return node && node->kind == YAML_TEXT ? node->text : NULL;
}

static const struct yaml_node *find_alias(const struct stimulus_names *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++) {
        const struct yaml_node *entry = yaml_get(names->signals[i], name);
        if (entry)
            return entry;
    }
    return NULL;
}

static void find_max_age(struct input *input)
{
    const char *text = child_text(input->alias, "max_age");
    int64_t cycle_ns = (int64_t)input->found.message->cycle_ms * NS_PER_MS * MAX_AGE_CYCLES;

    if (text && !duration_parse(text, &input->max_age_ns))
        return;
    input->max_age_ns = cycle_ns ? cycle_ns : STALE_DEFAULT_NS;
    if (input->max_age_ns < 50 * NS_PER_MS)
        input->max_age_ns = 50 * NS_PER_MS;
}

static void find_conversion(struct input *input)
{
    const char *text = child_text(input->alias, "unit");
    struct unit shown, stored;

    input->mul = input->div = 1;
    if (text && unit_from_text(text, &shown) && unit_from_text(input->found.signal->unit, &stored) &&
        unit_same_quantity(&shown, &stored))
        unit_conversion(&shown, &stored, &input->mul, &input->div, &input->add);
}

static int unknown_signal(struct build *b, const struct stimulus_input *from,
                          const struct yaml_node *node)
{
    const char *names[256];
    uint32_t count = 0;

    for (uint32_t i = 0; i < b->names->count; i++)
        for (const struct yaml_node *n = b->names->signals[i] ? b->names->signals[i]->first : NULL;
             n && count < 256; n = n->next)
            names[count++] = n->key;
    const char *near = err_nearest(node->text, names, count);
    char detail[160] = "";
    if (near)
        (void)snprintf(detail, sizeof detail, "; did you mean '%.100s'?", near);
    return bad(b, from, node, 0, "no pack of this test names such a signal", detail);
}

static int open_input(struct build *b, const struct stimulus_input *from)
{
    const struct yaml_node *name = yaml_get(from->node, "signal");
    struct input *input = &b->inputs[b->input_count];
    struct err why = { .line = 0 };

    if (from->node->kind != YAML_MAP || !name || name->kind != YAML_TEXT)
        return bad(b, from, from->node, 0, "an input is {signal: NAME, every: 20ms, values: \"...\"} or "
                                           "{signal: NAME, at: {0s: 1}}", "");
    if (b->input_count == STIMULUS_SIGNALS_MAX)
        return bad(b, from, from->node, 0, "is one signal too many", "");
    *input = (struct input){ .from = from, .alias = find_alias(b->names, name->text) };
    const char *path = input->alias ? child_text(input->alias, "from") : name->text;
    if (!path || (!input->alias && !strchr(name->text, '.')))
        return unknown_signal(b, from, name);
    if (dbset_signal_path(b->names->dbset, path, &input->found, &why))
        return bad(b, from, name, 0, "", why.text);
    find_max_age(input);
    find_conversion(input);
    b->input_count++;
    return 0;
}

/* --- values --- */

static const char *const invalid_words[] = { "SNA", "Init", "Error", "Fault", "NotAvailable" };

static bool is_default_invalid(const char *label)
{
    char letters[32];
    size_t n = 0;

    for (; *label; label++)
        if ((*label | 32) >= 'a' && (*label | 32) <= 'z' && n + 1 < sizeof letters)
            letters[n++] = *label;
    letters[n] = '\0';
    for (size_t i = 0; i < sizeof invalid_words / sizeof *invalid_words; i++)
        if (!strcasecmp(letters, invalid_words[i]))
            return true;
    return false;
}

static int invalid_raw(const struct input *input, int64_t *ret_raw)
{
    const struct dbc_signal *signal = input->found.signal;
    const struct yaml_node *list = yaml_get(input->alias, "invalid");

    for (const struct yaml_node *n = list ? list->first : NULL; n; n = n->next) {
        const char *label = n->text && n->text[0] == '\'' ? n->text + 1 : n->text;
        char bare[SAMPLE_LABEL_MAX];
        (void)snprintf(bare, sizeof bare, "%.*s", (int)strcspn(label ? label : "", "'"),
                       label ? label : "");
        if (!decode_label_raw(signal, bare, ret_raw))
            return 0;
    }
    for (uint32_t i = 0; i < signal->label_count; i++)
        if (is_default_invalid(signal->labels[i].text))
            return *ret_raw = signal->labels[i].raw, 0;
    return -ENOENT;
}

static int number_raw(struct build *b, const struct input *input, const struct yaml_node *node,
                      uint32_t offset, double value, uint64_t *ret_raw)
{
    const struct decode_plan *plan = &input->found.signal->plan;
    double stored = value * input->mul / input->div + input->add;
    char detail[160];

    if (encode_physical(plan, stored, ret_raw)) {
        (void)snprintf(detail, sizeof detail, "%g does not fit into %.60s", value,
                       input->found.signal->name);
        return bad(b, input->from, node, offset, "", detail);
    }
    double got = decode_physical(plan, *ret_raw);
    if (plan->kind == DECODE_UNSIGNED || plan->kind == DECODE_SIGNED) {
        if (fabs(got - stored) <= fabs(plan->factor) * 0.500001)
            return 0;
    } else if (fabs(got - stored) <= 1e-6 * fabs(stored) + 1e-30) {
        return 0;
    }
    (void)snprintf(detail, sizeof detail, "%g cannot be written into %.60s", value,
                   input->found.signal->name);
    return bad(b, input->from, node, offset, "", detail);
}

static int part_raw(struct build *b, const struct input *input, const struct yaml_node *node,
                    const struct samples_part *part, uint32_t index, uint64_t *ret_raw)
{
    int64_t raw = 0;

    if (part->kind == SAMPLE_NUMBER)
        return number_raw(b, input, node, part->offset, part->number + part->step * index, ret_raw);
    if (part->kind == SAMPLE_LABEL && decode_label_raw(input->found.signal, part->label, &raw))
        return bad(b, input->from, node, part->offset, "the signal has no label ", part->label);
    if (part->kind == SAMPLE_INVALID && invalid_raw(input, &raw))
        return bad(b, input->from, node, part->offset,
                   "no label of this signal means invalid; write a value outside of its `valid`", "");
    *ret_raw = (uint64_t)raw & input->found.signal->plan.mask;
    return 0;
}

static int add_sample(struct build *b, uint32_t input, int64_t at_ns, bool absent, uint64_t raw)
{
    if (b->count == STIMULUS_FRAMES_MAX)
        return err_plain(b->err, -ERANGE, "the case has more than %d samples",
                         STIMULUS_FRAMES_MAX);
    if (b->count == b->room) {
        uint32_t room = b->room ? b->room * 2 : 1024;
        struct sample *more = realloc(b->samples, room * sizeof *more);
        if (!more)
            return err_plain(b->err, -ENOMEM, "no memory");
        b->samples = more;
        b->room = room;
    }
    b->samples[b->count] = (struct sample){ at_ns, input, b->count, absent, raw };
    b->count++;
    if (at_ns > b->to->last_ns)
        b->to->last_ns = at_ns;
    return 0;
}

/* {every: 20ms, values: "80x50 ..."} */
static int read_values(struct build *b, uint32_t index, const struct yaml_node *values,
                       int64_t every_ns)
{
    const struct input *input = &b->inputs[index];
    struct samples_part part;
    const char *why = "";
    uint32_t at = 0;
    int64_t t = 0;
    int rc;

    while ((rc = samples_next(values->text, &at, &part, &why)) == 1) {
        for (uint32_t i = 0; i < part.count; i++, t += every_ns) {
            uint64_t raw = 0;
            bool absent = part.kind == SAMPLE_NONE || part.kind == SAMPLE_STALE;

            rc = absent ? 0 : part_raw(b, input, values, &part, i, &raw);
            if (!rc)
                rc = add_sample(b, index, t, absent, raw);
            if (rc)
                return rc;
            if (part.kind == SAMPLE_STALE) /* its age is counted from the sample before */
                t += input->max_age_ns / every_ns * every_ns;
        }
    }
    return rc ? bad(b, input->from, values, part.offset, why, "") : 0;
}

/* {at: {0s: 0, 1s: -7.5}, repeat: 10ms} */
static int read_at(struct build *b, uint32_t index, const struct yaml_node *at, int64_t repeat_ns)
{
    const struct input *input = &b->inputs[index];

    for (const struct yaml_node *n = at->first; n; n = n->next) {
        int64_t t, until = b->end_ns + 1;
        uint32_t end = 0;
        struct samples_part part;
        const char *why = "";
        uint64_t raw;

        if (duration_parse(n->key, &t) || (n->next && duration_parse(n->next->key, &until)) ||
            (n->next && until <= t))
            return bad(b, input->from, n, 0, "times like 980ms, each later than the one before: ",
                       n->key);
        if (n->kind != YAML_TEXT || samples_next(n->text, &end, &part, &why) != 1 || n->text[end] ||
            part.count != 1)
            return bad(b, input->from, n, 0, "expected one value", "");
        bool absent = part.kind == SAMPLE_NONE || part.kind == SAMPLE_STALE;
        int rc = absent ? 0 : part_raw(b, input, n, &part, 0, &raw);
        if (!rc)
            rc = add_sample(b, index, t, absent, absent ? 0 : raw);
        for (t += repeat_ns; !rc && !absent && repeat_ns && t < until; t += repeat_ns)
            rc = add_sample(b, index, t, false, raw);
        if (rc)
            return rc;
    }
    return 0;
}

static int period(struct build *b, const struct stimulus_input *from, const char *key,
                  int64_t *ret_ns)
{
    const struct yaml_node *node = yaml_get(from->node, key);

    *ret_ns = 0;
    if (node && (node->kind != YAML_TEXT || duration_parse(node->text, ret_ns) || *ret_ns <= 0))
        return bad(b, from, node, 0, "expected a time like 20ms", "");
    return 0;
}

static int check_input_keys(struct build *b, const struct stimulus_input *from)
{
    static const char *const known[] = { "signal", "every", "values", "at", "repeat" };

    return yaml_map_check(from->tree, from->node, known, sizeof known / sizeof *known, b->err);
}

static int read_input(struct build *b, const struct stimulus_input *from)
{
    const struct yaml_node *values = yaml_get(from->node, "values"), *at = yaml_get(from->node, "at");
    uint32_t index = b->input_count;
    int64_t every_ns, repeat_ns;
    int rc = open_input(b, from);

    if (!rc)
        rc = check_input_keys(b, from);
    if (!rc)
        rc = period(b, from, "every", &every_ns);
    if (!rc)
        rc = period(b, from, "repeat", &repeat_ns);
    if (rc)
        return rc;
    if (values && !at && every_ns && values->kind == YAML_TEXT)
        return read_values(b, index, values, every_ns);
    if (at && !values && at->kind == YAML_MAP)
        return read_at(b, index, at, repeat_ns);
    return bad(b, from, from->node, 0, "needs `every` and `values`, or `at` (with `repeat`)", "");
}

/* --- frames --- */

static int by_time(const void *left, const void *right)
{
    const struct sample *a = left, *b = right;

    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static bool same_frame(const struct input *a, const struct input *b)
{
    return a->found.message == b->found.message && !strcmp(a->found.bus, b->found.bus) &&
           a->found.signal->multiplexor == b->found.signal->multiplexor &&
           (a->found.signal->multiplexor < 0 ||
            a->found.signal->ranges[0].first == b->found.signal->ranges[0].first);
}

/* Selects the branch, and the branch of the multiplexor itself. */
static void choose_branch(const struct dbc_message *message, const struct dbc_signal *signal,
                          uint8_t *data)
{
    while (signal->multiplexor >= 0) {
        const struct dbc_signal *above = &message->signals[signal->multiplexor];
        encode_raw(&above->plan, (uint64_t)signal->ranges[0].first, data);
        signal = above;
    }
}

static int source_of(struct stimulus *s, const char *bus)
{
    const char *name = bus[0] ? bus : "can0";

    for (uint32_t i = 0; i < s->sources.count; i++)
        if (!strcmp(s->sources.items[i].name, name))
            return (int)i;
    struct source *source = &s->sources.items[s->sources.count];
    (void)snprintf(source->name, sizeof source->name, "%s", name);
    source->tick_ns = 1;
    return (int)s->sources.count++;
}

static int put_frame(struct build *b, const struct frame *frame)
{
    struct stimulus *s = b->to;

    if (s->count == s->room) {
        uint32_t room = s->room ? s->room * 2 : 1024;
        struct frame *more = realloc(s->frames, room * sizeof *more);
        if (!more)
            return err_plain(b->err, -ENOMEM, "no memory");
        s->frames = more;
        s->room = room;
    }
    s->frames[s->count++] = *frame;
    return 0;
}

static void start_values(const struct dbc_message *message, uint8_t *data)
{
    for (uint32_t i = 0; i < message->signal_count; i++) {
        const struct dbc_signal *signal = &message->signals[i];
        if (signal->has_start_value && signal->multiplexor < 0 && signal->plan.mask)
            encode_raw(&signal->plan, (uint64_t)(int64_t)signal->start_value, data);
    }
}

/* The frame of samples[at] and of all others at its time that it carries; those become done. */
static int make_frame(struct build *b, uint32_t at, uint32_t end, bool *done,
                      const uint64_t *last, const bool *has_last)
{
    const struct sample *first = &b->samples[at];
    const struct input *input = &b->inputs[first->input];
    const struct dbc_message *message = input->found.message;
    struct frame frame = { .stamp_ns = STIMULUS_BASE_NS + first->at_ns, .id = message->id };
    uint32_t present = 0;

    start_values(message, frame.data);
    for (uint32_t i = 0; i < b->input_count; i++)
        if (has_last[i] && same_frame(input, &b->inputs[i]))
            encode_raw(&b->inputs[i].found.signal->plan, last[i], frame.data);
    for (uint32_t i = at; i < end; i++)
        if (same_frame(input, &b->inputs[b->samples[i].input])) {
            done[b->samples[i].input] = true;
            present += !b->samples[i].absent;
        }
    if (!present)
        return 0;
    for (uint32_t i = at; i < end; i++)
        if (b->samples[i].absent && same_frame(input, &b->inputs[b->samples[i].input]))
            return bad(b, input->from, input->from->node, 0, "a signal of the same frame is said to "
                       "have no sample at this time; all signals of a frame come together: ",
                       b->inputs[b->samples[i].input].found.signal->name);
    choose_branch(message, input->found.signal, frame.data);
    frame.flags = (uint16_t)((message->is_extended ? FRAME_EFF : 0) |
                             (message->is_fd || message->len > 8 ? FRAME_FD : 0));
    frame.len = (uint8_t)(message->len > FRAME_DATA_MAX ? FRAME_DATA_MAX : message->len);
    frame.dlc = frame_len_to_dlc(frame.len);
    frame.len = frame_dlc_to_len(frame.dlc, frame.flags & FRAME_FD);
    frame.source = (uint8_t)source_of(b->to, input->found.bus);
    return put_frame(b, &frame);
}

static int make_frames(struct build *b)
{
    uint64_t last[STIMULUS_SIGNALS_MAX] = { 0 };
    bool has_last[STIMULUS_SIGNALS_MAX] = { false };

    if (b->count)
        qsort(b->samples, b->count, sizeof *b->samples, by_time);
    for (uint32_t at = 0, end; at < b->count; at = end) {
        bool done[STIMULUS_SIGNALS_MAX] = { false };

        for (end = at; end < b->count && b->samples[end].at_ns == b->samples[at].at_ns; end++)
            if (!b->samples[end].absent) {
                last[b->samples[end].input] = b->samples[end].raw;
                has_last[b->samples[end].input] = true;
            }
        for (uint32_t i = at; i < end; i++) {
            int rc = done[b->samples[i].input]
                         ? 0 : make_frame(b, i, end, done, last, has_last);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int make_end(struct build *b, int64_t end_ns)
{
    struct frame frame = { .id = CLOCK_ID };

    if (end_ns < b->to->last_ns)
        end_ns = b->to->last_ns;
    frame.stamp_ns = STIMULUS_BASE_NS + end_ns;
    frame.source = (uint8_t)source_of(b->to, b->to->sources.count ? b->to->sources.items[0].name
                                                                  : "can0");
    return put_frame(b, &frame);
}

int stimulus_build(const struct stimulus_names *names, const struct stimulus_input *inputs,
                   uint32_t count, int64_t end_ns, struct stimulus *ret_stimulus,
                   struct err *err)
{
    struct build *b = calloc(1, sizeof *b);
    int rc = 0;

    memset(ret_stimulus, 0, sizeof *ret_stimulus);
    if (!b)
        return err_plain(err, -ENOMEM, "no memory");
    b->names = names;
    b->end_ns = end_ns;
    b->to = ret_stimulus;
    b->err = err;
    for (uint32_t i = 0; !rc && i < count; i++)
        rc = read_input(b, &inputs[i]);
    if (!rc)
        rc = make_frames(b);
    if (!rc)
        rc = make_end(b, end_ns);
    free(b->samples);
    free(b);
    if (rc)
        stimulus_deinit(ret_stimulus);
    return rc;
}

void stimulus_deinit(struct stimulus *stimulus)
{
    free(stimulus->frames);
    memset(stimulus, 0, sizeof *stimulus);
}
