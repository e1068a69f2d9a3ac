/* vehicle - one simulated car: the clip store and the uploader of the daemon in one thread, fed with
 * dealt clips instead of a recorder. What differs from a car: the store does not sync (a simulated
 * car survives no power loss), databases are not sent (give the sink --artifacts).
 * Handle; owner: the caller's thread. Time comes in. */
#ifndef TOOLS_SIM_VEHICLE_H
#define TOOLS_SIM_VEHICLE_H
#include "storage/clipstore.h"
#include "tools/sim/cuts.h"
#include "uploader/uploader.h"

struct vehicle_config {
    const char *name; /* pseudonym; copied */
    const char *dir;  /* made; ours alone */
    uint8_t session_id[SESSION_ID_BYTES];
    uint32_t chunk_bytes;
    int64_t quota_bytes;
    struct rate_config rate;
    int64_t ask_first_ns;
    uint64_t seed; /* of the back-off */
};

/* made = stored + refused + pending. Two witnesses: the outbox's rows, and what was seen here. */
struct vehicle_books {
    uint64_t made;
    uint64_t stored;   /* receipts came: the sink has them */
    uint64_t refused;  /* by the store (quota, disk), parked, evicted */
    uint64_t pending;
    uint64_t receipts; /* `complete`, counted as they came: a question may bring a second one */
    uint64_t sent_bytes, chunks_again, questions;
    bool close;
};

struct vehicle;

/* Takes over `transport`, also on failure. 0, or a negative errno with *err. */
int vehicle_open(const struct vehicle_config *config, struct transport transport, int64_t now_ns,
                 struct err *err, struct vehicle **ret_vehicle);
void vehicle_close(struct vehicle *vehicle); /* takes NULL */
const char *vehicle_name(const struct vehicle *vehicle);

/* Makes the next clip of this vehicle from clip `index` of `cuts`. A clip that the store refuses is
 * counted; -ENOMEM and -ERANGE are not the store's, and the clip was not made. */
int vehicle_make(struct vehicle *vehicle, struct cuts *cuts, uint32_t index, int64_t now_ns);
/* Sends, takes reports and receipts, keeps the outbox. Returns when it wants to be called again at
 * the latest. */
int64_t vehicle_turn(struct vehicle *vehicle, int64_t now_ns);
/* 0, or that of the database. */
int vehicle_books(struct vehicle *vehicle, struct vehicle_books *ret_books);

#endif
