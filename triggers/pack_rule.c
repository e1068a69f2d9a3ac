/* The rules of a pack. */
#include "triggers/pack_private.h"

#include <string.h>

#define CLIP_DURATION_MAX_NS (INT64_C(3600) * 1000000000)
#define LIMIT_MAX 1000

/* --- rules ---------------------------------------------------------------------------------- */

static const char *const clip_keys[] = { "pre", "post", "streams", "max_bytes", "merge", NULL };
static const char *const limit_keys[] = { "per_trip", "per_hour", "per_day", NULL };
static const char *const limit_later[] = { "bytes_per_day", NULL };

static void read_streams(struct pack *pack, const struct yaml_node *clip, struct rule *rule)
{
    const struct yaml_node *n = yaml_get(clip, "streams");
    uint32_t count = 0;

    if (!n || !field_is_kind(pack, n, YAML_LIST, "streams"))
        return;
    if (n->count > RULE_STREAMS_MAX) {
        pack_error(pack, n->line, n->column, "E502", "a clip has at most 16 streams");
        return;
    }
    const char **names = arena_array(pack->arena, n->count, sizeof *names);
    for (const struct yaml_node *i = n->first; names && i; i = i->next) {
        if (!field_is_kind(pack, i, YAML_TEXT, "a stream"))
            continue;
        names[count] = arena_text(pack->arena, i->text, i->len);
        count += names[count] != NULL;
    }
    rule->streams = names;
    rule->stream_count = count;
}

static void read_clip(struct pack *pack, const struct yaml_node *map, struct rule *rule)
{
    const struct yaml_node *clip = yaml_get(map, "clip");

    if (!clip || !field_is_kind(pack, clip, YAML_MAP, "clip"))
        return;
    field_check_keys(pack, clip, "'clip'", clip_keys, NULL);
    rule->pre_ns = field_duration(pack, clip, "pre", rule->pre_ns, CLIP_DURATION_MAX_NS);
    rule->post_ns = field_duration(pack, clip, "post", rule->post_ns, CLIP_DURATION_MAX_NS);
    rule->merge = field_bool(pack, clip, "merge", rule->merge);
    if (yaml_get(clip, "max_bytes"))
        rule->clip_max_bytes = field_bytes(pack, clip, "max_bytes");
    read_streams(pack, clip, rule);
}

static void read_limits(struct pack *pack, const struct yaml_node *map, struct rule *rule)
{
    const struct yaml_node *n = yaml_get(map, "limits");

    if (!n || !field_is_kind(pack, n, YAML_MAP, "limits"))
        return;
    field_check_keys(pack, n, "'limits'", limit_keys, limit_later);
    rule->per_trip = (uint32_t)field_integer(pack, n, "per_trip", rule->per_trip, 1, LIMIT_MAX);
    rule->per_hour = (uint32_t)field_integer(pack, n, "per_hour", rule->per_hour, 1, LIMIT_MAX);
    rule->per_day = (uint32_t)field_integer(pack, n, "per_day", rule->per_day, 1, LIMIT_MAX);
}

void pack_read_shared(struct pack *pack, const struct yaml_node *map, struct rule *rule)
{
    rule->for_ns = field_duration(pack, map, "for", rule->for_ns, DURATION_MAX_NS);
    rule->keep_ns = field_duration(pack, map, "keep", rule->keep_ns, DURATION_MAX_NS);
    rule->cooldown_ns = field_duration(pack, map, "cooldown", rule->cooldown_ns, DURATION_MAX_NS);
    rule->max_active_ns = field_duration(pack, map, "max_active", rule->max_active_ns,
                                         DURATION_MAX_NS);
    rule->priority = (uint8_t)field_integer(pack, map, "priority", rule->priority, 0, PRIORITY_MAX);
    read_clip(pack, map, rule);
    read_limits(pack, map, rule);
}

static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* 2026-12-31: the exception is valid until the end of that day, UTC. */
static void check_until(struct pack *pack, const struct yaml_node *n, const char *name)
{
    int y = 0, m = 0, d = 0, used = 0;

    if (!field_is_kind(pack, n, YAML_TEXT, "until"))
        return;
    if (n->len != 10 || sscanf(n->text, "%4d-%2d-%2d%n", &y, &m, &d, &used) != 3 || used != 10 ||
        m < 1 || m > 12 || d < 1 || d > 31) {
        pack_error(pack, n->line, n->column, "E105",
                   "found '%.40s' for 'until'; expected a date like 2026-12-31", n->text);
        return;
    }
    int64_t today = pack->today_utc_ns / 1000000000 / 86400;
    if (pack->today_utc_ns && today > days_from_civil(y, m, d))
        pack_warning(pack, n->line, n->column, "W730",
                     "exception '%s' was meant until %s; it still holds", name, n->text);
}

static void read_unless(struct pack *pack, const struct yaml_node *map, struct pack_rule *r)
{
    static const char *const known[] = { "name", "if", "until", NULL };
    const struct yaml_node *list = yaml_get(map, "unless");

    if (!list || !field_is_kind(pack, list, YAML_LIST, "unless"))
        return;
    if (list->count > UNLESS_MAX) {
        pack_error(pack, list->line, list->column, "E502", "a rule has at most 16 exceptions");
        return;
    }
    const char **names = arena_array(pack->arena, list->count, sizeof *names);
    for (const struct yaml_node *n = list->first; names && n; n = n->next) {
        if (!field_is_kind(pack, n, YAML_MAP, "an exception (like {name: workshop, if: \"...\"})"))
            continue;
        field_check_keys(pack, n, "an exception", known, NULL);
        const struct yaml_node *name = yaml_get(n, "name"), *when = yaml_get(n, "if");
        if (!name || !when) {
            pack_error(pack, n->line, n->column, "E106", "an exception needs 'name' and 'if'");
            continue;
        }
        struct pack_expression *e = &r->unless[r->rule.unless_count];
        e->name = field_text(pack, n, "name");
        if (!field_check_name(pack, e->name, name->line, name->column, "an exception's name"))
            continue;
        if (yaml_get(n, "until"))
            check_until(pack, yaml_get(n, "until"), e->name);
        e->body = field_expression(pack, when, "'if'", &e->text);
        names[r->rule.unless_count++] = e->name;
    }
    r->rule.unless = names;
}

static void read_attach(struct pack *pack, const struct yaml_node *map, struct pack_rule *r)
{
    const struct yaml_node *all = yaml_get(map, "attach");

    if (!all || !field_is_kind(pack, all, YAML_MAP, "attach"))
        return;
    if (all->count > ATTACH_MAX) {
        pack_error(pack, all->line, all->column, "E502", "a rule attaches at most 16 values");
        return;
    }
    for (const struct yaml_node *n = all->first; n; n = n->next) {
        struct pack_expression *e = &r->attach[r->rule.attach_count];
        e->name = arena_text(pack->arena, n->key, strlen(n->key));
        if (!e->name ||
            !field_check_name(pack, n->key, n->key_line, n->key_column, "an attached value's name"))
            continue;
        e->body = field_expression(pack, n, "an attached value", &e->text);
        r->rule.attach_count++;
    }
}

static void check_rule(struct pack *pack, const struct yaml_node *n, const struct pack_rule *r)
{
    const struct rule *rule = &r->rule;

    if (rule->trigger == TRIGGER_LEVEL &&
        (!rule->cooldown_ns || !(rule->per_trip || rule->per_hour || rule->per_day))) {
        const struct yaml_node *t = yaml_get(n, "trigger");
        pack_error(pack, t->line, t->column, "E530",
                   "a level trigger fires again and again: it needs 'cooldown' and 'limits'");
    }
    if (rule->max_active_ns == 0) {
        const struct yaml_node *t = yaml_get(n, "max_active");
        pack_error(pack, t ? t->line : n->line, t ? t->column : n->column, "E105",
                   "max_active must be more than 0");
    }
    if (rule->priority == PRIORITY_CRASH && !rule->owner[0])
        pack_warning(pack, rule->line, rule->column, "W719",
                     "rule '%s' has priority 9 but no 'owner' to call", rule->name);
}

static const char *join_id(struct pack *pack, const char *name)
{
    char id[RULE_NAME_MAX];
    int len = snprintf(id, sizeof id, "%s/%s", pack->package, name);

    return arena_text(pack->arena, id, (size_t)len < sizeof id ? (size_t)len : sizeof id - 1);
}

/* Texts for people; read only to refuse what is no text. */
static void check_notes(struct pack *pack, const struct yaml_node *n)
{
    const struct yaml_node *tags = yaml_get(n, "tags"), *labels = yaml_get(n, "labels");

    if (tags && field_is_kind(pack, tags, YAML_LIST, "tags"))
        for (const struct yaml_node *i = tags->first; i; i = i->next)
            (void)field_is_kind(pack, i, YAML_TEXT, "a tag");
    if (labels && field_is_kind(pack, labels, YAML_MAP, "labels"))
        for (const struct yaml_node *i = labels->first; i; i = i->next)
            (void)field_is_kind(pack, i, YAML_TEXT, "a label");
}

static void read_rule_keys(struct pack *pack, const struct yaml_node *n, struct pack_rule *r)
{
    static const char *const statuses[] = { "draft", "shadow", "canary", "stable", "deprecated",
                                            NULL };
    static const char *const triggers[] = { "rising", "falling", "both", "level", NULL };
    static const char *const initials[] = { "wait", "fire", NULL };
    struct rule *rule = &r->rule;

    rule->title = field_text(pack, n, "title");
    rule->why = field_text(pack, n, "why");
    rule->owner = field_text(pack, n, "owner");
    check_notes(pack, n);
    rule->status = (enum rule_status)field_choice(pack, n, "status", RULE_STABLE, statuses);
    rule->trigger = (enum rule_trigger)field_choice(pack, n, "trigger", TRIGGER_RISING, triggers);
    rule->initial_fire = field_choice(pack, n, "initial", 0, initials) == 1;
    rule->enabled = field_bool(pack, n, "enabled", true);
    pack_read_shared(pack, n, rule);
    read_unless(pack, n, r);
    read_attach(pack, n, r);
    const struct yaml_node *when = yaml_get(n, "when");
    if (when)
        r->when = field_expression(pack, when, "'when'", &r->when_text);
    else
        pack_error(pack, n->line, n->column, "E106", "rule '%s' lacks 'when'", rule->name);
    check_rule(pack, n, r);
}

static void read_rule(struct pack *pack, const struct yaml_node *n, const struct rule *defaults)
{
    static const char *const known[] = {
        "name", "title", "why", "owner", "tags", "labels", "status", "enabled", "when", "trigger",
        "for", "keep", "max_active", "cooldown", "priority", "unless", "limits", "clip", "attach",
        "initial", NULL,
    };
    static const char *const later[] = { "scope", "sample", "sample_by", "key", NULL };
    struct pack_rule *r = &pack->rules[pack->rule_count];

    if (!field_is_kind(pack, n, YAML_MAP, "a rule"))
        return;
    field_check_keys(pack, n, "a rule", known, later);
    r->rule = *defaults;
    const struct yaml_node *name = yaml_get(n, "name");
    if (!name) {
        pack_error(pack, n->line, n->column, "E106", "a rule lacks 'name'");
        return;
    }
    r->rule.name = field_text(pack, n, "name");
    r->rule.line = name->line;
    r->rule.column = name->column;
    if (!field_check_name(pack, r->rule.name, name->line, name->column, "a rule's name"))
        return;
    for (uint32_t i = 0; i < pack->rule_count; i++)
        if (strcmp(pack->rules[i].rule.name, r->rule.name) == 0)
            pack_error(pack, name->line, name->column, "E205",
                       "a second rule '%s'; the first is in line %u", r->rule.name,
                       pack->rules[i].rule.line);
    r->rule.id = join_id(pack, r->rule.name);
    read_rule_keys(pack, n, r);
    pack->rule_count++;
    if (!r->rule.id)
        (void)pack_no_memory(pack);
}

void pack_read_rules(struct pack *pack, const struct yaml_node *root, const struct rule *defaults)
{
    const struct yaml_node *n = yaml_get(root, "rules");

    if (!n) {
        pack_error(pack, root->line, root->column, "E106", "the pack lacks 'rules'");
        return;
    }
    if (!field_is_kind(pack, n, YAML_LIST, "rules"))
        return;
    if (n->count > RULES_MAX) {
        pack_error(pack, n->line, n->column, "E502", "a pack has at most 4096 rules");
        return;
    }
    pack->rules = arena_array(pack->arena, n->count, sizeof *pack->rules);
    if (!pack->rules) {
        (void)pack_no_memory(pack);
        return;
    }
    for (const struct yaml_node *i = n->first; i; i = i->next)
        read_rule(pack, i, defaults);
}
