#include "proto/dbc_build.h"

#include <errno.h>
#include <string.h>

#define MESSAGE_BYTES_MAX 65535
#define SIGNAL_BITS_MAX 65535

/* --- BO_ id name : length sender --- */

static void judge_id(struct dbc_build *b, struct dbc_place place, uint32_t file_id)
{
    uint32_t id;
    bool extended;

    if (dbc_split_id(file_id, &id, &extended))
        return;
    if (file_id & UINT32_C(0x80000000))
        dbc_warn(b, "D105", place, "id %u has bits above the 29 of an identifier; they are left "
                 "out: 0x%08X", file_id, id);
    else
        dbc_warn(b, "D105", place, "id %u needs 29 bits but bit 31, which marks that, is not set; "
                 "it is taken as the 29-bit id 0x%08X", file_id, id);
}

static bool take_message_head(struct dbc_build *b, struct build_message *message, uint32_t *file_id)
{
    uint64_t len;
    struct dbc_place at_id = dbc_here(b);

    message->m.name = "";
    if (!dbc_take_id(b, file_id) ||
        !dbc_take_word(b, &message->m.name, "the name of the message"))
        return false;
    message->m.short_name = message->m.name;
    if (!dbc_take(b, ":", "':' after the name of the message") ||
        !dbc_take_unsigned(b, MESSAGE_BYTES_MAX, &len, "the message's bytes (0 to 65535)"))
        return false;
    message->m.len = (uint32_t)len;
    (void)dbc_split_id(*file_id, &message->m.id, &message->m.is_extended);
    if (*file_id != DBC_ORPHANS_ID)
        judge_id(b, at_id, *file_id);
    return true;
}

/* What follows on this line and cannot be meant; nodes touch nothing, so it costs a warning. */
static void skip_line_rest(struct dbc_build *b, const char *expected)
{
    if (b->token.kind == DBC_END || b->token.first_on_line || dbc_is_keyword(&b->token))
        return;
    (void)dbc_fault(b, expected);
    dbc_warn_expected(b, "D101", "the rest of the line is left out");
    while (!b->status && b->token.kind != DBC_END && !b->token.first_on_line)
        dbc_advance(b);
}

static void take_sender(struct dbc_build *b)
{
    const char *sender;

    if (!dbc_take_word(b, &sender, "the node that sends the message"))
        dbc_warn_expected(b, "D101", "the message is taken without a sender");
    skip_line_rest(b, "nothing more on the BO_ row");
}

static void parse_message(struct dbc_build *b)
{
    struct build_message message = { .first_signal = b->signal_count };
    struct dbc_place place = dbc_here(b);
    uint32_t file_id = 0;

    dbc_advance(b);
    b->current = SIGNALS_DROPPED;
    if (!take_message_head(b, &message, &file_id)) {
        dbc_warn_expected(b, "D102", "the message is refused, and so are its signals");
        dbc_refuse(b, message.m.name, "", "its BO_ row is damaged", place);
        while (!b->status && !dbc_at_section(b))
            dbc_advance(b);
        return;
    }
    take_sender(b);
    if (file_id == DBC_ORPHANS_ID || !strcmp(message.m.name, "VECTOR__INDEPENDENT_SIG_MSG"))
        return;
    if (!dbc_room(b, (void **)&b->messages, &b->message_capacity, b->message_count,
                  sizeof *b->messages, DBC_MESSAGES_MAX, "messages"))
        return;
    message.m.line = place.line;
    message.m.column = place.column;
    b->messages[b->message_count++] = message;
    b->current = SIGNALS_TO_MESSAGE;
}

/* --- SG_ name [M | m<n> | m<n>M] : start|bits@order sign (factor,offset) [min|max] "unit" nodes */

/* Returns whether the word is a multiplexing mark. */
static bool read_mux_mark(const struct dbc_token *token, struct build_signal *signal)
{
    const char *p = token->at, *end = token->at + token->size;

    signal->s.is_multiplexor = end[-1] == 'M';
    if (signal->s.is_multiplexor)
        end--;
    if (p == end)
        return true;
    if (*p++ != 'm' || end - p > 18)
        return false;
    signal->is_muxed = p != end;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        signal->mux_value = signal->mux_value * 10 + (uint64_t)(*p - '0');
    }
    return true;
}

static bool take_mux_mark(struct dbc_build *b, struct build_signal *signal)
{
    if (b->token.kind != DBC_WORD)
        return true;
    if (!read_mux_mark(&b->token, signal))
        return dbc_fault(b, "':', or M, m<number> or m<number>M, after the signal's name");
    if (!signal->is_muxed && !signal->s.is_multiplexor)
        dbc_warn(b, "D107", dbc_here(b), "expected a number after the mark 'm', found none; signal "
                 "'%s' is taken as always present", signal->s.name);
    dbc_advance(b);
    return true;
}

static bool take_position(struct dbc_build *b, struct build_signal *signal)
{
    struct decode_layout *layout = &signal->s.layout;
    uint64_t start, bits, order;

    if (!dbc_take(b, ":", "':' after the signal's name") ||
        !dbc_take_unsigned(b, SIGNAL_BITS_MAX, &start, "the start bit (0 to 65535)") ||
        !dbc_take(b, "|", "'|' between start bit and length") ||
        !dbc_take_unsigned(b, SIGNAL_BITS_MAX, &bits, "the signal's bits (1 to 65535)") ||
        !dbc_take(b, "@", "'@' before the byte order") ||
        !dbc_take_unsigned(b, 1, &order, "the byte order: 0 (Motorola) or 1 (Intel)"))
        return false;
    layout->start = (uint32_t)start;
    layout->bits = (uint32_t)bits;
    layout->big_endian = order == 0;
    if (dbc_token_is(&b->token, "-"))
        layout->kind = DECODE_SIGNED;
    else if (!dbc_token_is(&b->token, "+"))
        return dbc_fault(b, "'+' (unsigned) or '-' (signed)");
    dbc_advance(b);
    return true;
}

static bool take_scale(struct dbc_build *b, struct dbc_signal *signal)
{
    struct dbc_number factor, offset;

    if (!dbc_take(b, "(", "'(' before the factor") ||
        !dbc_take_number(b, &factor, "the factor, a number") ||
        !dbc_take(b, ",", "',' between factor and offset") ||
        !dbc_take_number(b, &offset, "the offset, a number") ||
        !dbc_take(b, ")", "')' after the offset"))
        return false;
    signal->factor_text = factor.text;
    signal->offset_text = offset.text;
    signal->layout.factor = factor.value;
    signal->layout.factor_integral = factor.integral;
    signal->layout.factor_int = factor.integer;
    signal->layout.offset = offset.value;
    signal->layout.offset_integral = offset.integral;
    signal->layout.offset_int = offset.integer;
    return true;
}

static bool take_range(struct dbc_build *b, struct dbc_signal *signal)
{
    struct dbc_number minimum, maximum;

    if (!dbc_take(b, "[", "'[' before the minimum") ||
        !dbc_take_number(b, &minimum, "the minimum, a number") ||
        !dbc_take(b, "|", "'|' between minimum and maximum") ||
        !dbc_take_number(b, &maximum, "the maximum, a number") ||
        !dbc_take(b, "]", "']' after the maximum"))
        return false;
    signal->minimum = minimum.value;
    signal->maximum = maximum.value;
    signal->has_range = minimum.value != 0.0 || maximum.value != 0.0;
    return true;
}

/* Names with commas between; a line that ends in a comma goes on. */
static void take_receivers(struct dbc_build *b)
{
    bool more = true, some = false;

    while (!b->status && !dbc_is_keyword(&b->token) && (!b->token.first_on_line || more) &&
           (b->token.kind == DBC_WORD || dbc_token_is(&b->token, ","))) {
        more = dbc_token_is(&b->token, ",");
        some = true;
        dbc_advance(b);
    }
    if (!some) {
        (void)dbc_fault(b, "the nodes that receive the signal");
        dbc_warn_expected(b, "D101", "the signal is taken without them");
    }
    skip_line_rest(b, "the next row after the signal's nodes");
}

/* Range, unit and receivers do not touch decoding: damage in them costs only them. */
static void take_signal_tail(struct dbc_build *b, struct dbc_signal *signal)
{
    if (!take_range(b, signal)) {
        dbc_warn_expected(b, "D101", "the signal is taken without a range");
        while (!b->status && b->token.kind != DBC_STRING && b->token.kind != DBC_END &&
               !b->token.first_on_line)
            dbc_advance(b);
    }
    if (!dbc_take_string(b, &signal->unit, "the unit, a string in quotes"))
        dbc_warn_expected(b, "D101", "the signal is taken without a unit");
    take_receivers(b);
}

static bool take_signal(struct dbc_build *b, struct build_signal *signal)
{
    signal->s.unit = "";
    signal->s.multiplexor = signal->s.same_name = signal->s.spn = DBC_NONE;
    if (!dbc_take_word(b, &signal->s.name, "the name of the signal"))
        return false;
    signal->s.short_name = signal->s.name;
    if (!take_mux_mark(b, signal) || !take_position(b, signal) || !take_scale(b, &signal->s))
        return false;
    take_signal_tail(b, &signal->s);
    return true;
}

static void keep_signal(struct dbc_build *b, const struct build_signal *signal)
{
    struct build_message *message = &b->messages[b->message_count - 1];

    if (!dbc_room(b, (void **)&b->signals, &b->signal_capacity, b->signal_count,
                  sizeof *b->signals, DBC_SIGNALS_MAX, "signals"))
        return;
    if (message->m.signal_count >= DBC_MESSAGE_SIGNALS_MAX) {
        dbc_fail(b, -ERANGE, (struct dbc_place){ signal->s.line, signal->s.column },
                 "more than %d signals in message %s", DBC_MESSAGE_SIGNALS_MAX, message->m.name);
        return;
    }
    b->signals[b->signal_count++] = *signal;
    message->m.signal_count++;
}

static void parse_signal(struct dbc_build *b)
{
    struct build_signal signal = { .s = { .name = "", .short_name = "" } };
    struct dbc_place place = dbc_here(b);

    signal.s.line = place.line;
    signal.s.column = place.column;
    dbc_advance(b);
    bool whole = take_signal(b, &signal);
    if (b->current == SIGNALS_NOWHERE) {
        dbc_warn(b, "D103", place, "expected a BO_ row before the SG_ row of '%s'; the signal is "
                 "refused", signal.s.name);
        dbc_refuse(b, "", signal.s.name, "its SG_ row follows no BO_ row", place);
    } else if (!whole && b->current == SIGNALS_TO_MESSAGE) {
        struct build_message *message = &b->messages[b->message_count - 1];
        char text[DBC_NAME_MAX + 64];
        (void)snprintf(text, sizeof text, "message '%s' is refused", message->m.name);
        dbc_warn_expected(b, "D102", text);
        if (!message->refused)
            dbc_refuse(b, message->m.name, "", "one of its SG_ rows is damaged", place);
        message->refused = "one of its SG_ rows is damaged";
    } else if (whole && b->current == SIGNALS_TO_MESSAGE) {
        keep_signal(b, &signal);
    }
    if (!whole)
        while (!b->status && !dbc_at_section(b))
            dbc_advance(b);
}

/* --- the file --- */

static void warn_unknown(struct dbc_build *b)
{
    (void)dbc_fault(b, "a section (BO_, SG_, CM_, VAL_, ...)");
    dbc_warn_expected(b, "D101", "everything up to the next ';' or section is left out");
    dbc_advance(b);
    dbc_skip_row(b);
}

static void parse_section(struct dbc_build *b)
{
    bool known;

    if (dbc_token_is(&b->token, "BO_")) {
        b->has_section = true;
        parse_message(b);
    } else if (dbc_token_is(&b->token, "SG_")) {
        parse_signal(b);
    } else {
        b->current = SIGNALS_NOWHERE;
        bool whole = dbc_parse_row(b, &known);
        b->has_section = b->has_section || known;
        if (!known)
            warn_unknown(b);
        else if (!whole && !b->status)
            dbc_skip_row(b);
    }
}

void dbc_parse(struct dbc_build *b)
{
    dbc_advance(b);
    while (!b->status && b->token.kind != DBC_END)
        parse_section(b);
    if (!b->status && !b->has_section)
        dbc_fail(b, -EBADMSG, (struct dbc_place){ 1, 1 },
                 "this is no DBC: expected a section (VERSION, BU_, BO_, ...), found none");
}
