/* hash - the hashes of the formats: SHA-256 for identity and proof, XXH3-64 for torn bytes,
 * XXH64 for sampling. The only file that includes OpenSSL's digests and xxHash. */
#ifndef PROTO_HASH_H
#define PROTO_HASH_H
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_HEX (2 * SHA256_BYTES + 1)
#define CLIP_ID_BYTES 16
#define CLIP_ID_HEX (2 * CLIP_ID_BYTES + 1)

struct sha256; /* a running digest */

/* Returns NULL when memory is short. sha256_close takes NULL. */
struct sha256 *sha256_open(void);
void sha256_close(struct sha256 *sha);
void sha256_put(struct sha256 *sha, const void *bytes, size_t size);
/* Gives the digest of all that was put so far and starts anew. */
void sha256_take(struct sha256 *sha, uint8_t ret_digest[SHA256_BYTES]);

/* One shot. */
void sha256_of(const void *bytes, size_t size, uint8_t ret_digest[SHA256_BYTES]);

uint64_t hash_xxh3(const void *bytes, size_t size);
uint64_t hash_xxh64(const void *bytes, size_t size); /* seed 0 */

/* Lower-case hex with NUL; text holds 2 * size + 1 bytes. */
void hex_from(const uint8_t *bytes, size_t size, char *text);
/* Exactly 2 * size hex digits of either case; returns 0 or -EINVAL. */
int hex_to(const char *text, size_t size, uint8_t *ret_bytes);

#endif
