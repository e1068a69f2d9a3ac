#include "daemon/shaping.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void shaping_init(struct shaping *shaping)
{
    *shaping = (struct shaping){
        .vehicle = "vehicle",
        .codec = "columnar",
        .ring_bytes = 16 * INT64_C(1048576),
        .open_bytes = 12 * INT64_C(1048576),
        .pin_bytes = 8 * INT64_C(1048576),
        .block_ns = INT64_C(10000000000),
        .clip_max_ns = INT64_C(300000000000),
        .clip_max_bytes = 16 * INT64_C(1048576),
        .join_ns = INT64_C(1000000000),
        .size_ratio = 6,
        .clips_open = CLIPS_OPEN_MAX,
    };
}

__attribute__((format(printf, 3, 4)))
static void line(char *text, size_t *length, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text + *length, SHAPING_TEXT_MAX - *length, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < SHAPING_TEXT_MAX - *length); /* 12 keys and 32 names are far less */
    *length += (size_t)n;
}

/* The order of the lines and every letter of them are part of the session id: a new key goes to the
 * end, and only when its value differs from the default that older versions had. */
size_t shaping_text(const struct shaping *shaping, char text[SHAPING_TEXT_MAX])
{
    size_t length = 0;

    line(text, &length, "shaping=1\nvehicle=%s\ncodec=%s\n", shaping->vehicle, shaping->codec);
    line(text, &length, "ring_bytes=%" PRId64 "\nopen_bytes=%" PRId64 "\npin_bytes=%" PRId64 "\n",
         shaping->ring_bytes, shaping->open_bytes, shaping->pin_bytes);
    line(text, &length, "block_ns=%" PRId64 "\nclip_max_ns=%" PRId64 "\n", shaping->block_ns,
         shaping->clip_max_ns);
    line(text, &length, "clip_max_bytes=%" PRId64 "\n", shaping->clip_max_bytes);
    line(text, &length, "join_ns=%" PRId64 "\nsize_ratio=%" PRIu32 "\nclips_open=%" PRIu32 "\n",
         shaping->join_ns, shaping->size_ratio, shaping->clips_open);
    for (uint32_t i = 0; i < shaping->source_count; i++)
        line(text, &length, "source=%s\n", shaping->sources[i].name);
    return length;
}

void shaping_hash(const struct shaping *shaping, uint8_t ret_digest[SHA256_BYTES])
{
    char text[SHAPING_TEXT_MAX];

    sha256_of(text, shaping_text(shaping, text), ret_digest);
}
