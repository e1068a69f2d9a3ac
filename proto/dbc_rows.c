/* The rows beside BO_ and SG_. Those that matter become a struct dbc_row for dbc_link; of the others
 * only the shape is checked, so that `strict` can refuse them. Each parser is called behind its
 * keyword and returns whether the row was whole; when not, it has complained. */
#include "proto/dbc_build.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define LABEL_MAX 4611686018427387904.0 /* 2^62: converts to int64_t */

bool dbc_left_out(struct dbc_build *b)
{
    dbc_warn_expected(b, "D101", "the row is left out");
    return false;
}

void dbc_keep_row(struct dbc_build *b, const struct dbc_row *row)
{
    if (dbc_room(b, (void **)&b->rows, &b->row_capacity, b->row_count, sizeof *b->rows,
                 DBC_ROWS_MAX, "rows"))
        b->rows[b->row_count++] = *row;
}

bool dbc_take_target_id(struct dbc_build *b, struct dbc_row *row)
{
    uint32_t file_id;

    if (!dbc_take_id(b, &file_id))
        return false;
    (void)dbc_split_id(file_id, &row->id, &row->extended);
    if (file_id == DBC_ORPHANS_ID)
        row->id = DBC_ORPHANS_ID;
    return true;
}

bool dbc_take_target_signal(struct dbc_build *b, struct dbc_row *row)
{
    return dbc_take_target_id(b, row) && dbc_take_word(b, &row->signal, "the name of a signal");
}

/* A damaged row that touches decoding: it refuses its message, or the file when it names none. */
static bool damaged(struct dbc_build *b, struct dbc_row *row, bool has_id, const char *keyword)
{
    if (b->status)
        return false;
    if (!has_id) {
        dbc_warn_expected(b, "D102", "the file is refused, because the row may concern any message");
        dbc_fail(b, -EBADMSG, row->place, "this %s row is damaged and names no message", keyword);
        return false;
    }
    dbc_warn_expected(b, "D102", "its message is refused");
    row->kind = ROW_DAMAGED;
    row->text = keyword;
    row->signal = NULL;
    dbc_keep_row(b, row);
    return false;
}

/* --- shapes of rows that only have to be whole ---
 * n number, w word, s string, v number or string, W words with commas or none, S strings, N numbers,
 * anything else itself. */
static bool take_list(struct dbc_build *b, enum dbc_token_kind kind)
{
    while (b->token.kind == kind || dbc_token_is(&b->token, ",") ||
           (kind == DBC_NUMBER && (dbc_token_is(&b->token, "-") || dbc_token_is(&b->token, "+")))) {
        if (b->status || dbc_at_section(b))
            break;
        dbc_advance(b);
    }
    return true;
}

bool dbc_take_value(struct dbc_build *b, struct dbc_number *number, const char **text)
{
    *text = NULL;
    if (b->token.kind == DBC_STRING)
        return dbc_take_string(b, text, "a value");
    return dbc_take_number(b, number, "a number or a string");
}

static bool take_shape_item(struct dbc_build *b, char item)
{
    struct dbc_number number;
    const char *text;
    char literal[2] = { item, '\0' };

    switch (item) {
    case 'n':
        return dbc_take_number(b, &number, "a number");
    case 'w':
        return dbc_take_word(b, &text, "a name");
    case 's':
        return dbc_take_string(b, NULL, "a string in quotes");
    case 'v':
        return dbc_take_value(b, &number, &text);
    case 'W':
        return take_list(b, DBC_WORD);
    case 'S':
        return take_list(b, DBC_STRING);
    case 'N':
        return take_list(b, DBC_NUMBER);
    default:
        return dbc_take(b, literal, item == ':' ? "':'" : "a bracket or '|'");
    }
}

bool dbc_take_shape(struct dbc_build *b, const char *shape)
{
    for (; *shape; shape++)
        if (!take_shape_item(b, *shape))
            return false;
    return true;
}

bool dbc_row_of_shape(struct dbc_build *b, const char *shape)
{
    return (dbc_take_shape(b, shape) && dbc_take_end(b)) || dbc_left_out(b);
}

/* --- VERSION NS_ BS_ BU_ --- */

static bool parse_version(struct dbc_build *b)
{
    return dbc_take_string(b, NULL, "the version, a string in quotes") || dbc_left_out(b);
}

/* The list of NS_ holds keywords: it ends where one is followed by what a row of it has. */
static bool in_symbol_list(struct dbc_build *b)
{
    struct dbc_lex ahead = b->lex;
    struct dbc_token next = dbc_lex_next(&ahead);

    if (b->token.kind != DBC_WORD)
        return false;
    return next.kind == DBC_END || next.first_on_line ||
           (next.kind == DBC_WORD && dbc_is_keyword(&next));
}

static bool parse_symbols(struct dbc_build *b)
{
    if (!dbc_take(b, ":", "':' after NS_"))
        return dbc_left_out(b);
    while (!b->status && in_symbol_list(b))
        dbc_advance(b);
    return true;
}

static bool parse_bit_timing(struct dbc_build *b)
{
    if (!dbc_take(b, ":", "':' after BS_"))
        return dbc_left_out(b);
    while (!b->status && (b->token.kind == DBC_NUMBER || dbc_token_is(&b->token, ":") ||
                          dbc_token_is(&b->token, ",") || dbc_token_is(&b->token, ";")))
        dbc_advance(b);
    return true;
}

static bool parse_nodes(struct dbc_build *b)
{
    if (!dbc_take(b, ":", "':' after BU_"))
        return dbc_left_out(b);
    while (!b->status && b->token.kind == DBC_WORD && !dbc_is_keyword(&b->token))
        dbc_advance(b);
    return true;
}

/* --- CM_ --- */

static bool take_comment(struct dbc_build *b)
{
    static const struct {
        const char *word, *shape;
    } targets[] = { { "SG_", "nws" }, { "BO_", "ns" }, { "BU_", "ws" }, { "EV_", "ws" } };

    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        if (!dbc_token_is(&b->token, targets[i].word))
            continue;
        dbc_advance(b);
        return dbc_take_shape(b, targets[i].shape);
    }
    return dbc_take_string(b, NULL, "SG_, BO_, BU_, EV_ or a string in quotes");
}

static bool parse_comment(struct dbc_build *b)
{
    if (take_comment(b) && dbc_take_end(b))
        return true;
    dbc_warn_expected(b, "D101", "the comment is left out");
    return false;
}

/* --- VAL_TABLE_ and VAL_ --- */

static bool take_label(struct dbc_build *b)
{
    struct dbc_label label;
    struct dbc_number number;
    uint64_t value;
    bool plain = b->token.kind == DBC_NUMBER &&
                 dbc_take_unsigned(b, UINT64_MAX, &value, "a value");

    if (plain) {
        label.raw = (int64_t)value; /* above 2^63: the bits of an unsigned signal */
    } else {
        if (!dbc_take_number(b, &number, "a value, a number"))
            return false;
        label.raw = number.integral ? number.integer : (int64_t)0;
        if (!number.integral && fabs(number.value) > LABEL_MAX)
            return dbc_fault(b, "a value of at most 64 bits");
        if (!number.integral)
            label.raw = (int64_t)number.value;
    }
    if (!dbc_take_string(b, &label.text, "the value's text, a string in quotes"))
        return false;
    if (!dbc_room(b, (void **)&b->labels, &b->label_capacity, b->label_count, sizeof *b->labels,
                  DBC_LABELS_MAX, "labels"))
        return false;
    b->labels[b->label_count++] = label;
    return true;
}

static bool take_labels(struct dbc_build *b, uint32_t *ret_first, uint32_t *ret_count)
{
    *ret_first = b->label_count;
    while (!b->status && !dbc_token_is(&b->token, ";") && !dbc_at_section(b))
        if (!take_label(b))
            return false;
    *ret_count = b->label_count - *ret_first;
    return true;
}

static bool parse_value_table(struct dbc_build *b)
{
    struct dbc_table table = { .name = "" };

    if (!dbc_take_word(b, &table.name, "the name of the table") ||
        !take_labels(b, &table.first, &table.count) || !dbc_take_end(b))
        return dbc_left_out(b);
    if (dbc_room(b, (void **)&b->tables, &b->table_capacity, b->table_count, sizeof *b->tables,
                 DBC_TABLES_MAX, "value tables"))
        b->tables[b->table_count++] = table;
    return true;
}

/* "VAL_ id signal 0 "a" 1 "b" ;", "VAL_ id signal Table ;", or of an environment variable. */
static bool parse_values(struct dbc_build *b)
{
    struct dbc_row row = { .kind = ROW_LABELS, .place = dbc_here(b) };
    const char *variable;
    bool of_variable = b->token.kind == DBC_WORD;

    if (of_variable ? !dbc_take_word(b, &variable, "a name") : !dbc_take_target_signal(b, &row))
        return dbc_left_out(b);
    bool by_table = b->token.kind == DBC_WORD && !dbc_at_section(b);
    if (by_table ? !dbc_take_word(b, &row.text, "the name of a value table")
                 : !take_labels(b, &row.first, &row.count))
        return dbc_left_out(b);
    if (!dbc_take_end(b))
        return dbc_left_out(b);
    if (!of_variable)
        dbc_keep_row(b, &row);
    return true;
}

/* --- SIG_VALTYPE_ id signal : type ; --- */

static bool parse_value_type(struct dbc_build *b)
{
    struct dbc_row row = { .kind = ROW_TYPE, .place = dbc_here(b) };
    uint64_t type;

    bool has_id = dbc_take_target_id(b, &row);
    if (!has_id || !dbc_take_word(b, &row.signal, "the name of a signal"))
        return damaged(b, &row, has_id, "SIG_VALTYPE_");
    if (dbc_token_is(&b->token, ":"))
        dbc_advance(b);
    if (!dbc_take_unsigned(b, 3, &type, "0 (integer), 1 (float32) or 2 (float64)") ||
        !dbc_take_end(b))
        return damaged(b, &row, has_id, "SIG_VALTYPE_");
    row.number = (double)type;
    dbc_keep_row(b, &row);
    return true;
}

/* --- SG_MUL_VAL_ id signal multiplexor first-last, ... ; --- */

static bool take_range(struct dbc_build *b)
{
    struct dbc_range range;

    if (!dbc_take_unsigned(b, UINT64_MAX, &range.first, "the first value of a range") ||
        !dbc_take(b, "-", "'-' between first and last value") ||
        !dbc_take_unsigned(b, UINT64_MAX, &range.last, "the last value of a range"))
        return false;
    if (range.last < range.first)
        return dbc_fault(b, "a range whose last value is not below its first");
    if (!dbc_room(b, (void **)&b->ranges, &b->range_capacity, b->range_count, sizeof *b->ranges,
                  DBC_RANGES_MAX, "multiplexor ranges"))
        return false;
    b->ranges[b->range_count++] = range;
    return true;
}

static bool take_ranges(struct dbc_build *b, struct dbc_row *row)
{
    row->first = b->range_count;
    do {
        if (dbc_token_is(&b->token, ","))
            dbc_advance(b);
        if (!take_range(b))
            return false;
    } while (dbc_token_is(&b->token, ","));
    row->count = b->range_count - row->first;
    return true;
}

static bool parse_mux_values(struct dbc_build *b)
{
    struct dbc_row row = { .kind = ROW_MUX, .place = dbc_here(b) };

    bool has_id = dbc_take_target_id(b, &row);
    if (!has_id || !dbc_take_word(b, &row.signal, "the name of a signal") ||
        !dbc_take_word(b, &row.text, "the name of its multiplexor") || !take_ranges(b, &row) ||
        !dbc_take_end(b))
        return damaged(b, &row, has_id, "SG_MUL_VAL_");
    dbc_keep_row(b, &row);
    return true;
}

/* --- which keyword, which parser --- */

static const struct {
    const char *word;
    bool (*parse)(struct dbc_build *b); /* NULL: the shape */
    const char *shape;                  /* NULL: anything up to ';' */
} sections[] = {
    { "VERSION", parse_version, NULL },
    { "NS_", parse_symbols, NULL },
    { "BS_", parse_bit_timing, NULL },
    { "BU_", parse_nodes, NULL },
    { "CM_", parse_comment, NULL },
    { "VAL_TABLE_", parse_value_table, NULL },
    { "VAL_", parse_values, NULL },
    { "SIG_VALTYPE_", parse_value_type, NULL },
    { "SG_MUL_VAL_", parse_mux_values, NULL },
    { "BA_DEF_", dbc_parse_definition, NULL },
    { "BA_DEF_DEF_", dbc_parse_default, NULL },
    { "BA_", dbc_parse_attribute, NULL },
    { "BA_REL_", dbc_parse_relation, NULL },
    { "BA_DEF_REL_", dbc_parse_relation_definition, NULL },
    { "BA_DEF_DEF_REL_", NULL, "sv" },
    { "BO_TX_BU_", NULL, "n:W" },
    { "SIG_GROUP_", NULL, "nwn:W" },
    { "EV_", NULL, "w:n[n|n]snnwW" },
    { "ENVVAR_DATA_", NULL, "w:n" },
    { "EV_DATA_", NULL, NULL },
    { "SGTYPE_", NULL, NULL },
    { "SGTYPE_VAL_", NULL, NULL },
    { "SIG_TYPE_REF_", NULL, NULL },
    { "SIGTYPE_VALTYPE_", NULL, NULL },
    { "BA_DEF_SGTYPE_", NULL, NULL },
    { "BA_SGTYPE_", NULL, NULL },
    { "CAT_DEF_", NULL, NULL },
    { "CAT_", NULL, NULL },
    { "FILTER", NULL, NULL },
    { "NS_DESC_", NULL, NULL },
};

bool dbc_parse_row(struct dbc_build *b, bool *ret_known)
{
    *ret_known = false;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!dbc_token_is(&b->token, sections[i].word))
            continue;
        *ret_known = true;
        dbc_advance(b);
        if (sections[i].parse)
            return sections[i].parse(b);
        if (sections[i].shape)
            return dbc_row_of_shape(b, sections[i].shape);
        dbc_skip_row(b);
        return true;
    }
    return false;
}
