#include "proto/dbc_text.h"

#include <stdint.h>

/* Code points of 0x80..0x9f (Microsoft's table for Windows-1252); the rest is Latin-1. */
static const uint16_t cp1252_high[32] = {
    0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
};

/* Length of the sequence that starts with `lead`, and the bounds of its second byte: they rule out
 * overlong forms, surrogates and what lies beyond U+10FFFF. 0 for a byte that starts nothing. */
static size_t sequence(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef) {
        *low = lead == 0xe0 ? 0xa0 : 0x80;
        *high = lead == 0xed ? 0x9f : 0xbf;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *low = lead == 0xf0 ? 0x90 : 0x80;
        *high = lead == 0xf4 ? 0x8f : 0xbf;
        return 4;
    }
    return 0;
}

bool dbc_text_is_utf8(const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;

    while (p < end) {
        uint8_t low, high;
        size_t n = sequence(*p, &low, &high);
        if (n == 0 || n > (size_t)(end - p))
            return false;
        if (n > 1 && (p[1] < low || p[1] > high))
            return false;
        for (size_t i = 2; i < n; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        p += n;
    }
    return true;
}

size_t dbc_text_from_cp1252(const char *text, size_t size, char *to)
{
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        uint32_t point = byte >= 0x80 && byte < 0xa0 ? cp1252_high[byte - 0x80] : byte;
        if (point < 0x80) {
            to[used++] = (char)point;
        } else if (point < 0x800) {
            to[used++] = (char)(0xc0 | point >> 6);
            to[used++] = (char)(0x80 | (point & 0x3f));
        } else {
            to[used++] = (char)(0xe0 | point >> 12);
            to[used++] = (char)(0x80 | (point >> 6 & 0x3f));
            to[used++] = (char)(0x80 | (point & 0x3f));
        }
    }
    return used;
}
