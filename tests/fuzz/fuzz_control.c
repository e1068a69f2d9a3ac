/* Any bytes as a request on the control socket: refused in words, or a request within its bounds;
 * and the bytes as a string always quote to JSON that reads back. */
#include "daemon/control.h"
#include "proto/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char value[1024], quoted[8192], back[4096];
    struct control_request request;
    struct err err = { .line = 0 };

    if (size > CONTROL_LINE_MAX)
        return 0;
    if (control_parse((const char *)data, size, &request, &err) < 0 && !err.text[0])
        abort();
    size_t length = size < sizeof value - 1 ? size : sizeof value - 1;
    memcpy(value, data, length);
    value[length] = 0;
    struct json_text text = { quoted, sizeof quoted, 0 };
    struct json_field field = { .key = "a", .text = back, .size = sizeof back };
    json_printf(&text, "{\"a\":");
    json_quote(&text, value);
    json_printf(&text, "}");
    if (json_full(&text) || json_read(quoted, text.length, &field, 1, &err) < 0 || !field.present)
        abort();
    return 0;
}
