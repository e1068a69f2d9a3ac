#include "tools/rulestest/expect.h"

#include "proto/clip_json.h"
#include "tools/yaml_map.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_TOLERANCE 1e-6 /* relative, of attached numbers */

void verdict_fail(struct verdict *verdict, const struct yaml_tree *tree,
                  const struct yaml_node *node, const char *format, ...)
{
    va_list ap;
    size_t left = verdict->size - verdict->length;

    verdict->failures++;
    if (left < 2)
        return;
    int n = snprintf(verdict->text + verdict->length, left, "    %s:%u:%u: ", yaml_file(tree),
                     node->line, node->column);
    verdict->length += n > 0 && (size_t)n < left ? (size_t)n : 0;
    left = verdict->size - verdict->length;
    va_start(ap, format);
    n = vsnprintf(verdict->text + verdict->length, left, format, ap);
    va_end(ap);
    verdict->length += n > 0 && (size_t)n < left ? (size_t)n : left - 1;
    if (verdict->length + 1 < verdict->size)
        verdict->text[verdict->length++] = '\n';
    verdict->text[verdict->length] = '\0';
}

static int wrong(const struct expectation *e, const struct yaml_node *node, struct err *err,
                 const char *text)
{
    return err_at(err, -EBADMSG, yaml_file(e->tree), node->line, node->column, "%s", text);
}

/* "1120ms" for people: seconds without trailing zeros. */
static const char *time_text(int64_t ns, char text[32])
{
    clip_json_time(ns, text);
    for (size_t n = strlen(text); n > 2 && text[n - 1] == '0' && text[n - 2] != '.'; n--)
        text[n - 1] = '\0';
    return text;
}

static int check_time(const struct expectation *e, const struct yaml_node *node, const char *what,
                      int64_t got_ns, struct verdict *verdict, struct err *err)
{
    int64_t wanted;
    char text[32];

    if (!node)
        return 0;
    if (node->kind != YAML_TEXT || duration_parse(node->text, &wanted))
        return wrong(e, node, err, "expected a time like 1120ms");
    if (llabs(got_ns - wanted) > e->tol_ns)
        verdict_fail(verdict, e->tree, node, "%s at %s expected, got %s s", what, node->text,
                     time_text(got_ns, text));
    return 0;
}

/* --- attached values --- */

static void value_text(const struct outcome_value *v, char *text, size_t size)
{
    switch (v->kind) {
    case CLIP_VALUE_UNKNOWN: (void)snprintf(text, size, "null"); break;
    case CLIP_VALUE_BOOL: (void)snprintf(text, size, "%s", v->integer ? "true" : "false"); break;
    case CLIP_VALUE_TEXT: (void)snprintf(text, size, "%.200s", v->text); break;
    case CLIP_VALUE_NUMBER:
        (void)snprintf(text, size, "%.9g%s%s", v->number, v->unit[0] ? " " : "", v->unit);
        break;
    default: (void)snprintf(text, size, "%" PRId64, v->integer);
    }
}

static bool value_equals(const struct outcome_value *v, const char *wanted)
{
    char text[256], *end;

    value_text(v, text, sizeof text);
    if (!strcmp(text, wanted))
        return true;
    if (v->kind != CLIP_VALUE_NUMBER && v->kind != CLIP_VALUE_INT)
        return false;
    double number = strtod(wanted, &end);
    double got = v->kind == CLIP_VALUE_INT ? (double)v->integer : v->number;
    while (*end == ' ')
        end++;
    return end != wanted && (!*end || !strcmp(end, v->unit)) &&
           fabs(number - got) <= NUMBER_TOLERANCE * (fabs(number) + 1e-9);
}

static int check_attach(const struct expectation *e, const struct yaml_node *map,
                        const struct outcome_event *got, struct verdict *verdict, struct err *err)
{
    if (!map)
        return 0;
    if (map->kind != YAML_MAP)
        return wrong(e, map, err, "attach is a map like {v0: 80 km/h}");
    for (const struct yaml_node *n = map->first; n; n = n->next) {
        const struct outcome_value *found = NULL;
        char text[256];

        for (uint32_t i = 0; i < got->value_count; i++)
            if (!strcmp(got->values[i].name, n->key))
                found = &got->values[i];
        if (!found) {
            verdict_fail(verdict, e->tree, n, "the event has no value '%s'", n->key);
        } else if (n->kind != YAML_TEXT || !value_equals(found, n->text)) {
            value_text(found, text, sizeof text);
            verdict_fail(verdict, e->tree, n, "%s: %s expected, got %s", n->key,
                         n->kind == YAML_TEXT ? n->text : "?", text);
        }
    }
    return 0;
}

/* --- fires --- */

static int check_clip(const struct expectation *e, const struct yaml_node *node,
                      const struct outcome_event *got, struct verdict *verdict, struct err *err)
{
    if (!node)
        return 0;
    if (node->kind != YAML_LIST || node->count != 2)
        return wrong(e, node, err, "clip is [from, to]");
    if (!got->has_clip) {
        verdict_fail(verdict, e->tree, node, "the event has no clip");
        return 0;
    }
    int rc = check_time(e, node->first, "the clip's begin", got->clip_start_ns, verdict, err);
    return rc ? rc : check_time(e, node->first->next, "the clip's end", got->clip_end_ns, verdict, err);
}

static int check_end(const struct expectation *e, const struct yaml_node *node,
                     const struct outcome_event *got, struct verdict *verdict, struct err *err)
{
    const struct yaml_node *reason = yaml_get(node, "reason");
    int rc = check_time(e, yaml_get(node, "end"), "the end", got->end_ns, verdict, err);

    if (!rc)
        rc = check_time(e, yaml_get(node, "closed"), "closed", got->closed_ns, verdict, err);
    if (!rc && reason && (reason->kind != YAML_TEXT || strcmp(reason->text, got->reason) != 0))
        verdict_fail(verdict, e->tree, reason, "the reason of the end is %s", got->reason);
    return rc;
}

static int check_fire(const struct expectation *e, const struct yaml_node *node,
                      const struct outcome_event *got, struct verdict *verdict, struct err *err)
{
    static const char *const known[] = { "start", "at", "end", "closed", "reason", "edge", "clip",
                                         "attach" };
    const struct yaml_node *edge = yaml_get(node, "edge");

    if (node->kind != YAML_MAP)
        return wrong(e, node, err, "a fire is a map like {at: 1120ms}");
    int rc = yaml_map_check(e->tree, node, known, sizeof known / sizeof *known, err);
    if (!rc)
        rc = check_time(e, yaml_get(node, "start"), "the start", got->start_ns, verdict, err);
    if (!rc)
        rc = check_time(e, yaml_get(node, "at"), "the fire", got->fire_ns, verdict, err);
    if (!rc)
        rc = check_end(e, node, got, verdict, err);
    if (!rc && edge && (edge->kind != YAML_TEXT || strcmp(edge->text, clip_edge_name(got->edge))))
        verdict_fail(verdict, e->tree, edge, "the edge is %s", clip_edge_name(got->edge));
    if (!rc)
        rc = check_clip(e, yaml_get(node, "clip"), got, verdict, err);
    return rc ? rc : check_attach(e, yaml_get(node, "attach"), got, verdict, err);
}

static const struct outcome_event *next_fire(const struct outcome *outcome, const char *rule,
                                             uint32_t *at)
{
    for (; *at < outcome->count; ++*at)
        if (!outcome->events[*at].suppressed && !strcmp(outcome->events[*at].rule, rule))
            return &outcome->events[(*at)++];
    return NULL;
}

static int check_fires(const struct expectation *e, const struct yaml_node *list,
                       const struct outcome *outcome, struct verdict *verdict, struct err *err)
{
    const struct outcome_event *got;
    uint32_t at = 0;
    char text[32];

    if (!list)
        return 0;
    if (list->kind != YAML_LIST)
        return wrong(e, list, err, "fires is a list; [] for none");
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        got = next_fire(outcome, e->rule, &at);
        if (!got) {
            verdict_fail(verdict, e->tree, n, "expected a fire that did not come");
            return 0;
        }
        int rc = check_fire(e, n, got, verdict, err);
        if (rc)
            return rc;
    }
    while ((got = next_fire(outcome, e->rule, &at)))
        verdict_fail(verdict, e->tree, list, "a fire at %s s was not expected",
                     time_text(got->fire_ns, text));
    return 0;
}

/* --- counts --- */

static int check_number(const struct expectation *e, const struct yaml_node *node, const char *what,
                        uint64_t got, struct verdict *verdict, struct err *err)
{
    char *end = NULL;
    unsigned long long wanted = node->kind == YAML_TEXT ? strtoull(node->text, &end, 10) : 0;

    if (!end || end == node->text || *end)
        return wrong(e, node, err, "expected a number");
    if (wanted != got)
        verdict_fail(verdict, e->tree, node, "%llu %s expected, got %" PRIu64, wanted, what, got);
    return 0;
}

static uint64_t count_of(const struct outcome *outcome, const char *rule, bool suppressed,
                         const char *reason)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < outcome->count; i++) {
        const struct outcome_event *event = &outcome->events[i];
        count += event->suppressed == suppressed && !strcmp(event->rule, rule) &&
                 (!reason || !strcmp(event->reason, reason));
    }
    return count;
}

/* Reasons that are not named must not occur. */
static int check_suppressed(const struct expectation *e, const struct yaml_node *map,
                            const struct outcome *outcome, struct verdict *verdict,
                            struct err *err)
{
    uint64_t named = 0;

    if (!map)
        return 0;
    if (map->kind != YAML_MAP)
        return wrong(e, map, err, "suppressed is a map like {cooldown: 1}; {} for none");
    for (const struct yaml_node *n = map->first; n; n = n->next) {
        uint64_t got = count_of(outcome, e->rule, true, n->key);
        int rc = check_number(e, n, n->key, got, verdict, err);
        if (rc)
            return rc;
        named += got;
    }
    uint64_t all = count_of(outcome, e->rule, true, NULL);
    if (all != named)
        verdict_fail(verdict, e->tree, map, "%" PRIu64 " fires were suppressed for other reasons",
                     all - named);
    return 0;
}

static int check_never(const struct expectation *e, const struct outcome *outcome,
                       struct verdict *verdict, struct err *err)
{
    if (e->never && e->never->kind != YAML_LIST)
        return wrong(e, e->never, err, "never is a list of rules");
    for (const struct yaml_node *n = e->never ? e->never->first : NULL; n; n = n->next)
        if (n->kind == YAML_TEXT && count_of(outcome, n->text, false, NULL))
            verdict_fail(verdict, e->tree, n, "%s fired", n->text);
    return 0;
}

int expect_check(const struct expectation *e, const struct outcome *outcome,
                 struct verdict *verdict, struct err *err)
{
    static const char *const known[] = { "fires", "count", "suppressed" };
    const struct yaml_node *count = yaml_get(e->node, "count");
    int rc = 0;

    if (e->node && e->node->kind != YAML_MAP)
        return wrong(e, e->node, err, "expect is a map like {fires: []}");
    if (e->node)
        rc = yaml_map_check(e->tree, e->node, known, sizeof known / sizeof *known, err);
    if (!rc)
        rc = check_fires(e, yaml_get(e->node, "fires"), outcome, verdict, err);
    if (!rc && count)
        rc = check_number(e, count, "fires", count_of(outcome, e->rule, false, NULL), verdict, err);
    if (!rc)
        rc = check_suppressed(e, yaml_get(e->node, "suppressed"), outcome, verdict, err);
    return rc ? rc : check_never(e, outcome, verdict, err);
}

int64_t expect_last(const struct yaml_node *expect)
{
    static const char *const keys[] = { "at", "end", "closed" };
    const struct yaml_node *fires = yaml_get(expect, "fires");
    int64_t last = 0, t;

    for (const struct yaml_node *n = fires ? fires->first : NULL; n; n = n->next)
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            const struct yaml_node *value = yaml_get(n, keys[i]);
            if (value && value->kind == YAML_TEXT && !duration_parse(value->text, &t) && t > last)
                last = t;
        }
    return last;
}
