#include "proto/hash.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct sha256 {
    EVP_MD_CTX *context;
};

struct sha256 *sha256_open(void)
{
    struct sha256 *sha = calloc(1, sizeof *sha);

    if (!sha)
        return NULL;
    sha->context = EVP_MD_CTX_new();
    if (!sha->context || EVP_DigestInit_ex(sha->context, EVP_sha256(), NULL) != 1) {
        sha256_close(sha);
        return NULL;
    }
    return sha;
}

void sha256_close(struct sha256 *sha)
{
    if (!sha)
        return;
    EVP_MD_CTX_free(sha->context);
    free(sha);
}

/* A digest that is set up cannot fail on bytes in memory: OpenSSL returns an error only for a
 * context that was never initialised, which is our own bug. */
void sha256_put(struct sha256 *sha, const void *bytes, size_t size)
{
    int ok = EVP_DigestUpdate(sha->context, bytes, size);
    assert(ok == 1);
    (void)ok;
}

void sha256_take(struct sha256 *sha, uint8_t ret_digest[SHA256_BYTES])
{
    int ok = EVP_DigestFinal_ex(sha->context, ret_digest, NULL);
    assert(ok == 1);
    ok = EVP_DigestInit_ex(sha->context, NULL, NULL);
    assert(ok == 1);
    (void)ok;
}

void sha256_of(const void *bytes, size_t size, uint8_t ret_digest[SHA256_BYTES])
{
    int ok = EVP_Digest(bytes, size, ret_digest, NULL, EVP_sha256(), NULL);
    assert(ok == 1);
    (void)ok;
}

uint64_t hash_xxh3(const void *bytes, size_t size) { return XXH3_64bits(bytes, size); }

uint64_t hash_xxh64(const void *bytes, size_t size) { return XXH64(bytes, size, 0); }

void hex_from(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_to(const char *text, size_t size, uint8_t *ret_bytes)
{
    if (strlen(text) != 2 * size)
        return -EINVAL;
    for (size_t i = 0; i < 2 * size; i++)
        if (hex_digit(text[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < size; i++)
        ret_bytes[i] = (uint8_t)(hex_digit(text[2 * i]) * 16 + hex_digit(text[2 * i + 1]));
    return 0;
}
