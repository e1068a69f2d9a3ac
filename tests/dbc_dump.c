/* dbc_dump - what proto/dbc and proto/decode make of databases, for the oracles in tests/oracle.
 *   dbc_dump load FILE            messages and signals as JSON lines; diagnostics to stderr
 *   dbc_dump decode FILE < FRAMES each line "<id hex> <e|s> <data hex>": one JSON line with the
 *                                 message and every signal that the frame carries
 *   dbc_dump series FILE MESSAGE SIGNAL... < "id e|s data"  (see rav4_reference.py)
 * Numbers: raw as an integer text; physical as C99 hexadecimal, so that no digit is lost. */
#include "proto/dbc.h"
#include "proto/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(DBC_FILE_BYTES_MAX + 1);

    if (!file || !bytes) {
        perror(path);
        exit(2);
    }
    *ret_size = fread(bytes, 1, DBC_FILE_BYTES_MAX + 1, file);
    (void)fclose(file);
    return bytes;
}

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

static void print_signal(const struct dbc_signal *signal, const char *between)
{
    printf("%s{\"name\":", between);
    print_text(signal->name);
    printf(",\"short\":");
    print_text(signal->short_name);
    printf(",\"unit\":");
    print_text(signal->unit);
    printf(",\"start\":%u,\"bits\":%u,\"big_endian\":%d,\"kind\":%d,\"mux\":%d,\"labels\":{",
           signal->layout.start, signal->layout.bits, signal->layout.big_endian,
           (int)signal->layout.kind, signal->multiplexor);
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
    for (uint32_t i = 0; i < message->signal_count; i++)
        print_signal(&message->signals[i], i ? "," : "");
    printf("]}\n");
}

static void print_value(const struct dbc_signal *signal, const struct decoded *value)
{
    uint8_t bytes[FRAME_DATA_MAX];
    char hex[2 * FRAME_DATA_MAX + 1];
    (void)bytes;

    printf("{\"name\":");
    print_text(signal->name);
    if (value->kind == DECODE_BYTES)
        printf(",\"bytes\":1}");
    else if (value->kind == DECODE_SIGNED)
        printf(",\"raw\":%lld,\"physical\":\"%a\"", (long long)value->raw_signed, value->physical);
    else
        printf(",\"raw\":%llu,\"physical\":\"%a\"", (unsigned long long)value->raw,
               value->physical);
    (void)hex;
    if (value->kind == DECODE_BYTES)
        return;
    const char *label = decode_label_of(signal, value);
    if (label) {
        printf(",\"label\":");
        print_text(label);
    }
    if (value->quality)
        printf(",\"quality\":%d", value->quality);
    printf("}");
}

static void decode_line(const struct dbc *dbc, char *line)
{
    uint8_t data[FRAME_DATA_MAX] = { 0 };
    char *save = NULL, *id = strtok_r(line, " \n", &save), *kind = strtok_r(NULL, " \n", &save);
    char *hex = strtok_r(NULL, " \n", &save);
    size_t len = hex ? strlen(hex) / 2 : 0;
    bool first = true;

    if (!kind || len > FRAME_DATA_MAX || (len && hex_to(hex, len, data) != 0)) {
        printf("null\n");
        return;
    }
    const struct dbc_message *message =
        dbc_find(dbc, (uint32_t)strtoul(id, NULL, 16), *kind == 'e');
    if (!message) {
        printf("null\n");
        return;
    }
    printf("{\"message\":");
    print_text(message->name);
    printf(",\"signals\":[");
    for (uint32_t i = 0; i < message->signal_count; i++) {
        struct decoded value;
        decode_signal(message, &message->signals[i], data, (uint8_t)len, &value);
        if (!value.present || !value.fits)
            continue;
        printf("%s", first ? "" : ",");
        print_value(&message->signals[i], &value);
        first = false;
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    static struct diags diags;
    struct err err;
    struct dbc *dbc;
    size_t size;
    char *bytes, line[256];

    if (argc != 3)
        return 2;
    bytes = read_file(argv[2], &size);
    int status = dbc_load(bytes, size, argv[2], getenv("DBC_STRICT") != NULL, &diags, &err, &dbc);
    diags_print(&diags, stderr);
    free(bytes);
    if (status)
        return 1;
    if (!strcmp(argv[1], "load"))
        for (uint32_t i = 0; i < dbc->message_count; i++)
            print_message(&dbc->messages[i]);
    else
        while (fgets(line, sizeof line, stdin))
            decode_line(dbc, line);
    dbc_close(dbc);
    return 0;
}
