/* clip_json - header and manifest of a clip as one JSON object, for people and other programs.
 * Times are text in seconds with nine decimals: `t` values in the recording's own clock (mono minus
 * offset), because JSON numbers lose nanoseconds. Hashes are hex. Same input, same text. Pure. */
#ifndef PROTO_CLIP_JSON_H
#define PROTO_CLIP_JSON_H
#include "proto/clip.h"
#include "proto/json.h"

#define CLIP_JSON_BYTES_MAX 4194304 /* enough for every manifest within the limits of clip.h */

/* "-1.500000000"; `text` holds 32 bytes. */
void clip_json_time(int64_t ns, char text[32]);

/* Appends to *text, which may come out full (json_full). `manifest` may be NULL: what only it
 * knows is left out. */
void clip_json(const struct clip_header *header, const struct clip_manifest *manifest,
               struct json_text *text);

#endif
