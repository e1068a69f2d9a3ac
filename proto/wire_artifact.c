/* The bodies of artifact.v1 and status.v1, and what goes into an artifact's payload. */
#include "proto/wire_fields.h"

#include <errno.h>
#include <zstd.h>

#define WINDOW_LOG_MAX 23 /* 8 MiB: what one artifact may make the reader allocate */
#define LEVEL 9           /* artifacts are sent once a generation; text shrinks well */

void wire_put_artifact(struct wire_writer *w, const struct wire_artifact *artifact)
{
    wire_put(w, artifact->sha256, SHA256_BYTES);
    wire_put_u8(w, (uint8_t)artifact->kind);
    wire_put_text(w, artifact->name);
    wire_put_u32(w, artifact->raw_bytes);
    wire_put(w, artifact->payload, artifact->size);
}

int wire_get_artifact(struct bytes_reader *r, struct err *err, struct wire_artifact *ret_artifact)
{
    wire_get(r, ret_artifact->sha256, SHA256_BYTES);
    ret_artifact->kind = (enum wire_artifact_kind)bytes_u8(r);
    int rc = wire_get_text(r, "name", WIRE_ARTIFACT_NAME_MAX, err, ret_artifact->name);
    ret_artifact->raw_bytes = bytes_u32(r);
    ret_artifact->size = (uint32_t)bytes_left(r);
    ret_artifact->payload = bytes_take(r, ret_artifact->size);
    return rc;
}

int wire_check_artifact(const struct wire_artifact *artifact, struct err *err)
{
    int rc = wire_check_range("artifact kind", artifact->kind, WIRE_ARTIFACT_DBC,
                              WIRE_ARTIFACT_END - 1, err);
    if (!rc)
        rc = wire_check_range("raw_bytes", artifact->raw_bytes, 1, ARTIFACT_RAW_BYTES_MAX, err);
    if (!rc)
        rc = wire_check_range("payload bytes", artifact->size, 1, ARTIFACT_BYTES_MAX, err);
    if (!rc && (!artifact->name[0] || artifact->name[0] == '.' || strchr(artifact->name, '/')))
        rc = err_plain(err, -ERANGE, "name: found '%s', expected a file name without '/' "
                       "that does not begin with a dot", artifact->name);
    return rc ? rc : wire_check_printable("name", artifact->name, err);
}

int wire_artifact_deflate(const void *raw, size_t raw_bytes, uint8_t *bytes, size_t size)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context)
        return -ENOMEM;
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, WINDOW_LOG_MAX - 1);
    size_t limit = size < ARTIFACT_BYTES_MAX ? size : ARTIFACT_BYTES_MAX;
    size_t used = ZSTD_compress2(context, bytes, limit, raw, raw_bytes);
    (void)ZSTD_freeCCtx(context);
    return ZSTD_isError(used) ? -EMSGSIZE : (int)used;
}

/* One frame that fills the buffer exactly; trailing bytes and second frames are refused. */
static int inflate(ZSTD_DCtx *context, const struct wire_artifact *artifact, uint8_t *raw,
                   struct err *err)
{
    ZSTD_outBuffer out = { raw, artifact->raw_bytes, 0 };
    ZSTD_inBuffer in = { artifact->payload, artifact->size, 0 };

    (void)ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    size_t left = 1;
    /* Every turn takes input or gives output, else the frame is torn or larger than it says. */
    for (size_t before = 1; left && (in.pos + out.pos != before);) {
        before = in.pos + out.pos;
        left = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(left))
            return err_plain(err, -EBADMSG, "artifact: zstd says '%s'", ZSTD_getErrorName(left));
    }
    if (left || out.pos != artifact->raw_bytes || in.pos != artifact->size)
        return err_plain(err, -EBADMSG, "artifact: inflates to %s than the %u bytes it declares",
                         left ? "other" : "less", artifact->raw_bytes);
    return 0;
}

int wire_artifact_inflate(const struct wire_artifact *artifact, uint8_t *raw, struct err *err)
{
    uint8_t digest[SHA256_BYTES];
    ZSTD_DCtx *context = ZSTD_createDCtx();

    if (!context)
        return err_plain(err, -ENOMEM, "artifact: no memory for zstd");
    int rc = inflate(context, artifact, raw, err);
    (void)ZSTD_freeDCtx(context);
    if (rc)
        return rc;
    sha256_of(raw, artifact->raw_bytes, digest);
    if (memcmp(digest, artifact->sha256, sizeof digest) != 0) {
        char found[SHA256_HEX], want[SHA256_HEX];
        hex_from(digest, SHA256_BYTES, found);
        hex_from(artifact->sha256, SHA256_BYTES, want);
        return err_plain(err, -EBADMSG, "artifact '%s': content is %s, its key says %s",
                         artifact->name, found, want);
    }
    return 0;
}

void wire_put_status(struct wire_writer *w, const struct wire_status *status)
{
    wire_put_text(w, status->pseudonym);
    wire_put(w, status->session_id, sizeof status->session_id);
    wire_put_u8(w, (uint8_t)status->state);
    wire_put_text(w, status->version);
    wire_put_text(w, status->reason);
    wire_put_u32(w, status->generation);
    wire_put(w, status->pack_sha256, SHA256_BYTES);
    wire_put(w, status->dbc_sha256, SHA256_BYTES);
    wire_put(w, status->config_sha256, SHA256_BYTES);
    const uint64_t counts[] = { status->sealed,  status->delivered, status->pending,
                                status->parked,  status->evicted,   status->expired,
                                status->erased,  status->disk_bytes };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        wire_put_u64(w, counts[i]);
    wire_put_u8(w, status->clock_count);
    for (unsigned i = 0; i < status->clock_count; i++) {
        wire_put_u64(w, (uint64_t)status->clocks[i].mono_ns);
        wire_put_u64(w, (uint64_t)status->clocks[i].utc_ns);
        wire_put_u64(w, (uint64_t)status->clocks[i].uncertainty_ns);
        wire_put_u8(w, status->clocks[i].origin);
    }
}

static int get_clocks(struct bytes_reader *r, struct err *err, struct wire_status *status)
{
    status->clock_count = bytes_u8(r);
    int rc = wire_check_range("clocks", status->clock_count, 0, WIRE_CLOCKS_MAX, err);
    for (unsigned i = 0; !rc && i < status->clock_count; i++) {
        status->clocks[i].mono_ns = (int64_t)bytes_u64(r);
        status->clocks[i].utc_ns = (int64_t)bytes_u64(r);
        status->clocks[i].uncertainty_ns = (int64_t)bytes_u64(r);
        status->clocks[i].origin = bytes_u8(r);
    }
    return rc;
}

int wire_get_status(struct bytes_reader *r, struct err *err, struct wire_status *ret_status)
{
    int rc = wire_get_text(r, "pseudonym", PSEUDONYM_MAX, err, ret_status->pseudonym);
    wire_get(r, ret_status->session_id, sizeof ret_status->session_id);
    ret_status->state = (enum wire_state)bytes_u8(r);
    if (!rc)
        rc = wire_get_text(r, "version", WIRE_TEXT_MAX, err, ret_status->version);
    if (!rc)
        rc = wire_get_text(r, "reason", WIRE_TEXT_MAX, err, ret_status->reason);
    ret_status->generation = bytes_u32(r);
    wire_get(r, ret_status->pack_sha256, SHA256_BYTES);
    wire_get(r, ret_status->dbc_sha256, SHA256_BYTES);
    wire_get(r, ret_status->config_sha256, SHA256_BYTES);
    uint64_t *const counts[] = { &ret_status->sealed,  &ret_status->delivered,
                                 &ret_status->pending, &ret_status->parked,
                                 &ret_status->evicted, &ret_status->expired,
                                 &ret_status->erased,  &ret_status->disk_bytes };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        *counts[i] = bytes_u64(r);
    return rc ? rc : get_clocks(r, err, ret_status);
}

int wire_check_status(const struct wire_status *status, struct err *err)
{
    int rc = wire_check_pseudonym(status->pseudonym, err);
    if (!rc)
        rc = wire_check_range("state", status->state, WIRE_STATE_OK, WIRE_STATE_END - 1, err);
    if (!rc)
        rc = wire_check_printable("version", status->version, err);
    if (!rc)
        rc = wire_check_printable("reason", status->reason, err);
    if (!rc)
        rc = wire_check_range("clocks", status->clock_count, 0, WIRE_CLOCKS_MAX, err);
    for (unsigned i = 0; !rc && i < status->clock_count; i++) {
        rc = wire_check_range("clock origin", status->clocks[i].origin, 0, 4, err);
        if (!rc && status->clocks[i].uncertainty_ns < 0)
            rc = err_plain(err, -ERANGE, "clock uncertainty: found %lld, expected 0 or more",
                           (long long)status->clocks[i].uncertainty_ns);
    }
    return rc;
}
