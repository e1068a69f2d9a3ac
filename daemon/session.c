#include "daemon/session.h"

#include "proto/bytes.h"

#include <assert.h>
#include <string.h>

static void put_u32(struct sha256 *sha, uint32_t value)
{
    uint8_t bytes[4];

    store_le32(bytes, value);
    sha256_put(sha, bytes, sizeof bytes);
}

/* Length first, so that no two lists of texts give the same bytes. */
static void put_text(struct sha256 *sha, const char *text)
{
    size_t size = text ? strlen(text) : 0;

    put_u32(sha, (uint32_t)size);
    sha256_put(sha, text ? text : "", size);
}

void session_live(struct session *session, const struct shaping *shaping,
                  const uint8_t random[SESSION_ID_BYTES])
{
    memset(session, 0, sizeof *session);
    memcpy(session->id, random, SESSION_ID_BYTES);
    memcpy(session->vehicle, shaping->vehicle, sizeof session->vehicle);
    shaping_hash(shaping, session->shaping_sha256);
}

void session_recordings_hash(const uint8_t (*recordings)[SHA256_BYTES], uint32_t count,
                             uint8_t ret_digest[SHA256_BYTES])
{
    memset(ret_digest, 0, SHA256_BYTES);
    if (count == 1)
        memcpy(ret_digest, recordings[0], SHA256_BYTES);
    else if (count > 1)
        sha256_of(recordings, (size_t)count * SHA256_BYTES, ret_digest);
}

void session_recorded(struct session *session, const struct shaping *shaping,
                      const struct session_inputs *inputs)
{
    static const uint8_t none[SHA256_BYTES];
    uint8_t digest[SHA256_BYTES];
    struct sha256 *sha = sha256_open();

    assert(sha); /* a context of a few hundred bytes, at start only */
    memset(session, 0, sizeof *session);
    memcpy(session->vehicle, shaping->vehicle, sizeof session->vehicle);
    shaping_hash(shaping, session->shaping_sha256);
    session_recordings_hash(inputs->recordings, inputs->recording_count,
                            session->recording_sha256);
    sha256_put(sha, session->recording_sha256, SHA256_BYTES);
    sha256_put(sha, inputs->pack_sha256 ? inputs->pack_sha256 : none, SHA256_BYTES);
    put_u32(sha, inputs->dbc_count);
    for (uint32_t i = 0; i < inputs->dbc_count; i++) {
        put_text(sha, inputs->dbcs[i].bus);
        sha256_put(sha, inputs->dbcs[i].sha256, SHA256_BYTES);
    }
    sha256_put(sha, session->shaping_sha256, SHA256_BYTES);
    put_u32(sha, CLIP_FORMAT_VERSION);
    put_u32(sha, inputs->engine_version);
    sha256_take(sha, digest);
    sha256_close(sha);
    memcpy(session->id, digest, SESSION_ID_BYTES);
}

void session_clip_id(const struct session *session, uint64_t ordinal,
                     uint8_t ret_id[CLIP_ID_BYTES])
{
    clip_id_make(session->vehicle, session->id, ordinal, ret_id);
}
