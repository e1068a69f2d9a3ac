#include "proto/signals_json.h"

#include "proto/decode.h"
#include "proto/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INTEGER_EXACT 9007199254740992.0 /* 2^53 */

void signals_json_init(struct signals_json *json, const struct dbset *set,
                       const struct source_table *sources)
{
    memset(json, 0, sizeof *json);
    for (uint32_t i = 0; i < sources->count; i++)
        dbset_route_init(&json->routes[i], set, sources->items[i].name);
}

/* Databases hold valid UTF-8 only. */
static void put_text(const char *text, FILE *to)
{
    (void)fputc('"', to);
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            (void)fputc('\\', to);
        if ((unsigned char)*p < 0x20)
            (void)fprintf(to, "\\u%04x", (unsigned)(unsigned char)*p);
        else
            (void)fputc(*p, to);
    }
    (void)fputc('"', to);
}

void signals_json_number(double value, char text[SIGNALS_JSON_NUMBER_MAX])
{
    if (!isfinite(value)) {
        (void)snprintf(text, SIGNALS_JSON_NUMBER_MAX, "null");
        return;
    }
    if (fabs(value) < INTEGER_EXACT && value == trunc(value) && !(value == 0 && signbit(value))) {
        (void)snprintf(text, SIGNALS_JSON_NUMBER_MAX, "%lld", (long long)value);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, SIGNALS_JSON_NUMBER_MAX, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

static void put_raw_and_value(const struct decode_plan *plan, const struct decoded *value,
                              FILE *to)
{
    char text[SIGNALS_JSON_NUMBER_MAX], raw[SIGNALS_JSON_NUMBER_MAX];

    signals_json_number(value->physical, text);
    if (value->kind == DECODE_SIGNED)
        (void)snprintf(raw, sizeof raw, "%lld", (long long)value->raw_signed);
    else if (value->kind == DECODE_UNSIGNED)
        (void)snprintf(raw, sizeof raw, "%llu", (unsigned long long)value->raw);
    else
        signals_json_number(decode_float(plan, value->raw), raw);
    bool integer = value->kind == DECODE_UNSIGNED || value->kind == DECODE_SIGNED;
    const char *shown = integer && plan->identity ? raw : text; /* all 64 bits, not 53 */
    (void)fprintf(to, "\"raw\":%s,\"value\":%s", raw, value->quality ? "null" : shown);
    if (value->quality)
        (void)fprintf(to, ",\"quality\":\"%s\"",
                      value->quality == QUALITY_ERROR ? "error" : "not_available");
}

static void put_bytes(const struct decode_plan *plan, const uint8_t *data, FILE *to)
{
    uint8_t bytes[FRAME_DATA_MAX];
    char hex[2 * FRAME_DATA_MAX + 1];

    hex_from(bytes, decode_bytes(plan, data, bytes), hex);
    (void)fprintf(to, "\"raw\":\"%s\",\"value\":null", hex);
}

static void put_signal(const struct dbc_signal *signal, const struct decoded *value,
                       const uint8_t *data, FILE *to)
{
    const char *label = decode_label_of(signal, value);

    put_text(signal->name, to);
    (void)fputs(":{", to);
    if (value->kind == DECODE_BYTES)
        put_bytes(&signal->plan, data, to);
    else
        put_raw_and_value(&signal->plan, value, to);
    (void)fputs(",\"label\":", to);
    if (label)
        put_text(label, to);
    else
        (void)fputs("null", to);
    (void)fputs(",\"unit\":", to);
    put_text(signal->unit, to);
    (void)fputc('}', to);
}

void signals_json_put(const struct signals_json *json, const struct frame *frame, FILE *to)
{
    struct dbset_match match;
    bool first = true;

    if (!dbset_find(&json->routes[frame->source], frame->id, frame->flags, &match))
        return;
    (void)fputs(",\"message\":", to);
    put_text(match.message->name, to);
    (void)fputs(",\"signals\":{", to);
    for (uint32_t i = 0; i < match.message->signal_count; i++) {
        const struct dbc_signal *signal = &match.message->signals[i];
        struct decoded value;
        decode_signal(match.message, signal, frame->data, frame->len, &value);
        if (!value.present || !value.fits)
            continue;
        if (!first)
            (void)fputc(',', to);
        first = false;
        put_signal(signal, &value, frame->data, to);
    }
    (void)fputc('}', to);
}
