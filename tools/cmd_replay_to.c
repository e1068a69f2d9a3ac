/* roadloop replay LOG... --to: recordings played onto CAN interfaces or to datagram sockets, in their
 * own time. No rules run here: whoever listens runs them. */
#include "daemon/playback.h"
#include "tools/cmd_replay_to.h"
#include "tools/sender.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPEED_MIN 0.001
#define SPEED_MAX 1000.0

static const char usage[] =
    "usage: roadloop replay LOG... --to [BUS=]DEST... [--speed N|max] [--in FMT] [--strict]\n"
    "\n"
    "Plays recorded drives or clips: frames of BUS go to DEST, a CAN interface, udp:HOST:PORT or\n"
    "unix:/PATH; a DEST without BUS takes those of all other buses. --speed is 1 (as recorded) or any\n"
    "other factor from 0.001 to 1000; max waits for nothing. Error frames are left out: controllers\n"
    "make them. It really sends: never play onto the bus of a vehicle.\n";

struct destination {
    char bus[SOURCE_NAME_MAX]; /* "" all others */
    const char *to;
    struct sender *sender;
};

struct player {
    const char *logs[PLAYBACK_RECORDINGS_MAX];
    struct destination destinations[SOURCES_MAX + 1];
    uint32_t log_count, destination_count;
    struct playback_config from;
    double speed; /* 0: max */
    struct playback *playback;
    struct sender *of_source[SOURCES_MAX]; /* NULL: nobody wants them */
    int64_t first_stamp_ns, began_ns, late_ns; /* late: the most */
    uint64_t sent, errors, unwanted[SOURCES_MAX];
};

/* --- arguments --- */

static int add_destination(struct player *player, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0;

    if (player->destination_count == SOURCES_MAX + 1 || length >= SOURCE_NAME_MAX ||
        (equals && !length) || !text[equals ? length + 1 : 0])
        return -EINVAL;
    struct destination *to = &player->destinations[player->destination_count++];
    memcpy(to->bus, text, length);
    to->to = equals ? equals + 1 : text;
    for (struct destination *other = player->destinations; other < to; other++)
        if (!strcmp(other->bus, to->bus))
            return -EEXIST;
    return 0;
}

static int parse_speed(const char *text, double *ret_speed)
{
    char *end;
    double speed = strtod(text, &end);

    if (!strcmp(text, "max")) {
        *ret_speed = 0;
        return 0;
    }
    if (end == text || *end || !(speed >= SPEED_MIN && speed <= SPEED_MAX))
        return -EINVAL;
    *ret_speed = speed;
    return 0;
}

static int parse_option(struct player *player, const char *name, const char *value)
{
    if (!value)
        return -EINVAL;
    if (!strcmp(name, "--to"))
        return add_destination(player, value);
    if (!strcmp(name, "--speed"))
        return parse_speed(value, &player->speed);
    if (!strcmp(name, "--in"))
        return player->from.format = value, 0;
    return -ENOENT;
}

static int parse_arguments(int argc, char **argv, struct player *player)
{
    char why[160];

    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1]) {
            if (player->log_count == PLAYBACK_RECORDINGS_MAX)
                return cmd_usage("replay", usage, "too many logs");
            player->logs[player->log_count++] = argv[i];
            continue;
        }
        if (!strcmp(argv[i], "--strict")) {
            player->from.strict = true;
            continue;
        }
        const char *name = argv[i], *value = i + 1 < argc ? argv[++i] : NULL;
        int code = parse_option(player, name, value);
        if (code) {
            (void)snprintf(why, sizeof why, code == -ENOENT ? "with --to there is no %.40s"
                           : code == -EEXIST ? "%.40s %.80s: a bus has one destination"
                                             : "cannot take %.40s %.80s", name, value ? value : "");
            return cmd_usage("replay", usage, why);
        }
    }
    return player->log_count ? 0 : cmd_usage("replay", usage, "needs a recording");
}

/* --- who gets what --- */

static int find_source(const struct source_table *sources, const char *bus)
{
    for (uint32_t i = 0; i < sources->count; i++)
        if (!strcmp(sources->items[i].name, bus))
            return (int)i;
    return -ENOENT;
}

static int no_such_bus(const struct source_table *sources, const char *bus, struct err *err)
{
    char names[128] = "";
    size_t at = 0;

    for (uint32_t i = 0; i < sources->count && at < sizeof names; i++) {
        int n = snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
                         sources->items[i].name);
        at += n > 0 ? (size_t)n : 0;
    }
    return err_plain(err, -EINVAL, "--to %s=: the recording has no bus '%s'; it has %s", bus, bus,
                     names);
}

static int route(struct player *player, struct err *err)
{
    const struct source_table *sources = playback_sources(player->playback);

    for (uint32_t i = 0; i < player->destination_count; i++) {
        struct destination *to = &player->destinations[i];
        int source = to->bus[0] ? find_source(sources, to->bus) : 0;
        if (source < 0)
            return no_such_bus(sources, to->bus, err);
        int code = sender_open(to->to, &to->sender, err);
        if (code)
            return code;
        if (to->bus[0])
            player->of_source[source] = to->sender;
    }
    for (uint32_t i = 0; i < player->destination_count; i++)
        for (uint32_t s = 0; s < sources->count && !player->destinations[i].bus[0]; s++)
            if (!player->of_source[s])
                player->of_source[s] = player->destinations[i].sender;
    return 0;
}

/* --- playing --- */

static int64_t mono_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Until the frame is due. Frames are timed from the first one, so that no error adds up. */
static void wait_until(struct player *player, int64_t stamp_ns)
{
    if (!player->began_ns) {
        player->began_ns = mono_ns();
        player->first_stamp_ns = stamp_ns;
    }
    if (player->speed <= 0)
        return;
    int64_t due_ns = player->began_ns +
                     (int64_t)((double)(stamp_ns - player->first_stamp_ns) / player->speed);
    const struct timespec due = { due_ns / NS_PER_S, due_ns % NS_PER_S };
    int64_t late_ns = mono_ns() - due_ns;
    if (late_ns < 0)
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
            ;
    else if (late_ns > player->late_ns)
        player->late_ns = late_ns;
}

static int play_frame(struct player *player, const struct frame *frame, struct err *err)
{
    struct sender *sender = player->of_source[frame->source];

    if (!sender) {
        player->unwanted[frame->source]++;
        return 0;
    }
    wait_until(player, frame->stamp_ns);
    int code = sender_put(sender, frame, err);
    player->sent += code > 0;
    player->errors += code == 0;
    return code < 0 ? code : 0;
}

static int play(struct player *player, struct err *err)
{
    struct recording_item item;
    int got, code = 0;

    while (!code && (got = playback_next(player->playback, &item, err)) != 0) {
        if (got < 0)
            return got;
        if (item.kind == RECORDING_FRAME)
            code = play_frame(player, &item.row.frame, err);
    }
    return code;
}

static void report(const struct player *player)
{
    const struct source_table *sources = playback_sources(player->playback);
    double seconds = player->began_ns ? (double)(mono_ns() - player->began_ns) / 1e9 : 0;

    (void)printf("%" PRIu64 " frames sent in %.3f s, at most %.3f ms late; %" PRIu64
                 " error frames left out\n", player->sent, seconds, (double)player->late_ns / 1e6,
                 player->errors);
    for (uint32_t i = 0; i < sources->count; i++)
        if (player->unwanted[i])
            (void)fprintf(stderr, "roadloop replay: %" PRIu64 " frames of %s not sent: no --to\n",
                          player->unwanted[i], sources->items[i].name);
}

bool replay_to_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--to"))
            return true;
    return false;
}

int cmd_replay_to(int argc, char **argv)
{
    static struct player player; /* large */
    struct err err = { .text = "" };

    player.speed = 1;
    if (parse_arguments(argc, argv, &player))
        return CMD_BAD;
    player.from.paths = player.logs;
    player.from.count = player.log_count;
    int code = playback_open(&player.from, &player.playback, &err);
    if (!code)
        code = route(&player, &err);
    if (!code)
        code = play(&player, &err);
    if (!code)
        report(&player);
    for (uint32_t i = 0; i < player.destination_count; i++)
        sender_close(player.destinations[i].sender);
    playback_close(player.playback);
    return code ? cmd_fail("replay", &err) : CMD_GOOD;
}
