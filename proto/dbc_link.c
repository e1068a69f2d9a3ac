#include "proto/dbc_build.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Indices of messages by id and of signals by short name, while linking. */
struct link_maps {
    struct dbc_ids ids;
    struct dbc_names names;
};

static const char *const row_words[] = {
    [ROW_LABELS] = "VAL_",   [ROW_TYPE] = "SIG_VALTYPE_", [ROW_MUX] = "SG_MUL_VAL_",
    [ROW_DAMAGED] = "",      [ROW_MESSAGE_NAME] = "BA_",  [ROW_SIGNAL_NAME] = "BA_",
    [ROW_CYCLE] = "BA_",     [ROW_FORMAT] = "BA_",        [ROW_SPN] = "BA_",
    [ROW_START] = "BA_",
};

void dbc_refuse_signal(struct dbc_build *b, const struct build_message *message,
                       struct build_signal *signal, const char *code, const char *format, ...)
{
    char text[ERR_TEXT_MAX / 2];
    struct dbc_place place = { signal->s.line, signal->s.column };
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dbc_warn(b, code, place, "signal '%s' of message '%s' is refused: %s", signal->s.short_name,
             message->m.short_name, text);
    signal->refused = arena_text(&b->arena, text, strlen(text));
    if (!signal->refused)
        dbc_fail(b, -ENOMEM, place, "out of memory");
    else
        dbc_refuse(b, message->m.short_name, signal->s.short_name, signal->refused, place);
}

static void refuse_message(struct dbc_build *b, struct build_message *message, const char *reason)
{
    message->refused = reason;
    dbc_refuse(b, message->m.short_name, "", reason,
               (struct dbc_place){ message->m.line, message->m.column });
}

static uint32_t id_key(uint32_t id, bool extended)
{
    return id | (extended ? UINT32_C(0x80000000) : 0);
}

static bool make_maps(struct dbc_build *b, struct link_maps *maps)
{
    if (dbc_ids_init(&maps->ids, &b->arena, b->message_count) != 0 ||
        dbc_names_init(&maps->names, &b->arena, b->signal_count + b->table_count) != 0) {
        dbc_fail(b, -ENOMEM, (struct dbc_place){ 0, 0 }, "out of memory");
        return false;
    }
    for (uint32_t i = 0; i < b->table_count; i++)
        (void)dbc_names_put(&maps->names, DBC_SCOPE_TABLES, b->tables[i].name, i);
    return true;
}

/* The first message of an id stands: which one is meant nobody can tell, but it must be the same
 * one every time. */
static void map_message(struct dbc_build *b, struct link_maps *maps, uint32_t index)
{
    struct build_message *message = &b->messages[index];
    uint32_t first = dbc_ids_put(&maps->ids, id_key(message->m.id, message->m.is_extended), index);

    if (first == index)
        return;
    const struct dbc_message *other = &b->messages[first].m;
    dbc_warn(b, "D106", (struct dbc_place){ message->m.line, message->m.column },
             "id 0x%X is that of message '%s' in line %u; message '%s' is refused", message->m.id,
             other->name, other->line, message->m.name);
    refuse_message(b, message, "another message before it has its id");
}

/* From the back, so that the map and each same_name lead to the first of a name, then on. */
static void map_signals(struct dbc_build *b, struct link_maps *maps, uint32_t index)
{
    struct build_message *message = &b->messages[index];
    struct build_signal *signals = build_signals(b, message);

    for (uint32_t i = message->m.signal_count; i-- > 0;) {
        uint32_t next = dbc_names_set(&maps->names, index, signals[i].s.short_name, i);
        if (next != DBC_NAME_UNKNOWN)
            signals[i].s.same_name = (int32_t)next;
    }
}

/* --- rows --- */

static const char *nearest_signal(const struct dbc_build *b, const struct build_message *message,
                                  const char *name)
{
    static const char *const none = "";
    const struct build_signal *signals = build_signals(b, message);
    const char **names = NULL, *nearest = NULL;

    if (b->diags && b->diags->count < DIAGS_MAX && message->m.signal_count)
        names = malloc(message->m.signal_count * sizeof *names);
    if (!names)
        return none;
    for (uint32_t i = 0; i < message->m.signal_count; i++)
        names[i] = signals[i].s.short_name;
    nearest = err_nearest(name, names, message->m.signal_count);
    free(names);
    return nearest ? nearest : none;
}

static void warn_no_signal(struct dbc_build *b, const struct dbc_row *row,
                           const struct build_message *message)
{
    const char *nearest = nearest_signal(b, message, row->signal);

    dbc_warn(b, "D104", row->place, "message '%s' has no signal '%s'%s%s%s; the %s row is left out",
             message->m.name, row->signal, *nearest ? ", the nearest is '" : "", nearest,
             *nearest ? "'" : "", row_words[row->kind]);
}

struct ordered_label {
    struct dbc_label label;
    uint32_t order;
};

static int by_raw(const void *left, const void *right)
{
    const struct ordered_label *a = left, *b = right;

    if (a->label.raw != b->label.raw)
        return a->label.raw < b->label.raw ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* A sorted copy; of several texts for one value the last stands, as in cantools. */
static const struct dbc_label *sort_labels(struct dbc_build *b, uint32_t first, uint32_t count,
                                           uint32_t *ret_count)
{
    struct ordered_label *ordered = malloc((count ? count : 1) * sizeof *ordered);
    struct dbc_label *sorted = arena_alloc(&b->arena, count * sizeof *sorted);
    uint32_t used = 0;

    *ret_count = 0;
    if (!ordered || !sorted) {
        free(ordered);
        dbc_fail(b, -ENOMEM, (struct dbc_place){ 0, 0 }, "out of memory");
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        ordered[i] = (struct ordered_label){ b->labels[first + i], i };
    qsort(ordered, count, sizeof *ordered, by_raw);
    for (uint32_t i = 0; i < count; i++) {
        if (used && sorted[used - 1].raw == ordered[i].label.raw)
            used--;
        sorted[used++] = ordered[i].label;
    }
    free(ordered);
    *ret_count = used;
    return sorted;
}

static const struct dbc_label *labels_of_row(struct dbc_build *b, const struct link_maps *maps,
                                             const struct dbc_row *row, uint32_t *ret_count)
{
    if (!row->text)
        return sort_labels(b, row->first, row->count, ret_count);
    uint32_t index = dbc_names_find(&maps->names, DBC_SCOPE_TABLES, row->text);
    if (index == DBC_NAME_UNKNOWN) {
        dbc_warn(b, "D104", row->place, "there is no value table '%s'; the VAL_ row is left out",
                 row->text);
        *ret_count = 0;
        return NULL;
    }
    struct dbc_table *table = &b->tables[index];
    if (!table->sorted)
        table->sorted = sort_labels(b, table->first, table->count, &table->sorted_count);
    *ret_count = table->sorted_count;
    return table->sorted;
}

/* Where a name stands for several branches, the row means the one whose own value it holds. */
static void set_mux_row(struct dbc_build *b, struct dbc_row *row,
                        const struct build_message *message, struct build_signal *signal,
                        bool only)
{
    if (!only && !(signal->is_muxed && dbc_row_holds(b, row, signal->mux_value)))
        return;
    if (signal->mux_row && !signal->refused)
        dbc_refuse_signal(b, message, signal, "D107", "SG_MUL_VAL_ speaks of it in line %u and "
                          "again in line %u", signal->mux_row->place.line, row->place.line);
    signal->mux_row = row;
}

static void set_type(struct dbc_signal *signal, double type)
{
    if (type == 1.0)
        signal->layout.kind = DECODE_FLOAT32;
    else if (type == 2.0)
        signal->layout.kind = DECODE_FLOAT64;
}

static void apply_to_signals(struct dbc_build *b, const struct link_maps *maps,
                             struct dbc_row *row, struct build_message *message,
                             uint32_t first)
{
    struct build_signal *signals = build_signals(b, message);
    bool only = signals[first].s.same_name == DBC_NONE;
    const struct dbc_label *labels = NULL;
    uint32_t count = 0;

    if (row->kind == ROW_LABELS)
        labels = labels_of_row(b, maps, row, &count);
    for (int32_t i = (int32_t)first; i != DBC_NONE && !b->status; i = signals[i].s.same_name) {
        struct build_signal *signal = &signals[i];
        if (row->kind == ROW_LABELS) {
            signal->s.labels = labels;
            signal->s.label_count = count;
        } else if (row->kind == ROW_TYPE) {
            set_type(&signal->s, row->number);
        } else if (row->kind == ROW_MUX) {
            set_mux_row(b, row, message, signal, only);
        } else if (row->kind == ROW_SIGNAL_NAME && row->text[0]) {
            signal->s.name = row->text;
        } else if (row->kind == ROW_SPN && row->number >= 1.0 && row->number <= INT32_MAX) {
            signal->s.spn = (int32_t)row->number;
        } else if (row->kind == ROW_START) {
            signal->s.has_start_value = true;
            signal->s.start_value = row->number;
        }
    }
}

static void apply_to_message(struct dbc_build *b, const struct dbc_row *row,
                             struct build_message *message)
{
    char text[64];

    if (row->kind == ROW_MESSAGE_NAME && row->text[0]) {
        message->m.name = row->text;
    } else if (row->kind == ROW_CYCLE) {
        message->cycle_row = row;
    } else if (row->kind == ROW_FORMAT) {
        message->format_row = row;
    } else if (row->kind == ROW_DAMAGED && !message->refused) {
        (void)snprintf(text, sizeof text, "its %s row in line %u is damaged", row->text,
                       row->place.line);
        const char *reason = arena_text(&b->arena, text, strlen(text));
        refuse_message(b, message, reason ? reason : "a row of it is damaged");
    }
}

static void apply_row(struct dbc_build *b, const struct link_maps *maps, struct dbc_row *row)
{
    if (row->id == DBC_ORPHANS_ID)
        return;
    uint32_t index = dbc_ids_find(&maps->ids, id_key(row->id, row->extended));
    if (index == DBC_NAME_UNKNOWN) {
        dbc_warn(b, "D104", row->place, "there is no message with id 0x%X; the %s row is left out",
                 row->id, row->kind == ROW_DAMAGED ? row->text : row_words[row->kind]);
        return;
    }
    struct build_message *message = &b->messages[index];
    if (!row->signal) {
        apply_to_message(b, row, message);
        return;
    }
    if (message->refused) /* its signals may be missing for that very reason */
        return;
    uint32_t first = dbc_names_find(&maps->names, index, row->signal);
    if (first == DBC_NAME_UNKNOWN)
        warn_no_signal(b, row, message);
    else
        apply_to_signals(b, maps, row, message, first);
}

/* --- messages --- */

/* VFrameFormat as an INT has the meaning of the standard enumeration. */
static const char *standard_format(double number)
{
    static const char *const names[] = { "StandardCAN", "ExtendedCAN", "reserved", "J1939PG" };

    if (number >= 0 && number < 4)
        return names[(int)number];
    if (number == 14)
        return "StandardCAN_FD";
    return number == 15 ? "ExtendedCAN_FD" : "";
}

static const char *format_by_number(const struct dbc_build *b, double number)
{
    if (!b->format_is_enum)
        return standard_format(number);
    return number >= 0 && number < b->format_count ? b->formats[(uint32_t)number] : "";
}

static const char *format_of(const struct dbc_build *b, const struct build_message *message)
{
    const struct dbc_row *row = message->format_row;

    if (!b->format_defined)
        return row && !row->text ? standard_format(row->number) : "";
    if (row)
        return row->text ? row->text : format_by_number(b, row->number);
    if (b->format_default)
        return b->format_default;
    return b->format_is_enum ? "" : standard_format(b->format_default_number);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void finish_message(struct dbc_build *b, struct build_message *message)
{
    const char *format = format_of(b, message);
    uint32_t source = message->m.id & 0xff;

    message->m.is_fd = ends_with(format, "CAN_FD");
    message->m.is_j1939 = message->m.is_extended && strcmp(format, "J1939PG") == 0;
    bool bare_pgn = source == 0 && message->m.id >> 26 == 0;
    message->m.any_source = message->m.is_j1939 && (source >= 0xfe || bare_pgn);
    message->m.cycle_ms =
        message->cycle_row ? dbc_milliseconds(message->cycle_row->number) : b->cycle_default;
}

static void compile_signal(struct dbc_build *b, const struct build_message *message,
                           struct build_signal *signal)
{
    const struct decode_layout *layout = &signal->s.layout;

    if (signal->refused || decode_plan_init(&signal->s.plan, layout, message->m.len) == 0)
        return;
    uint32_t end = decode_layout_end(layout);
    if (layout->bits == 0)
        dbc_refuse_signal(b, message, signal, "D103", "it has no bits");
    else if (end > message->m.len)
        dbc_refuse_signal(b, message, signal, "D103", "it ends at byte %u of a message of %u bytes",
                          end, message->m.len);
    else if (end > FRAME_DATA_MAX)
        dbc_refuse_signal(b, message, signal, "D103", "it ends at byte %u, beyond the %d of a "
                          "frame", end, FRAME_DATA_MAX);
    else
        dbc_refuse_signal(b, message, signal, "D103", "SIG_VALTYPE_ makes it a float%d, but it has "
                          "%u bits", layout->kind == DECODE_FLOAT32 ? 32 : 64, layout->bits);
}

static void link_message(struct dbc_build *b, struct build_message *message)
{
    struct build_signal *signals = build_signals(b, message);

    finish_message(b, message);
    for (uint32_t i = 0; i < message->m.signal_count && !b->status; i++)
        compile_signal(b, message, &signals[i]);
    dbc_link_multiplexors(b, message);
}

void dbc_link(struct dbc_build *b)
{
    struct link_maps maps;

    if (!make_maps(b, &maps))
        return;
    for (uint32_t i = 0; i < b->message_count && !b->status; i++) {
        map_message(b, &maps, i);
        map_signals(b, &maps, i);
    }
    for (uint32_t i = 0; i < b->row_count && !b->status; i++)
        apply_row(b, &maps, &b->rows[i]);
    for (uint32_t i = 0; i < b->message_count && !b->status; i++)
        if (!b->messages[i].refused)
            link_message(b, &b->messages[i]);
    if (!b->status)
        dbc_link_names(b);
}
