/* dbc_dump - what proto/dbc and proto/decode make of databases, for the oracles in tests/oracle.
 *   dbc_dump load FILE                a message a line; diagnostics go to stderr
 *   dbc_dump decode FILE              each line of stdin "<id hex> <e|s> <data hex>": one line with
 *                                     the message and every signal that the frame carries, or null
 *   dbc_dump set [BUS=]FILE...        the same for lines "<bus> <id hex> <e|s> <data hex>"
 * Lines are JSON; raw is an integer, physical a C99 hexadecimal text, so that no digit is lost. */
#include "proto/dbset.h"
#include "proto/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 512

static void print_text(const char *text)
{
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else if (*p < 0x20)
            printf("\\u%04x", *p);
        else
            putchar(*p);
    }
    putchar('"');
}

static void print_layout(const struct dbc_signal *signal)
{
    printf("{\"name\":");
    print_text(signal->name);
    printf(",\"short\":");
    print_text(signal->short_name);
    printf(",\"unit\":");
    print_text(signal->unit);
    printf(",\"start\":%u,\"bits\":%u,\"labels\":{", signal->layout.start, signal->layout.bits);
    for (uint32_t i = 0; i < signal->label_count; i++) {
        printf("%s\"%lld\":", i ? "," : "", (long long)signal->labels[i].raw);
        print_text(signal->labels[i].text);
    }
    printf("}}");
}

static void print_message(const struct dbc_message *message)
{
    printf("{\"id\":%u,\"ext\":%d,\"fd\":%d,\"j1939\":%d,\"len\":%u,\"cycle\":%u,\"name\":",
           message->id, message->is_extended, message->is_fd, message->is_j1939, message->len,
           message->cycle_ms);
    print_text(message->name);
    printf(",\"signals\":[");
    for (uint32_t i = 0; i < message->signal_count; i++) {
        printf("%s", i ? "," : "");
        print_layout(&message->signals[i]);
    }
    printf("]}\n");
}

static void print_number(const struct dbc_signal *signal, const struct decoded *value)
{
    if (value->kind == DECODE_SIGNED)
        printf(",\"raw\":%lld", (long long)value->raw_signed);
    else
        printf(",\"raw\":%llu", (unsigned long long)value->raw);
    printf(",\"physical\":\"%a\"", value->physical);
    const char *label = decode_label_of(signal, value);
    if (label) {
        printf(",\"label\":");
        print_text(label);
    }
    if (value->quality)
        printf(",\"quality\":%d", value->quality);
}

static void print_bytes(const struct dbc_signal *signal, const uint8_t *data)
{
    uint8_t bytes[FRAME_DATA_MAX];
    char hex[2 * FRAME_DATA_MAX + 1];

    hex_from(bytes, decode_bytes(&signal->plan, data, bytes), hex);
    printf(",\"bytes\":\"%s\"", hex);
}

static void print_decoded(const struct dbc_message *message, const uint8_t *data, uint8_t len)
{
    const char *between = "";

    printf("{\"message\":");
    print_text(message->name);
    printf(",\"signals\":[");
    for (uint32_t i = 0; i < message->signal_count; i++) {
        struct decoded value;
        decode_signal(message, &message->signals[i], data, len, &value);
        if (!value.present || !value.fits)
            continue;
        printf("%s{\"name\":", between);
        print_text(message->signals[i].name);
        if (value.kind == DECODE_BYTES)
            print_bytes(&message->signals[i], data);
        else
            print_number(&message->signals[i], &value);
        printf("}");
        between = ",";
    }
    printf("]}\n");
}

static void decode_line(const struct dbset *set, char *line, bool with_bus)
{
    uint8_t data[FRAME_DATA_MAX] = { 0 };
    struct dbset_route route;
    struct dbset_match match;
    char *save = NULL;
    const char *bus = with_bus ? strtok_r(line, " \n", &save) : "";
    const char *id = strtok_r(with_bus ? NULL : line, " \n", &save);
    const char *kind = strtok_r(NULL, " \n", &save), *hex = strtok_r(NULL, " \n", &save);
    size_t len = hex ? strlen(hex) / 2 : 0;

    if (!kind || len > FRAME_DATA_MAX || (len && hex_to(hex, len, data) != 0)) {
        fprintf(stderr, "dbc_dump: this line is no frame\n");
        exit(2);
    }
    dbset_route_init(&route, set, bus);
    uint16_t flags = *kind == 'e' ? FRAME_EFF : 0;
    if (dbset_find(&route, (uint32_t)strtoul(id, NULL, 16), flags, &match))
        print_decoded(match.message, data, (uint8_t)len);
    else
        printf("null\n");
}

int main(int argc, char **argv)
{
    static struct diags diags;
    struct err err;
    char line[LINE_MAX_BYTES], text[ERR_TEXT_MAX + ERR_FILE_MAX];
    struct dbset *set = dbset_open();
    int status = argc < 3 || !set ? -1 : 0;

    for (int i = 2; i < argc && !status; i++)
        status = dbset_add_file(set, argv[i], getenv("DBC_STRICT") != NULL, &diags, &err);
    diags_print(&diags, stderr);
    if (status && argc >= 3) {
        (void)err_format(&err, text, sizeof text);
        fprintf(stderr, "%s\n", text);
    }
    if (!status && !strcmp(argv[1], "load"))
        for (uint32_t i = 0; i < set->entries[0].dbc->message_count; i++)
            print_message(&set->entries[0].dbc->messages[i]);
    else
        while (!status && fgets(line, sizeof line, stdin))
            decode_line(set, line, !strcmp(argv[1], "set"));
    dbset_close(set);
    return status ? 1 : 0;
}
