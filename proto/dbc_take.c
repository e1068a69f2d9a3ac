#include "proto/dbc_build.h"
#include "proto/dbc_text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_TEXT_MAX 64
#define ID_EXTENDED UINT32_C(0x80000000)
#define ID_EXTENDED_MASK UINT32_C(0x1fffffff)
#define ID_STANDARD_MAX UINT32_C(0x7ff)

/* Every word that may begin a section, for recovery after damage. */
static const char *const keywords[] = {
    "BA_", "BA_DEF_", "BA_DEF_DEF_", "BA_DEF_DEF_REL_", "BA_DEF_REL_", "BA_DEF_SGTYPE_",
    "BA_REL_", "BA_SGTYPE_", "BO_", "BO_TX_BU_", "BS_", "BU_", "BU_BO_REL_", "BU_EV_REL_",
    "BU_SG_REL_", "CAT_", "CAT_DEF_", "CM_", "ENVVAR_DATA_", "EV_", "EV_DATA_", "FILTER", "NS_",
    "NS_DESC_", "SG_", "SG_MUL_VAL_", "SGTYPE_", "SGTYPE_VAL_", "SIG_GROUP_", "SIG_TYPE_REF_",
    "SIG_VALTYPE_", "SIGTYPE_VALTYPE_", "VAL_", "VAL_TABLE_", "VERSION",
};

bool dbc_is_keyword(const struct dbc_token *token)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (dbc_token_is(token, keywords[i]))
            return true;
    return false;
}

struct dbc_place dbc_here(const struct dbc_build *b)
{
    return (struct dbc_place){ b->token.line, b->token.column };
}

void dbc_advance(struct dbc_build *b)
{
    bool had_block_comment = b->lex.comment_line != 0;

    b->token = dbc_lex_next(&b->lex);
    if (b->token.kind == DBC_BROKEN)
        dbc_fail(b, -EBADMSG, dbc_here(b), "this %s has no end: expected %s before the file ends",
                 *b->token.at == '"' ? "string" : "comment",
                 *b->token.at == '"' ? "a closing '\"'" : "'*/'");
    if (!had_block_comment && b->lex.comment_line)
        dbc_warn(b, "D108", (struct dbc_place){ b->lex.comment_line, b->lex.comment_column },
                 "a DBC has no /* */ comments; it is skipped, and so are others like it");
}

bool dbc_fault(struct dbc_build *b, const char *expected)
{
    b->expected = expected;
    b->found = b->token;
    return false;
}

bool dbc_take(struct dbc_build *b, const char *text, const char *expected)
{
    if (!dbc_token_is(&b->token, text))
        return dbc_fault(b, expected);
    dbc_advance(b);
    return true;
}

/* Copies raw[0..size) into the arena as UTF-8. */
static const char *keep_text(struct dbc_build *b, const char *raw, size_t size)
{
    if (b->is_utf8)
        return arena_text(&b->arena, raw, size);
    char *text = arena_alloc(&b->arena, size * DBC_TEXT_GROWTH + 1);
    if (text)
        (void)dbc_text_from_cp1252(raw, size, text);
    return text;
}

static bool kept(struct dbc_build *b, const char *text, const char **ret_text)
{
    if (!text) {
        dbc_fail(b, -ENOMEM, dbc_here(b), "out of memory");
        return dbc_fault(b, "memory");
    }
    *ret_text = text;
    return true;
}

/* A name that the grammar does not allow means the same name all the same. */
static void judge_name(struct dbc_build *b)
{
    const struct dbc_token *token = &b->token;
    bool odd = *token->at >= '0' && *token->at <= '9';

    for (size_t i = 0; i < token->size && !odd; i++)
        odd = (unsigned char)token->at[i] >= 0x80;
    if (odd)
        dbc_warn(b, "D109", dbc_here(b), "expected a name of A-Z a-z 0-9 _ that begins with a "
                 "letter, found '%.*s'; it is taken as it stands", (int)token->size, token->at);
}

bool dbc_take_word(struct dbc_build *b, const char **ret_word, const char *expected)
{
    const char *word;

    if (b->token.kind != DBC_WORD || dbc_at_section(b))
        return dbc_fault(b, expected);
    if (!kept(b, keep_text(b, b->token.at, b->token.size), &word))
        return false;
    if (strlen(word) > DBC_NAME_MAX) /* of UTF-8, which cp1252 may have made longer */
        return dbc_fault(b, "a name of at most 128 bytes");
    judge_name(b);
    dbc_advance(b);
    *ret_word = word;
    return true;
}

static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (from[0] == '\\' && from[1] == '"')
            from++;
        *to++ = *from;
    }
    *to = '\0';
}

bool dbc_take_string(struct dbc_build *b, const char **ret_text, const char *expected)
{
    if (b->token.kind != DBC_STRING)
        return dbc_fault(b, expected);
    if (ret_text) {
        const char *text;
        if (b->token.size > DBC_TEXT_MAX)
            return dbc_fault(b, "a text of at most 4096 bytes");
        if (!kept(b, keep_text(b, b->token.at, b->token.size), &text))
            return false;
        unescape((char *)(uintptr_t)text);
        *ret_text = text;
    }
    dbc_advance(b);
    return true;
}

bool dbc_take_unsigned(struct dbc_build *b, uint64_t max, uint64_t *ret_value,
                       const char *expected)
{
    uint64_t value = 0;

    if (b->token.kind != DBC_NUMBER)
        return dbc_fault(b, expected);
    for (size_t i = 0; i < b->token.size; i++) {
        uint64_t digit = (uint64_t)(b->token.at[i] - '0');
        if (digit > 9 || value > (max - digit) / 10 || digit > max)
            return dbc_fault(b, expected);
        value = value * 10 + digit;
    }
    *ret_value = value;
    dbc_advance(b);
    return true;
}

/* Integers are kept exact up to 2^62, so that scaling them stays within 128 bits. */
static void read_number(struct dbc_number *number, const char *text)
{
    int64_t limit = INT64_C(1) << 62;
    char *end;

    number->text = text;
    number->value = strtod(text, NULL);
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    number->integral = *end == '\0' && errno == 0 && integer <= limit && integer >= -limit;
    number->integer = number->integral ? integer : 0;
}

bool dbc_take_number(struct dbc_build *b, struct dbc_number *ret_number, const char *expected)
{
    char text[NUMBER_TEXT_MAX] = "";
    size_t used = 0;
    struct dbc_token sign = b->token;

    if (dbc_token_is(&sign, "-") || dbc_token_is(&sign, "+")) {
        if (*sign.at == '-')
            text[used++] = '-';
        dbc_advance(b);
    }
    if (b->token.kind != DBC_NUMBER || b->token.size >= sizeof text - 2)
        return dbc_fault(b, expected);
    if (*b->token.at == '.') {
        dbc_warn(b, "D101", dbc_here(b), "expected a digit before the '.', found '%.*s'; it is "
                 "read as 0%.*s", (int)b->token.size, b->token.at, (int)b->token.size,
                 b->token.at);
        text[used++] = '0';
    }
    memcpy(text + used, b->token.at, b->token.size);
    const char *copy;
    if (!kept(b, arena_text(&b->arena, text, used + b->token.size), &copy))
        return false;
    read_number(ret_number, copy);
    if (!isfinite(ret_number->value))
        return dbc_fault(b, "a number that a double can hold");
    dbc_advance(b);
    return true;
}

bool dbc_take_id(struct dbc_build *b, uint32_t *ret_file_id)
{
    uint64_t value;

    if (!dbc_take_unsigned(b, UINT32_MAX, &value, "a message id (0 to 4294967295)"))
        return false;
    *ret_file_id = (uint32_t)value;
    return true;
}

bool dbc_split_id(uint32_t file_id, uint32_t *ret_id, bool *ret_extended)
{
    uint32_t id = file_id & ID_EXTENDED_MASK;
    bool marked = file_id & ID_EXTENDED;

    *ret_id = id;
    *ret_extended = marked || id > ID_STANDARD_MAX;
    return (file_id & ~ID_EXTENDED) == id && *ret_extended == marked;
}

bool dbc_at_section(const struct dbc_build *b)
{
    return b->token.kind == DBC_END ||
           (b->token.kind == DBC_WORD && b->token.first_on_line && dbc_is_keyword(&b->token));
}

bool dbc_take_end(struct dbc_build *b)
{
    if (dbc_token_is(&b->token, ";")) {
        dbc_advance(b);
        return true;
    }
    (void)dbc_fault(b, "';' at the end of the row");
    if (!dbc_at_section(b))
        return false;
    dbc_warn_expected(b, "D101", "the row is taken without it");
    return true;
}

void dbc_skip_row(struct dbc_build *b)
{
    while (!b->status && !dbc_at_section(b)) {
        bool end = dbc_token_is(&b->token, ";");
        dbc_advance(b);
        if (end)
            return;
    }
}
