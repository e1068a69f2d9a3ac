/* Any bytes as a configuration: refused with a place, or taken with every bound kept. */
#include "daemon/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    static struct diags diags;
    char text[SHAPING_TEXT_MAX];

    memset(&diags, 0, sizeof diags);
    if (config_parse(data, size, "fuzz.yaml", &diags, &config) < 0) {
        if (diags.errors == 0)
            abort(); /* a refusal must say why */
        return 0;
    }
    if (config.source_count > SOURCES_MAX || config.shaping.clips_open > CLIPS_OPEN_MAX ||
        config.upload.burst_bytes < config.store.chunk_bytes || !config.shaping.vehicle[0])
        abort();
    (void)shaping_text(&config.shaping, text); /* asserts that it fits */
    return 0;
}
