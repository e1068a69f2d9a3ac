#include "tools/rulestest/samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_end(char c)
{
    return c == '\0' || c == ' ' || c == '\t' || c == '\n';
}

static const char *take_word(const char *p, const char *word)
{
    size_t length = strlen(word);

    return !strncmp(p, word, length) && (is_end(p[length]) || p[length] == 'x') ? p + length : NULL;
}

/* "'OPEN'" */
static const char *take_label(const char *p, struct samples_part *part)
{
    const char *end = strchr(p + 1, '\'');

    if (!end || end == p + 1 || (size_t)(end - p - 1) >= sizeof part->label)
        return NULL;
    part->kind = SAMPLE_LABEL;
    memcpy(part->label, p + 1, (size_t)(end - p - 1));
    part->label[end - p - 1] = '\0';
    return end + 1;
}

static const char *take_named(const char *p, struct samples_part *part)
{
    static const struct {
        const char *word;
        enum sample_kind kind;
        double number;
    } words[] = { { "_", SAMPLE_NONE, 0 },        { "stale", SAMPLE_STALE, 0 },
                  { "unk", SAMPLE_INVALID, 0 },   { "true", SAMPLE_NUMBER, 1 },
                  { "false", SAMPLE_NUMBER, 0 } };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *end = take_word(p, words[i].word);
        if (!end)
            continue;
        part->kind = words[i].kind;
        part->number = words[i].number;
        return end;
    }
    return NULL;
}

/* A decimal number; strtod alone would read the x of "0x5" as hexadecimal. */
static const char *take_decimal(const char *p, double *ret_value)
{
    char text[64];
    size_t length = strspn(p, "+-");

    if (length > 1)
        return NULL;
    length += strspn(p + length, "0123456789.");
    if ((p[length] == 'e' || p[length] == 'E') && length) {
        size_t sign = p[length + 1] == '-' || p[length + 1] == '+';
        size_t digits = strspn(p + length + 1 + sign, "0123456789");
        length += digits ? 1 + sign + digits : 0;
    }
    if (length >= sizeof text)
        return NULL;
    memcpy(text, p, length);
    text[length] = '\0';
    char *end;
    *ret_value = strtod(text, &end);
    return end == text || *end || !isfinite(*ret_value) ? NULL : p + length;
}

/* "80", "80-1.2" */
static const char *take_number(const char *p, struct samples_part *part)
{
    const char *end = take_decimal(p, &part->number);

    part->kind = SAMPLE_NUMBER;
    if (end && (*end == '+' || *end == '-'))
        end = take_decimal(end, &part->step);
    return end;
}

int samples_next(const char *text, uint32_t *at, struct samples_part *ret_part,
                 const char **ret_why)
{
    struct samples_part part = { .count = 1 };
    const char *p = text + *at, *end = NULL;

    while (*p && is_end(*p))
        p++;
    part.offset = (uint32_t)(p - text);
    *ret_part = part;
    if (!*p)
        return 0;
    if (*p == '\'')
        end = take_label(p, &part);
    else if (!(end = take_named(p, &part)))
        end = take_number(p, &part);
    *ret_why = "expected a number, 'LABEL', true, false, _, unk or stale, like 80-1.2x40";
    if (!end)
        return -EINVAL;
    if (*end == 'x') {
        char *after;
        long more = end[1] >= '0' && end[1] <= '9' ? strtol(end + 1, &after, 10) : -1;
        *ret_why = "after x stands how often, at most 99999";
        if (more < 0 || more >= SAMPLES_MAX)
            return -EINVAL;
        /* As promtool: a value is there once and then so many times more; a hole is that long. */
        part.count = (uint32_t)more + (part.kind != SAMPLE_NONE && part.kind != SAMPLE_STALE);
        end = after;
    }
    *ret_why = "a blank must follow";
    if (!is_end(*end) || !part.count)
        return -EINVAL;
    *at = (uint32_t)(end - text);
    *ret_part = part;
    return 1;
}
