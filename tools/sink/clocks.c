#include "tools/sink/clocks.h"

#include "tools/sink/assembler.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *clock_json(const struct wire_clock *clock)
{
    static const char *const origins[] = { "none", "rtc", "ntp", "gnss", "ptp" };
    char mono[32], utc[32], uncertainty[32];

    /* Text: JSON numbers lose nanoseconds. */
    (void)snprintf(mono, sizeof mono, "%lld", (long long)clock->mono_ns);
    (void)snprintf(utc, sizeof utc, "%lld", (long long)clock->utc_ns);
    (void)snprintf(uncertainty, sizeof uncertainty, "%lld", (long long)clock->uncertainty_ns);
    return json_pack("{s:s,s:s,s:s,s:s}", "mono_ns", mono, "utc_ns", utc, "uncertainty_ns",
                     uncertainty, "origin", origins[clock->origin < 5 ? clock->origin : 0]);
}

static char *status_json(const struct wire_status *status, const char *session)
{
    json_t *clocks = json_array();

    for (uint32_t i = 0; i < status->clock_count; i++)
        (void)json_array_append_new(clocks, clock_json(&status->clocks[i]));
    json_t *top = json_pack("{s:i,s:s,s:s,s:s,s:i,s:o}", "format", 1, "vehicle", status->pseudonym,
                            "session", session, "version", status->version, "generation",
                            (int)status->generation, "clocks", clocks);
    char *text = top ? json_dumps(top, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(top);
    return text;
}

static bool same(struct files *dataset, const char *name, const char *text)
{
    char *old;
    size_t size;

    if (files_read(dataset, name, CLOCKS_BYTES_MAX, &old, &size))
        return false;
    bool equal = size == strlen(text) && !memcmp(old, text, size);
    free(old);
    return equal;
}

int clocks_put(struct files *dataset, const struct wire_status *status)
{
    char name[FILES_PATH_MAX], folder[FILES_PATH_MAX], temp[FILES_PATH_MAX], session[33];

    if (!assembler_pseudonym_ok(status->pseudonym, strlen(status->pseudonym)))
        return -EBADMSG;
    hex_from(status->session_id, 16, session);
    (void)snprintf(folder, sizeof folder, "status/vehicle=%s", status->pseudonym);
    (void)snprintf(name, sizeof name, "%.100s/%s.json", folder, session);
    (void)snprintf(temp, sizeof temp, "tmp/status-%ld-%s", (long)getpid(), session);
    char *text = status_json(status, session);
    if (!text)
        return -ENOMEM;
    int rc = same(dataset, name, text) ? 1 : files_mkdirs(dataset, folder);
    if (!rc) {
        (void)files_unlink(dataset, temp);
        rc = files_write_new(dataset, temp, text, strlen(text));
    }
    if (!rc)
        rc = files_move_over(dataset, temp, name);
    free(text);
    return rc == 1 ? 0 : (rc ? rc : 1);
}
