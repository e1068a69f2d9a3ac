/* uplink - one connection that up to UPLINK_PORTS vehicles share. Each vehicle's uploader has a
 * transport of its own (a port) and knows nothing of the others: reports go back to the port that
 * sent, receipts to the one whose pseudonym they name.
 * Handle; owner: the caller's thread. Memory: fixed at open. */
#ifndef TOOLS_SIM_UPLINK_H
#define TOOLS_SIM_UPLINK_H
#include "uploader/transport.h"

#define UPLINK_PORTS 10

struct uplink;

struct uplink_stats {
    struct transport_stats transport;
    uint64_t receipts_foreign; /* of vehicles of other connections: they share partitions */
};

/* Takes over `transport`, also on failure. NULL when memory is short. */
struct uplink *uplink_open(struct transport transport);
/* After the uploaders of all ports are closed. Takes NULL. */
void uplink_close(struct uplink *uplink, int flush_ms);

/* A port for a vehicle; its close does nothing. At most UPLINK_PORTS. */
struct transport uplink_port(struct uplink *uplink, const char *pseudonym);

/* Hands on reports and receipts that are there, never waiting; at most one receipt a port. Returns
 * the ports (bit 0 the first) that have something to take: let their uploaders take a turn. */
uint32_t uplink_pump(struct uplink *uplink);

void uplink_stats(const struct uplink *uplink, struct uplink_stats *ret_stats);

#endif
