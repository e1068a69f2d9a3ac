/* Attributes: BA_DEF_ defines, BA_DEF_DEF_ gives defaults, BA_ sets. Six of them matter here. */
#include "proto/dbc_build.h"

#include <string.h>

static bool take_formats(struct dbc_build *b)
{
    const char *text;

    b->format_count = 0;
    while (b->token.kind == DBC_STRING) {
        if (!dbc_take_string(b, &text, "a value"))
            return false;
        if (b->format_count < DBC_FORMATS_MAX)
            b->formats[b->format_count++] = text;
        if (dbc_token_is(&b->token, ","))
            dbc_advance(b);
    }
    return true;
}

static bool take_definition(struct dbc_build *b)
{
    const char *name, *type;

    if (dbc_token_is(&b->token, "SG_") || dbc_token_is(&b->token, "BO_") ||
        dbc_token_is(&b->token, "EV_") || dbc_token_is(&b->token, "BU_"))
        dbc_advance(b);
    if (!dbc_take_string(b, &name, "the attribute's name in quotes") ||
        !dbc_take_word(b, &type, "INT, HEX, FLOAT, STRING or ENUM"))
        return false;
    if (!strcmp(name, "VFrameFormat")) {
        b->format_defined = true;
        b->format_is_enum = !strcmp(type, "ENUM");
        if (b->format_is_enum)
            return take_formats(b);
    }
    return dbc_take_shape(b, strcmp(type, "ENUM") ? "N" : "S");
}

bool dbc_parse_definition(struct dbc_build *b)
{
    return (take_definition(b) && dbc_take_end(b)) || dbc_left_out(b);
}

bool dbc_parse_default(struct dbc_build *b)
{
    struct dbc_number number = { 0 };
    const char *name, *text;

    if (!dbc_take_string(b, &name, "the attribute's name in quotes") ||
        !dbc_take_value(b, &number, &text) || !dbc_take_end(b))
        return dbc_left_out(b);
    if (!strcmp(name, "GenMsgCycleTime")) {
        b->cycle_default = dbc_milliseconds(number.value);
    } else if (!strcmp(name, "VFrameFormat")) {
        b->format_default = text;
        b->format_default_number = number.value;
    }
    return true;
}

/* Takes what the attribute belongs to; row->kind tells which: ROW_DAMAGED for none of interest. */
static bool take_attribute_target(struct dbc_build *b, struct dbc_row *row, const char **ret_owner)
{
    const char *node;

    *ret_owner = "";
    if (dbc_token_is(&b->token, "BO_")) {
        *ret_owner = "BO_";
        dbc_advance(b);
        return dbc_take_target_id(b, row);
    }
    if (dbc_token_is(&b->token, "SG_")) {
        *ret_owner = "SG_";
        dbc_advance(b);
        return dbc_take_target_signal(b, row);
    }
    if (dbc_token_is(&b->token, "BU_") || dbc_token_is(&b->token, "EV_")) {
        dbc_advance(b);
        return dbc_take_word(b, &node, "the name of a node or variable");
    }
    return true;
}

static const struct {
    const char *name, *owner;
    enum dbc_row_kind kind;
    bool is_text;
} attributes[] = {
    { "SystemMessageLongSymbol", "BO_", ROW_MESSAGE_NAME, true },
    { "SystemSignalLongSymbol", "SG_", ROW_SIGNAL_NAME, true },
    { "GenMsgCycleTime", "BO_", ROW_CYCLE, false },
    { "VFrameFormat", "BO_", ROW_FORMAT, false },
    { "SPN", "SG_", ROW_SPN, false },
    { "GenSigStartValue", "SG_", ROW_START, false },
};

bool dbc_parse_attribute(struct dbc_build *b)
{
    struct dbc_row row = { .place = dbc_here(b) };
    struct dbc_number number = { 0 };
    const char *name, *owner;

    if (!dbc_take_string(b, &name, "the attribute's name in quotes") ||
        !take_attribute_target(b, &row, &owner) || !dbc_take_value(b, &number, &row.text) ||
        !dbc_take_end(b))
        return dbc_left_out(b);
    row.number = number.value;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        if (strcmp(attributes[i].name, name) != 0 || strcmp(attributes[i].owner, owner) != 0)
            continue;
        row.kind = attributes[i].kind;
        if (!attributes[i].is_text || row.text)
            dbc_keep_row(b, &row);
    }
    return true;
}

bool dbc_parse_relation(struct dbc_build *b)
{
    if (!dbc_take_string(b, NULL, "the attribute's name in quotes"))
        return dbc_left_out(b);
    if (dbc_token_is(&b->token, "BU_SG_REL_")) {
        dbc_advance(b);
        const char *node;
        if (!dbc_take_word(b, &node, "the name of a node") || !dbc_take(b, "SG_", "SG_"))
            return dbc_left_out(b);
        return dbc_row_of_shape(b, "nwv");
    }
    if (dbc_token_is(&b->token, "BU_BO_REL_")) {
        dbc_advance(b);
        return dbc_row_of_shape(b, "wnv");
    }
    if (dbc_token_is(&b->token, "BU_EV_REL_"))
        dbc_advance(b);
    return dbc_row_of_shape(b, "wwv");
}

bool dbc_parse_relation_definition(struct dbc_build *b)
{
    if (dbc_token_is(&b->token, "BU_SG_REL_") || dbc_token_is(&b->token, "BU_BO_REL_") ||
        dbc_token_is(&b->token, "BU_EV_REL_"))
        dbc_advance(b);
    const char *type;
    if (!dbc_take_string(b, NULL, "the attribute's name in quotes") ||
        !dbc_take_word(b, &type, "INT, HEX, FLOAT, STRING or ENUM"))
        return dbc_left_out(b);
    return dbc_row_of_shape(b, strcmp(type, "ENUM") ? "N" : "S");
}
