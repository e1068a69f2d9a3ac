/* fleet - N simulated vehicles on shared connections, each making clips at its own moments. Which
 * vehicle makes which clip when is a function of the seed alone; a fleet that falls behind makes the
 * same clips later. Pure but for the vehicles' files and the transport: time comes in.
 * Handle; owner: the caller's thread. Memory: fixed by the number of vehicles. */
#ifndef TOOLS_SIM_FLEET_H
#define TOOLS_SIM_FLEET_H
#include "tools/sim/uplink.h"
#include "tools/sim/vehicle.h"

#define FLEET_VEHICLES_MAX 10000
#define FLEET_PREFIX_MAX 48

struct fleet_config {
    const char *prefix; /* of the names: PREFIX-00000, PREFIX-00001, ... */
    const char *dir;    /* exists; a folder for each vehicle is made in it */
    uint32_t vehicles, per_uplink; /* 1..FLEET_VEHICLES_MAX, 1..UPLINK_PORTS */
    int64_t period_ns;   /* between two clips of a vehicle; the first falls within the first period */
    int64_t duration_ns; /* clips are due before it */
    uint64_t seed;
    struct vehicle_config vehicle; /* name, dir, session_id and seed are filled in */
    /* Opens a connection. */
    int (*open_transport)(void *context, const char *client_id, struct transport *ret_transport,
                          struct err *err);
    void *context;
};

struct fleet_stats {
    uint64_t due; /* clips whose moment has come and that were tried */
    uint64_t made, stored, refused, pending, sent_bytes, chunks_again, questions;
    uint64_t unclosed; /* vehicles whose books do not close */
    uint64_t receipts_foreign;
    uint32_t vehicles, uplinks, connected;
    int64_t behind_ns; /* how late the latest clip was made */
};

struct fleet;

/* 0, or a negative errno with *err. `cuts` is borrowed until fleet_close. */
int fleet_open(const struct fleet_config *config, struct cuts *cuts, int64_t now_ns,
               struct err *err, struct fleet **ret_fleet);
void fleet_close(struct fleet *fleet, int flush_ms); /* takes NULL */

/* One round over all connections and vehicles. `make`: clips that are due are made. Returns whether
 * anything was done. */
bool fleet_step(struct fleet *fleet, bool make, int64_t now_ns);
/* Clips of the whole duration, from the seed alone. */
uint64_t fleet_clips(const struct fleet *fleet);

/* Sums over all vehicles; reads every outbox: now and then. 0, or that of a database. */
int fleet_stats(struct fleet *fleet, struct fleet_stats *ret_stats);
int fleet_books(struct fleet *fleet, uint32_t vehicle, const char **ret_name,
                struct vehicle_books *ret_books);

#endif
