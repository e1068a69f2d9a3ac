/* The limits of header and manifest, the same for what is written and for what is read. */
#include "proto/clip_pb.h"

#include <string.h>

static bool text_fits(const char *text, size_t max) { return !text || strlen(text) < max; }

static bool dbcs_fit(const struct clip_dbc *dbcs, uint32_t count)
{
    if (count > CLIP_DBCS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!text_fits(dbcs[i].bus, SOURCE_NAME_MAX) || !text_fits(dbcs[i].name, CLIP_TEXT_MAX))
            return false;
    return true;
}

bool clip_pb_header_fits(const struct clip_header *h)
{
    return h->segments >= 1 && h->segments <= SEGMENTS_MAX && h->segment < h->segments &&
           text_fits(h->vehicle, PSEUDONYM_MAX) && text_fits(h->rule, RULE_NAME_MAX) &&
           text_fits(h->purpose, CLIP_LABEL_MAX) && text_fits(h->clip_class, CLIP_LABEL_MAX) &&
           text_fits(h->key_id, CLIP_LABEL_MAX) && text_fits(h->clock.source, CLIP_LABEL_MAX) &&
           h->priority <= PRIORITY_MAX && h->sources.count <= SOURCES_MAX &&
           h->state_bytes <= CLIP_STATE_BYTES_MAX && dbcs_fit(h->dbcs, h->dbc_count);
}

static bool event_fits(const struct clip_event *e)
{
    if (!text_fits(e->rule, RULE_NAME_MAX) || !text_fits(e->reason, CLIP_LABEL_MAX) ||
        e->edge > CLIP_EDGE_MANUAL || e->value_count > ATTACH_MAX)
        return false;
    for (uint32_t i = 0; i < e->value_count; i++)
        if (!text_fits(e->values[i].name, CLIP_TEXT_MAX) ||
            !text_fits(e->values[i].text, CLIP_TEXT_MAX) ||
            !text_fits(e->values[i].unit, CLIP_TEXT_MAX) ||
            e->values[i].kind > CLIP_VALUE_DURATION)
            return false;
    return true;
}

bool clip_pb_manifest_fits(const struct clip_manifest *m)
{
    if (m->segment >= SEGMENTS_MAX || m->event_count > CLIP_EVENTS_MAX ||
        m->overlap_count > CLIP_OVERLAPS_MAX || m->end > CLIP_END_LIMIT ||
        m->completeness.source_count > SOURCES_MAX ||
        m->completeness.source_event_count > CLIP_SOURCE_EVENTS_MAX ||
        !text_fits(m->completeness.clock_quality, CLIP_LABEL_MAX) ||
        !text_fits(m->end_detail, CLIP_TEXT_MAX) || !text_fits(m->clock.source, CLIP_LABEL_MAX) ||
        m->early_state_bytes > CLIP_STATE_BYTES_MAX || m->early_seed_bytes > CLIP_SEED_BYTES_MAX ||
        !dbcs_fit(m->dbcs, m->dbc_count))
        return false;
    for (uint32_t i = 0; i < m->event_count; i++)
        if (!event_fits(&m->events[i]))
            return false;
    return true;
}
