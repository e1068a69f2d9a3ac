/* status.v1: what the fleet's side knows of a car between clips. Sent at the start, when the
 * generation or the state changes, each minute, and as the last word. */
#include "daemon/app.h"

#include <stdio.h>
#include <string.h>

#define STATUS_EVERY_NS (60 * NS_PER_S)

static void count(const struct store_stats *store, struct wire_status *status)
{
    status->sealed = store->books.sealed;
    status->delivered = store->books.delivered;
    status->pending = store->books.pending;
    status->parked = store->books.parked;
    status->evicted = store->books.evicted;
    status->expired = store->books.expired;
    status->erased = store->books.erased;
    status->disk_bytes = (uint64_t)store->clipstore.disk_bytes;
}

/* One pair, read now: the session's clips are on this clock. A recording has no wall clock of ours. */
static void read_clocks(const struct app *app, struct wire_status *status)
{
    struct clock_reading now;

    clock_read(&now);
    if (app->playback || !clock_is_set(now.wall_ns))
        return;
    status->clocks[0] = (struct wire_clock){ .mono_ns = now.mono_ns, .utc_ns = now.wall_ns,
                                             .uncertainty_ns = NS_PER_S };
    status->clock_count = 1;
}

static enum wire_state state_of(const struct app *app)
{
    return app->stopping                             ? WIRE_STATE_STOPPED
           : app->snapshot.store.clipstore.degraded ? WIRE_STATE_DEGRADED
                                                     : WIRE_STATE_OK;
}

static void fill(const struct app *app, enum wire_state state, struct wire_status *status)
{
    memset(status, 0, sizeof *status);
    memcpy(status->pseudonym, app->snapshot.vehicle, PSEUDONYM_MAX);
    memcpy(status->session_id, app->session.id, SESSION_ID_BYTES);
    status->state = state;
    (void)snprintf(status->version, sizeof status->version, "%s", ROADLOOP_VERSION);
    if (app->snapshot.store.clipstore.degraded)
        (void)snprintf(status->reason, sizeof status->reason, "%.127s",
                       app->snapshot.store.clipstore.reason);
    status->generation = app->generation->number;
    memcpy(status->pack_sha256, app->generation->pack_sha256, SHA256_BYTES);
    generation_digest(app->generation, status->dbc_sha256);
    memcpy(status->config_sha256, app->session.shaping_sha256, SHA256_BYTES);
    count(&app->snapshot.store, status);
    read_clocks(app, status);
}

void app_tell_status(struct app *app, int64_t now_ns)
{
    struct order order = { .kind = ORDER_STATUS };
    enum wire_state state = state_of(app);

    if (!app->upload.uploader || !app->store_heard ||
        (now_ns < app->next_status_ns && state == app->told_state &&
         app->generation->number == app->told_generation))
        return;
    fill(app, state, &order.status);
    if (!worker_send(&app->upload.worker, &order))
        return; /* the next tick tells it */
    app->next_status_ns = now_ns + STATUS_EVERY_NS;
    app->told_state = state;
    app->told_generation = app->generation->number;
}
