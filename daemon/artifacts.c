/* The artifacts of a generation, as encoded wire values: its pack and its databases. */
#include "daemon/artifacts.h"

#include "daemon/generation.h"
#include "proto/dbset.h"
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct raw {
    enum wire_artifact_kind kind;
    const char *name;
    const uint8_t *bytes;
    size_t size;
};

/* Deflated and encoded; *ret_value is malloc'ed. */
static int encode_one(const struct raw *raw, uint8_t **ret_value, size_t *ret_size)
{
    uint8_t *packed = malloc(ARTIFACT_BYTES_MAX), *value = malloc(WIRE_ARTIFACT_VALUE_MAX);
    struct wire_value artifact = { .kind = WIRE_ARTIFACT };
    int code = packed && value ? wire_artifact_deflate(raw->bytes, raw->size, packed,
                                                       ARTIFACT_BYTES_MAX)
                               : -ENOMEM;

    if (code >= 0) {
        artifact.artifact.kind = raw->kind;
        artifact.artifact.raw_bytes = (uint32_t)raw->size;
        artifact.artifact.size = (uint32_t)code;
        artifact.artifact.payload = packed;
        sha256_of(raw->bytes, raw->size, artifact.artifact.sha256);
        (void)snprintf(artifact.artifact.name, sizeof artifact.artifact.name, "%s", raw->name);
        code = wire_encode(&artifact, value, WIRE_ARTIFACT_VALUE_MAX, NULL);
    }
    free(packed);
    if (code < 0) {
        free(value);
        return code;
    }
    *ret_value = value;
    *ret_size = (size_t)code;
    return 0;
}

static uint32_t list_raw(const struct generation *generation, struct raw raws[JOB_ARTIFACTS_MAX])
{
    const struct dbset *set = generation->dbset;
    struct raw pack = { .kind = WIRE_ARTIFACT_PACK };
    uint32_t n = 0;

    pack.bytes = generation_pack(generation, &pack.name, &pack.size);
    if (pack.size)
        raws[n++] = pack;
    for (uint32_t i = 0; i < set->count && n < JOB_ARTIFACTS_MAX; i++)
        raws[n++] = (struct raw){ WIRE_ARTIFACT_DBC, set->entries[i].name, set->entries[i].bytes,
                                  set->entries[i].size };
    return n;
}

int artifact_set_open(const struct generation *generation, struct artifact_set **ret_set,
                      struct err *err)
{
    struct artifact_set *set = calloc(1, sizeof *set);
    struct raw raws[JOB_ARTIFACTS_MAX];
    uint32_t count = set ? list_raw(generation, raws) : 0;
    int code = set ? 0 : -ENOMEM;

    for (uint32_t i = 0; code == 0 && i < count; i++) {
        uint8_t *value = NULL;
        code = raws[i].size == 0 ? -ENODATA
                                 : encode_one(&raws[i], &value, &set->items[set->count].size);
        if (code == 0)
            set->items[set->count++].value = value;
        else
            (void)err_plain(err, code, "artifact %s: %s", raws[i].name, strerror(-code));
    }
    if (code < 0) {
        artifact_set_close(set);
        return code;
    }
    *ret_set = set;
    return 0;
}

void artifact_set_close(struct artifact_set *set)
{
    for (uint32_t i = 0; set && i < set->count; i++)
        free((void *)(uintptr_t)set->items[i].value);
    free(set);
}
