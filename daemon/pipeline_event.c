#include "daemon/pipeline_inside.h"

#include <stdlib.h>
#include <string.h>

/* --- texts: one allocation behind a record --- */

struct text_box {
    char *at; /* NULL: only measure */
    size_t size;
};

static const char *put_text(struct text_box *box, const char *text)
{
    size_t size = strlen(text ? text : "") + 1;
    const char *kept = "";

    if (box->at) {
        kept = memcpy(box->at + box->size, text ? text : "", size);
    }
    box->size += size;
    return kept;
}

static void put_value(struct text_box *box, const struct rule_attach *attach,
                      const struct rule_value *value, struct clip_value *to)
{
    to->name = put_text(box, attach->name);
    to->unit = put_text(box, attach->unit);
    to->text = put_text(box, value->kind == VALUE_LABEL ? value->label : "");
    to->integer = value->integer;
    to->number = value->number;
    switch (value->kind) {
    case VALUE_NULL: to->kind = CLIP_VALUE_UNKNOWN; break;
    case VALUE_BOOL: to->kind = CLIP_VALUE_BOOL; break;
    case VALUE_INT: to->kind = CLIP_VALUE_INT; break;
    case VALUE_NUM: to->kind = CLIP_VALUE_NUMBER; break;
    case VALUE_LABEL: to->kind = CLIP_VALUE_TEXT; break;
    }
}

static void put_texts(struct text_box *box, const struct rule *rule, const struct rule_event *fired,
                      struct event_record *record)
{
    uint32_t count = fired->attach ? rule->attach_count : 0;

    if (count > ATTACH_MAX)
        count = ATTACH_MAX;
    record->event.rule = put_text(box, rule->id);
    for (uint32_t i = 0; i < count; i++)
        put_value(box, &rule->attach[i], &fired->attach[i], &record->values[i]);
    record->event.values = record->values;
    record->event.value_count = count;
}

/* The streams of a rule as one text; two rules may share a clip when it is equal. A rule with more
 * than fits is a class of its own by what fits and its count. */
static void join_streams(const struct rule *rule, char text[STREAMS_TEXT_MAX])
{
    size_t length = 0;

    for (uint32_t i = 0; i < rule->stream_count; i++) {
        int n = snprintf(text + length, STREAMS_TEXT_MAX - length, "%s,", rule->streams[i]);
        if (n < 0 || (size_t)n >= STREAMS_TEXT_MAX - length)
            break;
        length += (size_t)n;
    }
}

/* --- records --- */

struct event_record *event_fire(const struct pipeline *pipeline, const struct rule_event *fired)
{
    const struct rule *rule = ruleset_rule(pipeline->generation.rules, fired->rule);
    struct event_record *record = calloc(1, sizeof *record);
    struct text_box box = { NULL, 0 };

    if (!record)
        return NULL;
    put_texts(&box, rule, fired, record);
    record->texts = box.at = malloc(box.size);
    if (!record->texts) {
        free(record);
        return NULL;
    }
    box.size = 0;
    put_texts(&box, rule, fired, record);
    record->refs = 1;
    record->number = fired->number;
    memcpy(record->event.rule_hash, rule->hash, SHA256_BYTES);
    record->event.ordinal = fired->ordinal;
    record->event.edge = fired->edge == EDGE_FALLING ? CLIP_EDGE_FALL : CLIP_EDGE_RISE;
    record->event.start_ns = fired->start_ns;
    record->event.fire_ns = fired->fire_ns;
    record->event.offset_ns = offset_at(pipeline, fired->fire_ns);
    record->event.fire_step = pipeline->last_step;
    record->event.generation = pipeline->generation.number;
    record->event.reason = "";
    record->pre_ns = rule->pre_ns;
    record->post_ns = rule->post_ns;
    record->clip_max_bytes = rule->clip_max_bytes;
    record->priority = rule->priority;
    record->merge = rule->merge;
    join_streams(rule, record->streams);
    return record;
}

struct event_record *event_manual(struct pipeline *pipeline,
                                  const struct pipeline_trigger *trigger)
{
    struct event_record *record = calloc(1, sizeof *record);

    if (!record)
        return NULL;
    record->texts = strdup(trigger->note ? trigger->note : "");
    if (!record->texts) {
        free(record);
        return NULL;
    }
    record->refs = 1;
    record->event.rule = "manual";
    record->event.ordinal = pipeline->manual_ordinal++;
    record->event.edge = CLIP_EDGE_MANUAL;
    record->event.start_ns = record->event.fire_ns = pipeline->now_ns;
    record->event.end_ns = record->event.closed_ns = pipeline->now_ns;
    record->event.ended = record->event.closed = true;
    record->event.offset_ns = offset_at(pipeline, pipeline->now_ns);
    record->event.fire_step = pipeline->last_step;
    record->event.generation = pipeline->generation.number;
    record->event.reason = "manual";
    record->values[0] = (struct clip_value){ .name = "note", .text = record->texts, .unit = "",
                                             .kind = CLIP_VALUE_TEXT };
    record->event.values = record->values;
    record->event.value_count = trigger->note ? 1 : 0;
    record->pre_ns = trigger->pre_ns;
    record->post_ns = trigger->post_ns;
    record->priority = trigger->priority;
    record->merge = true;
    return record;
}

void event_hold(struct event_record *record) { record->refs++; }

void event_drop(struct event_record *record)
{
    if (!record || --record->refs)
        return;
    free(record->texts);
    free(record);
}

void event_remember(struct pipeline *pipeline, struct event_record *record)
{
    size_t at = (pipeline->recent_at + pipeline->recent_count) % RECENT_EVENTS_MAX;

    if (pipeline->recent_count == RECENT_EVENTS_MAX) {
        event_drop(pipeline->recent[pipeline->recent_at]);
        pipeline->recent_at = (pipeline->recent_at + 1) % RECENT_EVENTS_MAX;
        pipeline->recent_count--;
    }
    event_hold(record);
    pipeline->recent[at] = record;
    pipeline->recent_count++;
}

struct event_record *event_find(struct pipeline *pipeline, uint64_t number)
{
    for (uint32_t i = 0; i < pipeline->live_count; i++)
        if (pipeline->live[i]->number == number)
            return pipeline->live[i];
    return NULL;
}

bool event_live(struct pipeline *pipeline, struct event_record *record)
{
    if (pipeline->live_count == LIVE_EVENTS_MAX)
        return false;
    event_hold(record);
    pipeline->live[pipeline->live_count++] = record;
    return true;
}

void event_unlive(struct pipeline *pipeline, struct event_record *record)
{
    for (uint32_t i = 0; i < pipeline->live_count; i++) {
        if (pipeline->live[i] != record)
            continue;
        pipeline->live[i] = pipeline->live[--pipeline->live_count];
        event_drop(record);
        return;
    }
}

/* --- notes --- */

static bool note_room(struct pipeline *pipeline)
{
    size_t room = pipeline->note_room ? 2 * pipeline->note_room : 256;

    if (pipeline->note_at + pipeline->note_count < pipeline->note_room)
        return true;
    if (pipeline->note_at) {
        memmove(pipeline->notes, pipeline->notes + pipeline->note_at,
                pipeline->note_count * sizeof *pipeline->notes);
        pipeline->note_at = 0;
        return true;
    }
    struct pipeline_item *notes = realloc(pipeline->notes, room * sizeof *notes);
    if (!notes)
        return false;
    pipeline->notes = notes;
    pipeline->note_room = room;
    return true;
}

void note_put(struct pipeline *pipeline, enum pipeline_note_kind kind,
              struct event_record *record, const char *reason, int64_t t_ns,
              const uint8_t *clip_id)
{
    if (!note_room(pipeline))
        return; /* a line of the log less; every count stands in stats */
    struct pipeline_item *item = &pipeline->notes[pipeline->note_at + pipeline->note_count++];
    memset(item, 0, sizeof *item);
    item->record = record;
    if (record)
        event_hold(record);
    if (clip_id)
        memcpy(item->clip_id, clip_id, CLIP_ID_BYTES);
    item->note = (struct pipeline_note){ .kind = kind,
                                         .reason = reason,
                                         .t_ns = t_ns,
                                         .offset_ns = offset_at(pipeline, t_ns),
                                         .clip_id = clip_id, /* replaced when taken */
                                         .generation = pipeline->generation.number };
}

/* --- offsets --- */

void offset_put(struct pipeline *pipeline, int64_t from_ns, int64_t offset_ns)
{
    size_t at = pipeline->offset_count++ % OFFSETS_MAX;

    pipeline->offsets[at].from_ns = from_ns;
    pipeline->offsets[at].offset_ns = offset_ns;
}

/* An instant at which the offset changed belongs to the new one. */
int64_t offset_at(const struct pipeline *pipeline, int64_t mono_ns)
{
    size_t count = pipeline->offset_count;
    int64_t oldest_ns = pipeline->timeline.offset_ns;

    for (size_t back = 0; back < count && back < OFFSETS_MAX; back++) {
        size_t at = (count - 1 - back) % OFFSETS_MAX;
        oldest_ns = pipeline->offsets[at].offset_ns;
        if (pipeline->offsets[at].from_ns <= mono_ns)
            return oldest_ns;
    }
    return oldest_ns;
}
