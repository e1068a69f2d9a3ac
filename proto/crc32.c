#include "proto/crc32.h"

#include <zlib.h>

uint32_t crc32_ieee(uint32_t crc, const void *bytes, size_t size)
{
    return size ? (uint32_t)crc32_z(crc, bytes, size) : crc;
}
