/* j1939 - the parts of a 29-bit SAE J1939-21 identifier.
 * priority(3) | extended data page, data page(2) | PF(8) | PS(8) | source address(8). */
#ifndef PROTO_J1939_H
#define PROTO_J1939_H
#include <stdint.h>

#define J1939_PDU2_MIN 240u      /* PF from here on: PS is part of the PGN, not a destination */
#define J1939_ADDRESS_NULL 0xfeu /* in a database: any source */
#define J1939_ADDRESS_GLOBAL 0xffu

static inline uint32_t j1939_pgn(uint32_t id)
{
    uint32_t pgn = id >> 8 & 0x3ffff;

    return (pgn >> 8 & 0xff) < J1939_PDU2_MIN ? pgn & ~UINT32_C(0xff) : pgn;
}

static inline uint8_t j1939_source(uint32_t id)
{
    return (uint8_t)id;
}

static inline uint8_t j1939_priority(uint32_t id)
{
    return (uint8_t)(id >> 26 & 7);
}

#endif
