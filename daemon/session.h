/* session - the identity of one run: session id and clip ids, and the session's own label of wall
 * time. Pure: what is random comes from the caller.
 * A recording's id is the first 16 bytes of SHA-256 over what can change a byte of a clip, so that
 * replay anywhere gives the same ids; a live session's id is 128 random bits. */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H
#include "proto/clip.h"
#include "daemon/shaping.h"

struct session {
    uint8_t id[SESSION_ID_BYTES];
    uint8_t recording_sha256[SHA256_BYTES]; /* zero on live sources */
    uint8_t shaping_sha256[SHA256_BYTES];
    char vehicle[PSEUDONYM_MAX];
};

/* Bytes of a live session: `random` is SESSION_ID_BYTES from the kernel. */
void session_live(struct session *session, const struct shaping *shaping,
                  const uint8_t random[SESSION_ID_BYTES]);

/* What identifies a session on recordings, beside the shaping. */
struct session_inputs {
    const uint8_t (*recordings)[SHA256_BYTES]; /* decoded recordings in order of the command line */
    uint32_t recording_count;
    const uint8_t *pack_sha256;  /* of the ruleset; NULL: no rules */
    const struct clip_dbc *dbcs; /* in order of configuration */
    uint32_t dbc_count;
    uint32_t engine_version;
};

void session_recorded(struct session *session, const struct shaping *shaping,
                      const struct session_inputs *inputs);

/* One digest for several recordings: that of the first alone, else SHA-256 of all digests. */
void session_recordings_hash(const uint8_t (*recordings)[SHA256_BYTES], uint32_t count,
                             uint8_t ret_digest[SHA256_BYTES]);

/* Id of the n-th clip, from 0. */
void session_clip_id(const struct session *session, uint64_t ordinal,
                     uint8_t ret_id[CLIP_ID_BYTES]);

#endif
