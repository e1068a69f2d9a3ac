/* crc32 - CRC-32 (IEEE 802.3), as MCAP and BLF ask. The only file that includes zlib's checksum. */
#ifndef PROTO_CRC32_H
#define PROTO_CRC32_H
#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc` (0 to begin) over `size` bytes; NULL bytes with size 0 are allowed. */
uint32_t crc32_ieee(uint32_t crc, const void *bytes, size_t size);

#endif
