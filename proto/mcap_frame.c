#include "proto/mcap_frame.h"

#include <assert.h>
#include <errno.h>

/* The numbers are the format: never used again for something else. */
enum {
    FRAME_ID = 1,
    FRAME_FLAGS = 2,
    FRAME_DLC = 3,
    FRAME_DATA = 4,
    FRAME_STAMP = 5,
    FRAME_STEP = 6,
    FRAME_MONO = 7,
    FRAME_OFFSET = 8,
};
enum { MARK_KIND = 1, MARK_OFFSET = 2, MARK_MONO = 3, MARK_GENERATION = 4 };
enum { MARK_IS_CLOCK = 1, MARK_IS_GENERATION = 2 };

static const struct pbw_field frame_fields[] = {
    { "id", FRAME_ID, PBW_UINT32, NULL, false },
    { "flags", FRAME_FLAGS, PBW_UINT32, NULL, false },
    { "dlc", FRAME_DLC, PBW_UINT32, NULL, false },
    { "data", FRAME_DATA, PBW_BYTES, NULL, false },
    { "stamp_ns", FRAME_STAMP, PBW_INT64, NULL, false },
    { "step", FRAME_STEP, PBW_UINT64, NULL, false },
    { "mono_ns", FRAME_MONO, PBW_INT64, NULL, false },
    { "offset_ns", FRAME_OFFSET, PBW_INT64, NULL, false },
};
static const struct pbw_field mark_fields[] = {
    { "kind", MARK_KIND, PBW_UINT32, NULL, false },
    { "offset_ns", MARK_OFFSET, PBW_INT64, NULL, false },
    { "mono_ns", MARK_MONO, PBW_INT64, NULL, false },
    { "generation", MARK_GENERATION, PBW_UINT32, NULL, false },
};
static const struct pbw_field value_fields[] = {
    { "name", 1, PBW_STRING, NULL, false },    { "text", 2, PBW_STRING, NULL, false },
    { "number", 3, PBW_DOUBLE, NULL, false },  { "integer", 4, PBW_INT64, NULL, false },
    { "unit", 5, PBW_STRING, NULL, false },
};
static const struct pbw_field event_fields[] = {
    { "rule", 1, PBW_STRING, NULL, false },       { "edge", 2, PBW_STRING, NULL, false },
    { "ordinal", 3, PBW_UINT64, NULL, false },    { "generation", 4, PBW_UINT32, NULL, false },
    { "start_ns", 5, PBW_INT64, NULL, false },    { "fire_ns", 6, PBW_INT64, NULL, false },
    { "end_ns", 7, PBW_INT64, NULL, false },      { "closed_ns", 8, PBW_INT64, NULL, false },
    { "reason", 9, PBW_STRING, NULL, false },     { "fire_step", 10, PBW_UINT64, NULL, false },
    { "rule_hash", 11, PBW_STRING, NULL, false },
    { "values", 12, PBW_MESSAGE, ".roadloop.Value", true },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void mcap_frame_descriptor(struct pbw *w, const char *schema)
{
    static const struct pbw_message frame[] = { { "CanFrame", frame_fields, COUNT(frame_fields) } };
    static const struct pbw_message mark[] = { { "Mark", mark_fields, COUNT(mark_fields) } };
    static const struct pbw_message event[] = { { "Event", event_fields, COUNT(event_fields) },
                                                { "Value", value_fields, COUNT(value_fields) } };
    static const struct pbw_file files[] = {
        { "roadloop/CanFrame.proto", "roadloop", frame, COUNT(frame) },
        { "roadloop/Mark.proto", "roadloop", mark, COUNT(mark) },
        { "roadloop/Event.proto", "roadloop", event, COUNT(event) },
    };

    pbw_descriptor_set(w, !strcmp(schema, MCAP_FRAME_SCHEMA)  ? &files[0]
                          : !strcmp(schema, MCAP_MARK_SCHEMA) ? &files[1]
                                                              : &files[2]);
}

/* What mono is where nothing was clamped; wraps where only hostile bytes get. */
static int64_t mapped_ns(const struct row *row)
{
    return (int64_t)((uint64_t)row->frame.stamp_ns + (uint64_t)row->offset_ns);
}

void mcap_frame_encode(struct pbw *w, const struct recording_item *item)
{
    const struct row *row = &item->row;
    const struct frame *frame = &row->frame;

    pbw_uint(w, FRAME_ID, frame->id);
    pbw_uint(w, FRAME_FLAGS, frame->flags);
    pbw_uint(w, FRAME_DLC, frame->dlc);
    pbw_bytes(w, FRAME_DATA, frame->data, frame->len);
    pbw_int(w, FRAME_STAMP, frame->stamp_ns);
    if (!item->placed)
        return;
    pbw_uint(w, FRAME_STEP, row->step);
    if (row->mono_ns != mapped_ns(row))
        pbw_int(w, FRAME_MONO, row->mono_ns);
    if (row->offset_ns)
        pbw_int(w, FRAME_OFFSET, row->offset_ns);
}

void mcap_mark_encode(struct pbw *w, const struct recording_item *item)
{
    if (item->kind == RECORDING_CLOCK) {
        pbw_uint(w, MARK_KIND, MARK_IS_CLOCK);
        pbw_int(w, MARK_OFFSET, item->offset_ns);
        pbw_int(w, MARK_MONO, item->mono_ns);
    } else {
        assert(item->kind == RECORDING_GENERATION);
        pbw_uint(w, MARK_KIND, MARK_IS_GENERATION);
        pbw_uint(w, MARK_GENERATION, item->generation);
    }
}

/* As in the encoders of clip.h, NULL stands for "". */
static void put_text(struct pbw *w, uint32_t field, const char *text)
{
    pbw_text(w, field, text ? text : "");
}

static void put_value(struct pbw *w, const struct clip_value *value)
{
    pbw_begin(w, 12);
    put_text(w, 1, value->name);
    if (value->kind == CLIP_VALUE_TEXT)
        put_text(w, 2, value->text);
    if (value->kind == CLIP_VALUE_NUMBER)
        pbw_double(w, 3, value->number);
    if (value->kind != CLIP_VALUE_NUMBER && value->kind != CLIP_VALUE_UNKNOWN)
        pbw_int(w, 4, value->integer);
    if (value->unit && value->unit[0])
        put_text(w, 5, value->unit);
    pbw_end(w);
}

/* A manifest may come from anywhere: a sum that does not fit stays at the end of the scale. */
static int64_t add_ns(int64_t a, int64_t b)
{
    int64_t sum;

    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

void mcap_event_encode(struct pbw *w, const struct clip_event *event, int64_t shift_ns)
{
    char hash[SHA256_HEX];

    hex_from(event->rule_hash, SHA256_BYTES, hash);
    put_text(w, 1, event->rule);
    pbw_text(w, 2, clip_edge_name(event->edge));
    pbw_uint(w, 3, event->ordinal);
    pbw_uint(w, 4, event->generation);
    pbw_int(w, 5, add_ns(event->start_ns, shift_ns));
    pbw_int(w, 6, add_ns(event->fire_ns, shift_ns));
    if (event->ended)
        pbw_int(w, 7, add_ns(event->end_ns, shift_ns));
    if (event->closed)
        pbw_int(w, 8, add_ns(event->closed_ns, shift_ns));
    put_text(w, 9, event->reason);
    pbw_uint(w, 10, event->fire_step);
    pbw_text(w, 11, hash);
    for (uint32_t i = 0; i < event->value_count; i++)
        put_value(w, &event->values[i]);
}

/* --- reading --- */

/* One field: its number, and its value as a varint or a view. */
struct field {
    uint64_t number, value;
    unsigned wire;
    const uint8_t *bytes;
    size_t size;
};

static bool next_field(struct bytes_reader *r, struct field *ret_field)
{
    if (r->failed || !bytes_left(r))
        return false;
    uint64_t tag = bytes_varint(r);
    struct field field = { .number = tag >> 3, .wire = (unsigned)(tag & 7) };
    switch (field.wire) {
    case 0: field.value = bytes_varint(r); break;
    case 1: field.bytes = bytes_take(r, 8); break;
    case 2:
        field.value = bytes_varint(r);
        if (field.value > bytes_left(r))
            r->failed = true;
        else
            field.bytes = bytes_take(r, field.size = (size_t)field.value);
        break;
    case 5: field.bytes = bytes_take(r, 4); break;
    default: r->failed = true; /* groups ended with proto2's first years */
    }
    *ret_field = field;
    return !r->failed;
}

/* A field that frame and mark know has one wire type. */
static bool is_wire(struct bytes_reader *r, const struct field *field, unsigned wire)
{
    if (field->wire != wire)
        r->failed = true;
    return !r->failed;
}

static void take_number(struct bytes_reader *r, const struct field *field, uint64_t max,
                        uint64_t *ret_value)
{
    if (!is_wire(r, field, 0))
        return;
    if (field->value > max)
        r->failed = true;
    *ret_value = field->value;
}

struct frame_numbers {
    uint64_t id, flags, dlc, stamp, step, mono, offset;
    bool has_step, has_mono;
};

static void take_frame_field(struct bytes_reader *r, const struct field *field,
                             struct frame_numbers *n, struct frame *frame)
{
    switch (field->number) {
    case FRAME_ID: take_number(r, field, UINT32_MAX, &n->id); break;
    case FRAME_FLAGS: take_number(r, field, UINT16_MAX, &n->flags); break;
    case FRAME_DLC: take_number(r, field, 15, &n->dlc); break;
    case FRAME_STAMP: take_number(r, field, UINT64_MAX, &n->stamp); break;
    case FRAME_STEP:
        take_number(r, field, UINT64_MAX, &n->step);
        n->has_step = true;
        break;
    case FRAME_MONO:
        take_number(r, field, UINT64_MAX, &n->mono);
        n->has_mono = true;
        break;
    case FRAME_OFFSET: take_number(r, field, UINT64_MAX, &n->offset); break;
    case FRAME_DATA:
        if (!is_wire(r, field, 2) || field->size > FRAME_DATA_MAX) {
            r->failed = true;
            return;
        }
        memset(frame->data, 0, sizeof frame->data);
        memcpy(frame->data, field->bytes, field->size);
        frame->len = (uint8_t)field->size;
        break;
    default: break;
    }
}

int mcap_frame_decode(const uint8_t *bytes, size_t size, struct recording_item *ret_item)
{
    struct recording_item item = { .kind = RECORDING_FRAME };
    struct bytes_reader r = bytes_reader_init(bytes, size);
    struct frame_numbers n = { 0 };
    struct field field;

    while (next_field(&r, &field))
        take_frame_field(&r, &field, &n, &item.row.frame);
    if (r.failed)
        return -EBADMSG;
    item.row.frame.id = (uint32_t)n.id;
    item.row.frame.flags = (uint16_t)n.flags;
    item.row.frame.dlc = (uint8_t)n.dlc;
    item.row.frame.stamp_ns = (int64_t)n.stamp;
    if (frame_check(&item.row.frame))
        return -EBADMSG;
    item.placed = n.has_step;
    item.row.step = n.step;
    item.row.offset_ns = (int64_t)n.offset;
    item.row.mono_ns = !n.has_step ? 0 : n.has_mono ? (int64_t)n.mono : mapped_ns(&item.row);
    *ret_item = item;
    return 0;
}

int mcap_mark_decode(const uint8_t *bytes, size_t size, struct recording_item *ret_item)
{
    struct bytes_reader r = bytes_reader_init(bytes, size);
    uint64_t kind = 0, offset = 0, mono = 0, generation = 0;
    struct field field;

    while (next_field(&r, &field))
        switch (field.number) {
        case MARK_KIND: take_number(&r, &field, UINT32_MAX, &kind); break;
        case MARK_OFFSET: take_number(&r, &field, UINT64_MAX, &offset); break;
        case MARK_MONO: take_number(&r, &field, UINT64_MAX, &mono); break;
        case MARK_GENERATION: take_number(&r, &field, UINT32_MAX, &generation); break;
        default: break;
        }
    if (r.failed || (kind != MARK_IS_CLOCK && kind != MARK_IS_GENERATION))
        return -EBADMSG;
    *ret_item = (struct recording_item){
        .kind = kind == MARK_IS_CLOCK ? RECORDING_CLOCK : RECORDING_GENERATION,
        .offset_ns = (int64_t)offset,
        .mono_ns = (int64_t)mono,
        .generation = (uint32_t)generation,
    };
    return 0;
}
