#include "tools/sim/vehicle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct vehicle {
    char name[PSEUDONYM_MAX];
    uint8_t session_id[SESSION_ID_BYTES];
    struct clipstore *store;
    struct uploader *uploader;
    struct job held; /* the scheduler was full */
    bool has_held;
    uint64_t made, refused, receipts;
    int64_t store_turn_ns;
};

static int open_store(struct vehicle *vehicle, const struct vehicle_config *config, int64_t now_ns,
                      struct err *err)
{
    const struct clipstore_config store = { .dir = config->dir, .io = io_system(),
                                            .chunk_bytes = config->chunk_bytes,
                                            .quota_bytes = config->quota_bytes,
                                            .delete_after = CLIPSTORE_DELETE_RECEIPT,
                                            .relaxed = true };

    return clipstore_open(&store, now_ns, err, &vehicle->store);
}

int vehicle_open(const struct vehicle_config *config, struct transport transport, int64_t now_ns,
                 struct err *err, struct vehicle **ret_vehicle)
{
    struct vehicle *vehicle = calloc(1, sizeof *vehicle);
    char clips[IO_PATH_MAX + 8], artifacts[IO_PATH_MAX + 16];
    const struct uploader_config uploader = { .clips_dir = clips, .artifacts_dir = artifacts,
                                              .rate = config->rate, .seed = config->seed,
                                              .receipts = true,
                                              .ask_first_ns = config->ask_first_ns };

    if (!vehicle) {
        transport.ops->close(transport.context, 0);
        return err_plain(err, -ENOMEM, "no memory for a vehicle");
    }
    (void)snprintf(clips, sizeof clips, "%s/clips", config->dir);
    (void)snprintf(artifacts, sizeof artifacts, "%s/artifacts", config->dir);
    int rc = open_store(vehicle, config, now_ns, err);
    if (rc)
        transport.ops->close(transport.context, 0);
    else
        rc = uploader_open(&uploader, transport, now_ns, err, &vehicle->uploader);
    if (rc) {
        vehicle_close(vehicle);
        return rc;
    }
    (void)snprintf(vehicle->name, sizeof vehicle->name, "%s", config->name);
    memcpy(vehicle->session_id, config->session_id, SESSION_ID_BYTES);
    *ret_vehicle = vehicle;
    return 0;
}

void vehicle_close(struct vehicle *vehicle)
{
    if (!vehicle)
        return;
    uploader_close(vehicle->uploader, 0);
    clipstore_close(vehicle->store);
    free(vehicle);
}

const char *vehicle_name(const struct vehicle *vehicle)
{
    return vehicle->name;
}

/* ---- Clips ---- */

struct making {
    struct vehicle *vehicle;
    int64_t now_ns;
    bool refused;
};

/* What the store refuses ends there, as in the daemon; the rest of the pieces is not needed. */
static int put_piece(void *context, const struct recorder_piece *piece)
{
    struct making *making = context;
    int rc = clipstore_put(making->vehicle->store, piece, making->now_ns);

    making->refused = rc != 0;
    return rc;
}

int vehicle_make(struct vehicle *vehicle, struct cuts *cuts, uint32_t index, int64_t now_ns)
{
    struct making making = { .vehicle = vehicle, .now_ns = now_ns };
    struct cuts_identity identity = { .vehicle = vehicle->name, .ordinal = vehicle->made };

    memcpy(identity.session_id, vehicle->session_id, SESSION_ID_BYTES);
    int rc = cuts_deal(cuts, index, &identity, put_piece, &making);
    if (rc && !making.refused)
        return rc;
    vehicle->made++;
    vehicle->refused += making.refused;
    vehicle->store_turn_ns = now_ns;
    return 0;
}

/* ---- Turns: what the store thread and the upload thread do ---- */

static void take_outcomes(struct vehicle *vehicle, int64_t now_ns)
{
    struct outcome outcome;

    while (uploader_take(vehicle->uploader, &outcome) == 1) {
        vehicle->receipts += outcome.kind == OUTCOME_RECEIPTED;
        clipstore_outcome(vehicle->store, &outcome, now_ns);
        vehicle->store_turn_ns = now_ns;
    }
}

static void give_jobs(struct vehicle *vehicle, int64_t now_ns)
{
    while (vehicle->has_held || clipstore_next_job(vehicle->store, &vehicle->held) == 1) {
        vehicle->has_held = uploader_put(vehicle->uploader, &vehicle->held, now_ns) == -EAGAIN;
        if (vehicle->has_held)
            return;
    }
}

int64_t vehicle_turn(struct vehicle *vehicle, int64_t now_ns)
{
    give_jobs(vehicle, now_ns);
    int64_t wake_ns = uploader_turn(vehicle->uploader, 0, now_ns);
    take_outcomes(vehicle, now_ns);
    if (now_ns >= vehicle->store_turn_ns)
        vehicle->store_turn_ns = clipstore_turn(vehicle->store, now_ns);
    return wake_ns < vehicle->store_turn_ns ? wake_ns : vehicle->store_turn_ns;
}

int vehicle_books(struct vehicle *vehicle, struct vehicle_books *ret_books)
{
    struct outbox_books books;
    struct uploader_stats stats;

    int rc = clipstore_books(vehicle->store, &books);
    if (rc)
        return rc;
    uploader_stats(vehicle->uploader, &stats);
    struct vehicle_books b = { .made = vehicle->made, .stored = books.delivered,
                               .refused = vehicle->refused + books.parked + books.evicted +
                                          books.expired + books.erased,
                               .pending = books.pending, .receipts = vehicle->receipts,
                               .sent_bytes = stats.bytes_sent, .chunks_again = stats.chunks_again,
                               .questions = stats.questions };
    b.close = outbox_books_close(&books) && b.made == books.sealed + vehicle->refused &&
              b.made == b.stored + b.refused + b.pending && b.stored <= b.receipts;
    *ret_books = b;
    return 0;
}
