/* What a reload may not change. */
#include "daemon/config_schema.h"

#include <string.h>

static bool row_differs(const struct config_row *row, const struct config *a,
                        const struct config *b)
{
    const char *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;

    switch (row->type) {
    case CONFIG_SIZE:
    case CONFIG_DURATION: return memcmp(x, y, sizeof(int64_t)) != 0;
    case CONFIG_COUNT:
    case CONFIG_CHOICE: return memcmp(x, y, sizeof(uint32_t)) != 0;
    case CONFIG_SWITCH: return *(const bool *)x != *(const bool *)y;
    default: return strcmp(x, y) != 0;
    }
}

static bool sources_differ(const struct config *a, const struct config *b)
{
    if (a->source_count != b->source_count)
        return true;
    for (uint32_t i = 0; i < a->source_count; i++) {
        const struct source_config *x = &a->sources[i], *y = &b->sources[i];
        if (strcmp(x->name, y->name) != 0 || strcmp(x->address, y->address) != 0 ||
            x->kind != y->kind || x->rcvbuf_bytes != y->rcvbuf_bytes ||
            x->hardware_stamps != y->hardware_stamps)
            return true;
    }
    return false;
}

static bool settings_differ(const struct config *a, const struct config *b)
{
    if (a->upload.setting_count != b->upload.setting_count)
        return true;
    for (uint32_t i = 0; i < a->upload.setting_count; i++)
        if (strcmp(a->upload.settings[i].key, b->upload.settings[i].key) != 0 ||
            strcmp(a->upload.settings[i].value, b->upload.settings[i].value) != 0)
            return true;
    return false;
}

const char *config_restart_key(const struct config *running, const struct config *next)
{
    for (uint32_t i = 0; i < config_row_count; i++)
        if (config_rows[i].restart && row_differs(&config_rows[i], running, next))
            return config_key_name(i);
    if (sources_differ(running, next))
        return "sources";
    return settings_differ(running, next) ? "upload.settings" : NULL;
}

const char *config_key_name(uint32_t i)
{
    static _Thread_local char name[64];

    if (i >= config_row_count)
        return NULL;
    (void)snprintf(name, sizeof name, "%s%s%s", config_rows[i].section,
                   config_rows[i].section[0] ? "." : "", config_rows[i].key);
    return name;
}
