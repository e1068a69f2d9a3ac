/* signals_json - what the databases say of one frame, as the end of its JSON line:
 *   ,"message":"WHEEL_SPEEDS","signals":{"WHEEL_SPEED_FL":{"raw":9634,"value":28.67,"label":null,
 *   "unit":"km/h"},...}
 * Nothing for a frame that no database knows. Signals stand in the order of the file; one that its
 * multiplexor hides, or that the frame is too short for, is absent.
 *   raw    the exact integer, 64 bits too; the number itself for a float; hexadecimal text, most
 *          significant byte first, for more than 64 bits
 *   value  the physical value with as many digits as bring the same double back; null for NaN,
 *          infinity, more than 64 bits, and J1939's reserved codes, which have "quality" beside
 *          it: "error" or "not_available"
 *   label  the value table's text, or null
 *   unit   as in the database, "" for none
 * Holds no memory; borrows the set. */
#ifndef PROTO_SIGNALS_JSON_H
#define PROTO_SIGNALS_JSON_H
#include "proto/dbset.h"
#include "proto/frame.h"

#include <stdio.h>

#define SIGNALS_JSON_NUMBER_MAX 32

struct signals_json {
    struct dbset_route routes[SOURCES_MAX]; /* by source index */
};

/* `set` may be NULL: no frame is known. Both are read here; the set must live on. */
void signals_json_init(struct signals_json *json, const struct dbset *set,
                       const struct source_table *sources);

/* Errors of the file stay in ferror. */
void signals_json_put(const struct signals_json *json, const struct frame *frame, FILE *to);

/* The shortest text that strtod reads back as `value`, "null" when it is not finite. */
void signals_json_number(double value, char text[SIGNALS_JSON_NUMBER_MAX]);

#endif
