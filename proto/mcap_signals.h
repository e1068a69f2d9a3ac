/* mcap_signals - a protobuf message type made from a DBC message, and frames encoded in it.
 * Signal i of the file (from 0) is field 2i + 1; its label, where it has a value table, is the
 * string field 2i + 2, `<signal>_label`. Names are made identifiers, and made different by `_2`,
 * `_3`, ... in file order. A field that is not in a message is a signal that is not in the frame:
 * hidden by its multiplexor, cut off, or a J1939 code that is no number.
 *   integer with factor 1, offset 0     uint32 or sint32, above 32 bits uint64 or sint64
 *   more than 64 bits                   bytes, most significant first
 *   everything else                     double
 * Immutable after make; no thread of its own. */
#ifndef PROTO_MCAP_SIGNALS_H
#define PROTO_MCAP_SIGNALS_H
#include "proto/dbc.h"
#include "proto/pbw.h"

#define MCAP_SIGNALS_NAME_MAX 192

struct mcap_signals;

/* Reads *message, which must live as long. Returns 0 or -ENOMEM. */
int mcap_signals_make(const struct dbc_message *message, struct mcap_signals **ret_signals);
void mcap_signals_free(struct mcap_signals *signals); /* takes NULL */

/* FileDescriptorSet: package "roadloop.<bus>", message named as mcap_signals_name. `bus` is made an
 * identifier too. */
void mcap_signals_descriptor(const struct mcap_signals *signals, const char *bus, struct pbw *w);
const char *mcap_signals_name(const struct mcap_signals *signals);
/* Name of the field of signal `index`. */
const char *mcap_signals_field(const struct mcap_signals *signals, uint32_t index);

struct mcap_signals_count {
    uint32_t values, absent, not_numbers;
};

/* Puts the frame's signals as one message. `data` has FRAME_DATA_MAX readable bytes. */
void mcap_signals_encode(const struct mcap_signals *signals, const uint8_t *data, uint8_t len,
                         struct pbw *w, struct mcap_signals_count *ret_count);

#endif
