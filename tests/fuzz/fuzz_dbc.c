/* Any bytes as a database: loading never crashes, strict accepts nothing that lenient refuses, and
 * whatever loads decodes any payload by every message within its own limits. */
#include "proto/dbc.h"
#include "proto/decode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(int good)
{
    if (!good)
        abort();
}

static void decode_all(const struct dbc_message *message, const uint8_t *data, uint8_t len)
{
    for (uint32_t i = 0; i < message->signal_count; i++) {
        const struct dbc_signal *signal = &message->signals[i];
        uint8_t raw_bytes[FRAME_DATA_MAX];
        struct decoded value;

        decode_signal(message, signal, data, len, &value);
        check(!value.fits || signal->plan.end_byte <= len);
        check(signal->plan.end_byte <= FRAME_DATA_MAX);
        check(signal->multiplexor < (int32_t)message->signal_count);
        check(signal->same_name == DBC_NONE || signal->same_name > (int32_t)i);
        (void)decode_label_of(signal, &value);
        if (value.present && value.fits && value.kind == DECODE_BYTES)
            check(decode_bytes(&signal->plan, data, raw_bytes) <= FRAME_DATA_MAX);
    }
}

static void use(const struct dbc *dbc, const uint8_t *bytes, size_t size)
{
    uint8_t data[FRAME_DATA_MAX] = { 0 };
    size_t tail = size < sizeof data ? size : sizeof data;

    if (tail)
        memcpy(data, bytes + size - tail, tail);
    for (uint32_t i = 0; i < dbc->message_count; i++) {
        const struct dbc_message *message = &dbc->messages[i];
        check(dbc_find(dbc, message->id, message->is_extended) == message);
        check(dbc_message_by_name(dbc, message->name) != NULL);
        decode_all(message, data, (uint8_t)(data[0] % (FRAME_DATA_MAX + 1)));
        decode_all(message, data, FRAME_DATA_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct diags diags;
    struct dbc *lenient = NULL, *strict = NULL;
    struct err err;

    memset(&diags, 0, sizeof diags);
    int status = dbc_load(bytes, size, "fuzz.dbc", false, &diags, &err, &lenient);
    check((status == 0) == (lenient != NULL));
    check((status == 0) == (diags.errors == 0));
    int strict_status = dbc_load(bytes, size, "fuzz.dbc", true, NULL, NULL, &strict);
    check((strict_status == 0) == (status == 0 && diags.warnings == 0));
    if (lenient)
        use(lenient, bytes, size);
    dbc_close(lenient);
    dbc_close(strict);
    return 0;
}
