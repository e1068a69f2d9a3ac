#include "proto/mcap_signals.h"

#include "proto/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LABEL_SUFFIX "_label"

struct signal_field {
    char name[MCAP_SIGNALS_NAME_MAX];
    char label_name[MCAP_SIGNALS_NAME_MAX]; /* "" when it has no value table */
    enum pbw_type type;
};

struct mcap_signals {
    const struct dbc_message *message;
    char name[MCAP_SIGNALS_NAME_MAX];
    struct signal_field *fields; /* one a signal */
};

/* Names in use: an open-addressed table, so that a message of thousands of equal names is no
 * quadratic trap. Twice as many places as names. */
struct names {
    const char **places;
    size_t mask;
};

static int names_open(struct names *names, size_t count)
{
    size_t size = 16;

    while (size < 2 * count)
        size *= 2;
    names->mask = size - 1;
    names->places = calloc(size, sizeof *names->places);
    return names->places ? 0 : -ENOMEM;
}

/* False when it is taken. */
static bool names_add(struct names *names, const char *name)
{
    size_t at = (size_t)hash_xxh64(name, strlen(name)) & names->mask;

    for (; names->places[at]; at = (at + 1) & names->mask)
        if (!strcmp(names->places[at], name))
            return false;
    names->places[at] = name;
    return true;
}

static void make_unique(struct names *names, char name[MCAP_SIGNALS_NAME_MAX])
{
    char base[MCAP_SIGNALS_NAME_MAX - 16];

    if (names_add(names, name))
        return;
    (void)snprintf(base, sizeof base, "%s", name);
    for (unsigned n = 2;; n++) {
        (void)snprintf(name, MCAP_SIGNALS_NAME_MAX, "%s_%u", base, n);
        if (names_add(names, name))
            return;
    }
}

static enum pbw_type type_of(const struct dbc_signal *signal)
{
    const struct decode_plan *plan = &signal->plan;

    if (plan->kind == DECODE_BYTES)
        return PBW_BYTES;
    if (!plan->identity || (plan->kind != DECODE_UNSIGNED && plan->kind != DECODE_SIGNED))
        return PBW_DOUBLE;
    if (plan->kind == DECODE_UNSIGNED)
        return plan->bits <= 32 ? PBW_UINT32 : PBW_UINT64;
    return plan->bits <= 32 ? PBW_SINT32 : PBW_SINT64;
}

/* Value names are all given before the first label, so that no label takes a signal's name. */
static void name_fields(struct mcap_signals *s, struct names *names)
{
    for (uint32_t i = 0; i < s->message->signal_count; i++) {
        (void)pbw_identifier(s->message->signals[i].name, s->fields[i].name,
                             MCAP_SIGNALS_NAME_MAX - 32);
        make_unique(names, s->fields[i].name);
        s->fields[i].type = type_of(&s->message->signals[i]);
    }
    for (uint32_t i = 0; i < s->message->signal_count; i++) {
        if (!s->message->signals[i].label_count)
            continue;
        (void)snprintf(s->fields[i].label_name, MCAP_SIGNALS_NAME_MAX, "%.*s" LABEL_SUFFIX,
                       MCAP_SIGNALS_NAME_MAX - 32, s->fields[i].name);
        make_unique(names, s->fields[i].label_name);
    }
}

int mcap_signals_make(const struct dbc_message *message, struct mcap_signals **ret_signals)
{
    struct mcap_signals *s = calloc(1, sizeof *s);
    struct names names;

    if (!s)
        return -ENOMEM;
    s->message = message;
    s->fields = calloc((size_t)message->signal_count + 1, sizeof *s->fields);
    if (!s->fields || names_open(&names, 2 * (size_t)message->signal_count)) {
        mcap_signals_free(s);
        return -ENOMEM;
    }
    (void)pbw_identifier(message->name, s->name, sizeof s->name);
    name_fields(s, &names);
    free(names.places);
    *ret_signals = s;
    return 0;
}

void mcap_signals_free(struct mcap_signals *s)
{
    if (!s)
        return;
    free(s->fields);
    free(s);
}

const char *mcap_signals_name(const struct mcap_signals *s) { return s->name; }

const char *mcap_signals_field(const struct mcap_signals *s, uint32_t index)
{
    return s->fields[index].name;
}

void mcap_signals_descriptor(const struct mcap_signals *s, const char *bus, struct pbw *w)
{
    size_t count = 0, max = 2 * (size_t)s->message->signal_count;
    struct pbw_field *fields = calloc(max + 1, sizeof *fields);
    char identifier[MCAP_SIGNALS_NAME_MAX], package[MCAP_SIGNALS_NAME_MAX + 16],
        file[2 * MCAP_SIGNALS_NAME_MAX + 32];

    if (!fields) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < s->message->signal_count; i++) {
        const struct signal_field *f = &s->fields[i];
        fields[count++] = (struct pbw_field){ f->name, 2 * i + 1, f->type, NULL, false };
        if (f->label_name[0])
            fields[count++] =
                (struct pbw_field){ f->label_name, 2 * i + 2, PBW_STRING, NULL, false };
    }
    (void)pbw_identifier(bus, identifier, sizeof identifier);
    (void)snprintf(package, sizeof package, "roadloop.%s", identifier);
    (void)snprintf(file, sizeof file, "roadloop/%s/%s.proto", identifier, s->name);
    const struct pbw_message message = { s->name, fields, count };
    pbw_descriptor_set(w, &(struct pbw_file){ file, package, &message, 1 });
    free(fields);
}

static void put_value(const struct decode_plan *plan, enum pbw_type type, uint32_t number,
                      const struct decoded *value, const uint8_t *data, struct pbw *w)
{
    uint8_t bytes[FRAME_DATA_MAX];

    switch (type) {
    case PBW_BYTES: pbw_bytes(w, number, bytes, decode_bytes(plan, data, bytes)); break;
    case PBW_UINT32:
    case PBW_UINT64: pbw_uint(w, number, value->raw); break;
    case PBW_SINT32:
    case PBW_SINT64: pbw_sint(w, number, value->raw_signed); break;
    default: pbw_double(w, number, value->physical); break;
    }
}

void mcap_signals_encode(const struct mcap_signals *s, const uint8_t *data, uint8_t len,
                         struct pbw *w, struct mcap_signals_count *ret_count)
{
    struct mcap_signals_count count = { 0 };

    for (uint32_t i = 0; i < s->message->signal_count; i++) {
        const struct dbc_signal *signal = &s->message->signals[i];
        struct decoded value;

        decode_signal(s->message, signal, data, len, &value);
        if (!value.present || !value.fits) {
            count.absent++;
            continue;
        }
        if (value.quality == QUALITY_GOOD) {
            put_value(&signal->plan, s->fields[i].type, 2 * i + 1, &value, data, w);
            count.values++;
        } else {
            count.absent++;
            count.not_numbers++;
        }
        const char *label = s->fields[i].label_name[0] ? decode_label_of(signal, &value) : NULL;
        if (label)
            pbw_text(w, 2 * i + 2, label);
    }
    *ret_count = count;
}
