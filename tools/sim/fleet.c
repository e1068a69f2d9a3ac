#include "tools/sim/fleet.h"

#include "proto/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct member {
    struct vehicle *vehicle;
    int64_t due_ns;  /* next clip, from the fleet's start */
    int64_t wake_ns; /* next turn without a reason from outside */
    uint64_t clips;  /* that were due so far */
};

struct fleet {
    struct fleet_config config;
    struct cuts *cuts;
    int64_t start_ns, behind_ns;
    struct member *members;
    struct uplink **uplinks;
    uint32_t uplink_count;
    bool started; /* the clock of clips runs from the first step that makes any */
};

/* ---- Choices: a function of the seed, the vehicle and what is chosen ---- */

enum choice { CHOICE_SESSION, CHOICE_PHASE, CHOICE_CLIP, CHOICE_BACKOFF };

static uint64_t choose(const struct fleet *fleet, enum choice what, uint32_t vehicle, uint64_t n)
{
    uint8_t bytes[32], digest[SHA256_BYTES];

    store_le64(bytes, fleet->config.seed);
    store_le64(bytes + 8, (uint64_t)what);
    store_le64(bytes + 16, vehicle);
    store_le64(bytes + 24, n);
    sha256_of(bytes, sizeof bytes, digest);
    return load_le64(digest);
}

static int64_t phase_of(const struct fleet *fleet, uint32_t vehicle)
{
    return (int64_t)(choose(fleet, CHOICE_PHASE, vehicle, 0) % (uint64_t)fleet->config.period_ns);
}

uint64_t fleet_clips(const struct fleet *fleet)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < fleet->config.vehicles; i++) {
        int64_t left_ns = fleet->config.duration_ns - phase_of(fleet, i);
        count += left_ns > 0 ? (uint64_t)((left_ns - 1) / fleet->config.period_ns) + 1 : 0;
    }
    return count;
}

/* ---- Open and close ---- */

static int open_uplink(struct fleet *fleet, uint32_t index, struct err *err)
{
    char client_id[FLEET_PREFIX_MAX + 32];
    struct transport transport;

    (void)snprintf(client_id, sizeof client_id, "%s-uplink-%u", fleet->config.prefix, index);
    int rc = fleet->config.open_transport(fleet->config.context, client_id, &transport, err);
    if (rc)
        return rc;
    fleet->uplinks[index] = uplink_open(transport);
    if (!fleet->uplinks[index])
        return err_plain(err, -ENOMEM, "no memory for a connection");
    fleet->uplink_count++;
    return 0;
}

static int open_vehicle(struct fleet *fleet, uint32_t index, int64_t now_ns, struct err *err)
{
    struct vehicle_config config = fleet->config.vehicle;
    struct member *member = &fleet->members[index];
    char name[PSEUDONYM_MAX], dir[IO_PATH_MAX];

    (void)snprintf(name, sizeof name, "%.*s-%05u", FLEET_PREFIX_MAX, fleet->config.prefix, index);
    (void)snprintf(dir, sizeof dir, "%.400s/%s", fleet->config.dir, name);
    if (mkdir(dir, 0750) && errno != EEXIST)
        return err_at(err, -errno, dir, 0, 0, "cannot be made: %s", strerror(errno));
    config.name = name;
    config.dir = dir;
    config.seed = choose(fleet, CHOICE_BACKOFF, index, 0);
    store_le64(config.session_id, choose(fleet, CHOICE_SESSION, index, 0));
    store_le64(config.session_id + 8, choose(fleet, CHOICE_SESSION, index, 1));
    member->due_ns = phase_of(fleet, index);
    member->wake_ns = now_ns;
    struct uplink *uplink = fleet->uplinks[index / fleet->config.per_uplink];
    return vehicle_open(&config, uplink_port(uplink, name), now_ns, err, &member->vehicle);
}

static int open_all(struct fleet *fleet, int64_t now_ns, struct err *err)
{
    uint32_t uplinks =
        (fleet->config.vehicles + fleet->config.per_uplink - 1) / fleet->config.per_uplink;
    int rc = 0;

    fleet->members = calloc(fleet->config.vehicles, sizeof *fleet->members);
    fleet->uplinks = calloc(uplinks, sizeof(struct uplink *));
    if (!fleet->members || !fleet->uplinks)
        return err_plain(err, -ENOMEM, "no memory for %u vehicles", fleet->config.vehicles);
    for (uint32_t i = 0; !rc && i < uplinks; i++)
        rc = open_uplink(fleet, i, err);
    for (uint32_t i = 0; !rc && i < fleet->config.vehicles; i++)
        rc = open_vehicle(fleet, i, now_ns, err);
    return rc;
}

int fleet_open(const struct fleet_config *config, struct cuts *cuts, int64_t now_ns,
               struct err *err, struct fleet **ret_fleet)
{
    if (config->vehicles < 1 || config->vehicles > FLEET_VEHICLES_MAX || config->per_uplink < 1 ||
        config->per_uplink > UPLINK_PORTS || config->period_ns < 1)
        return err_plain(err, -ERANGE, "found %u vehicles, %u to a connection; expected 1 to %d, "
                         "1 to %d", config->vehicles, config->per_uplink, FLEET_VEHICLES_MAX,
                         UPLINK_PORTS);
    struct fleet *fleet = calloc(1, sizeof *fleet);
    if (!fleet)
        return err_plain(err, -ENOMEM, "no memory for a fleet");
    fleet->config = *config;
    fleet->cuts = cuts;
    int rc = open_all(fleet, now_ns, err);
    if (rc) {
        fleet_close(fleet, 0);
        return rc;
    }
    *ret_fleet = fleet;
    return 0;
}

void fleet_close(struct fleet *fleet, int flush_ms)
{
    if (!fleet)
        return;
    for (uint32_t i = 0; fleet->members && i < fleet->config.vehicles; i++)
        vehicle_close(fleet->members[i].vehicle);
    for (uint32_t i = 0; i < fleet->uplink_count; i++)
        uplink_close(fleet->uplinks[i], flush_ms);
    free(fleet->members);
    free(fleet->uplinks);
    free(fleet);
}

/* ---- Steps ---- */

/* At most one clip a call: a fleet that is behind still sends what it has. */
static bool make_due(struct fleet *fleet, uint32_t index, int64_t now_ns)
{
    struct member *member = &fleet->members[index];
    int64_t elapsed_ns = now_ns - fleet->start_ns;

    if (member->due_ns > elapsed_ns || member->due_ns >= fleet->config.duration_ns)
        return false;
    uint64_t pick = choose(fleet, CHOICE_CLIP, index, member->clips);
    if (vehicle_make(member->vehicle, fleet->cuts, (uint32_t)(pick % cuts_count(fleet->cuts)),
                     now_ns) == -ENOMEM)
        return false; /* tried again in the next step */
    fleet->behind_ns = elapsed_ns - member->due_ns;
    member->clips++;
    member->due_ns += fleet->config.period_ns;
    return true;
}

static bool step_member(struct fleet *fleet, uint32_t index, bool ready, bool make, int64_t now_ns)
{
    struct member *member = &fleet->members[index];

    ready |= make && make_due(fleet, index, now_ns);
    if (!ready && now_ns < member->wake_ns)
        return false;
    member->wake_ns = vehicle_turn(member->vehicle, now_ns);
    return ready;
}

bool fleet_step(struct fleet *fleet, bool make, int64_t now_ns)
{
    uint32_t per = fleet->config.per_uplink;
    bool any = false;

    if (make && !fleet->started) {
        fleet->started = true;
        fleet->start_ns = now_ns;
    }
    for (uint32_t i = 0; i < fleet->uplink_count; i++) {
        uint32_t ready = uplink_pump(fleet->uplinks[i]);
        for (uint32_t k = 0; k < per && i * per + k < fleet->config.vehicles; k++)
            any |= step_member(fleet, i * per + k, ready >> k & 1, make, now_ns);
    }
    return any;
}

/* ---- Books ---- */

int fleet_books(struct fleet *fleet, uint32_t vehicle, const char **ret_name,
                struct vehicle_books *ret_books)
{
    struct member *member = &fleet->members[vehicle];
    int rc = vehicle_books(member->vehicle, ret_books);

    if (rc)
        return rc;
    ret_books->close &= ret_books->made == member->clips;
    *ret_name = vehicle_name(member->vehicle);
    return 0;
}

static void add_uplinks(struct fleet *fleet, struct fleet_stats *stats)
{
    for (uint32_t i = 0; i < fleet->uplink_count; i++) {
        struct uplink_stats uplink;
        uplink_stats(fleet->uplinks[i], &uplink);
        stats->connected += uplink.transport.connected;
        stats->receipts_foreign += uplink.receipts_foreign;
    }
}

int fleet_stats(struct fleet *fleet, struct fleet_stats *ret_stats)
{
    struct fleet_stats stats = { .vehicles = fleet->config.vehicles,
                                 .uplinks = fleet->uplink_count, .behind_ns = fleet->behind_ns };
    const char *name;

    for (uint32_t i = 0; i < fleet->config.vehicles; i++) {
        struct vehicle_books books;
        int rc = fleet_books(fleet, i, &name, &books);
        if (rc)
            return rc;
        stats.due += fleet->members[i].clips;
        stats.made += books.made;
        stats.stored += books.stored;
        stats.refused += books.refused;
        stats.pending += books.pending;
        stats.sent_bytes += books.sent_bytes;
        stats.chunks_again += books.chunks_again;
        stats.questions += books.questions;
        stats.unclosed += !books.close;
    }
    add_uplinks(fleet, &stats);
    *ret_stats = stats;
    return 0;
}
