/* The simulated fleet: clips under another name are whole clips, vehicles that share a connection get
 * their own answers, the books close whatever the far end does, and the seed decides all. */
#include "tests/memory_transport.h"
#include "tests/sink_clips.h"
#include "tools/sim/fleet.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define VEHICLES 13 /* on two connections: ten and three */
#define CLIPS 2
#define FARS 2

struct fixture {
    char dir[64], one[96], two[96];
    struct far_end *fars[FARS];
    uint32_t far_count;
    bool no_transport;
    int runs;
};

static void write_clip(const struct made_clip *clip, uint32_t segments, const char *path)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    for (uint32_t k = 0; k < segments; k++)
        assert_int_equal(fwrite(clip->bytes[k], 1, clip->final.segments[k].bytes, file),
                         clip->final.segments[k].bytes);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct made_clip clip;

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/test_simulate.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->one, sizeof f->one, "%s/one.rlc", f->dir);
    (void)snprintf(f->two, sizeof f->two, "%s/two.rlc", f->dir);
    made_clip(&clip, &(struct made_config){ .vehicle = "car", .segments = 1, .groups = 40,
                                            .chunk_bytes = 4096 });
    write_clip(&clip, 1, f->one);
    made_free(&clip);
    made_clip(&clip, &(struct made_config){ .vehicle = "car", .ordinal = 1, .segments = 2,
                                            .groups = 9, .chunk_bytes = 4096 });
    write_clip(&clip, 2, f->two);
    made_free(&clip);
    for (int i = 0; i < FARS; i++)
        f->fars[i] = calloc(1, sizeof *f->fars[i]);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < FARS; i++) {
        far_deinit(f->fars[i]);
        free(f->fars[i]);
    }
    (void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static struct cuts *load(struct fixture *f)
{
    const char *paths[] = { f->one, f->two };
    struct cuts *cuts = NULL;
    struct err err;

    assert_int_equal(cuts_load(paths, 2, &err, &cuts), 0);
    assert_int_equal(cuts_count(cuts), 2);
    return cuts;
}

/* ---- Dealt clips ---- */

struct collected {
    uint8_t bytes[MADE_MAX];
    size_t size;
    unsigned begins, ends;
};

static int collect(void *context, const struct recorder_piece *piece)
{
    struct collected *c = context;

    assert_true(c->size + piece->size <= sizeof c->bytes);
    memcpy(c->bytes + c->size, piece->bytes, piece->size);
    c->size += piece->size;
    c->begins += piece->kind == RECORDER_BEGIN;
    c->ends += piece->kind == RECORDER_END;
    return 0;
}

/* Reads all of it; counts rows and takes the names of the last header. */
static uint64_t read_whole(const struct collected *c, char vehicle[PSEUDONYM_MAX], uint8_t *clip_id)
{
    const struct clip_reader_config config = { .name = "dealt" };
    struct clip_reader *reader = clip_reader_open(&config);
    struct clip_reader_stats stats;
    struct clip_item item;
    struct err err;

    for (size_t at = 0; at < c->size;) {
        int64_t taken = clip_reader_put(reader, c->bytes + at, c->size - at);
        assert_true(taken >= 0);
        at += (size_t)taken;
        int rc;
        while ((rc = clip_reader_next(reader, &item, &err)) == 1) {
            (void)snprintf(vehicle, PSEUDONYM_MAX, "%s", item.header->vehicle);
            memcpy(clip_id, item.header->clip_id, CLIP_ID_BYTES);
            if (item.manifest)
                assert_memory_equal(item.manifest->clip_id, clip_id, CLIP_ID_BYTES);
        }
        assert_int_equal(rc, 0);
    }
    assert_int_equal(clip_reader_finish(reader, &err), 0);
    clip_reader_stats(reader, &stats);
    clip_reader_close(reader);
    return stats.rows;
}

static void test_a_dealt_clip_is_whole_and_the_vehicles_own(void **state)
{
    struct cuts *cuts = load(*state);
    static struct collected c;
    char vehicle[PSEUDONYM_MAX];
    uint8_t clip_id[CLIP_ID_BYTES], want[CLIP_ID_BYTES];
    const uint64_t rows[] = { 40 * MADE_ROWS, 2 * 9 * MADE_ROWS };

    for (uint32_t i = 0; i < 2; i++) {
        const struct cuts_identity identity = { "a-much-longer-name-00042", { 1, 2, 3 }, 7 + i };
        c = (struct collected){ .size = 0 };
        assert_int_equal(cuts_deal(cuts, i, &identity, collect, &c), 0);
        assert_int_equal(c.begins, i + 1);
        assert_int_equal(c.ends, i + 1);
        assert_int_equal(read_whole(&c, vehicle, clip_id), rows[i]);
        assert_string_equal(vehicle, identity.vehicle);
        clip_id_make(identity.vehicle, identity.session_id, identity.ordinal, want);
        assert_memory_equal(clip_id, want, CLIP_ID_BYTES);
    }
    cuts_close(cuts);
}

static void test_a_name_that_no_clip_can_have_is_refused(void **state)
{
    struct cuts *cuts = load(*state);
    static struct collected c;
    char name[PSEUDONYM_MAX + 8];

    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const struct cuts_identity identity = { .vehicle = name };
    assert_int_equal(cuts_deal(cuts, 0, &identity, collect, &c), -ERANGE);
    assert_int_equal(c.size, 0);
    cuts_close(cuts);
}

static void test_what_is_no_whole_clip_is_refused(void **state)
{
    struct fixture *f = *state;
    struct cuts *cuts = NULL;
    const char *path = f->one;
    struct err err;

    assert_int_equal(cuts_load(NULL, 0, &err, &cuts), -EINVAL);
    assert_int_equal(truncate(f->one, 1000), 0);
    assert_int_equal(cuts_load(&path, 1, &err, &cuts), -EBADMSG);
    assert_string_equal(err.file, f->one);
    FILE *file = fopen(f->two, "r+b");
    assert_int_equal(fseek(file, 3000, SEEK_SET), 0);
    assert_int_equal(fputc('!', file), '!');
    assert_int_equal(fclose(file), 0);
    path = f->two;
    assert_int_equal(cuts_load(&path, 1, &err, &cuts), -EBADMSG);
    path = "/nonexistent.rlc";
    assert_int_equal(cuts_load(&path, 1, &err, &cuts), -ENOENT);
}

/* ---- Fleets ---- */

static int open_far(void *context, const char *client_id, struct transport *ret_transport,
                    struct err *err)
{
    struct fixture *f = context;

    assert_non_null(strstr(client_id, "-uplink-"));
    if (f->no_transport)
        return err_plain(err, -EIO, "none");
    assert_true(f->far_count < FARS);
    *ret_transport = (struct transport){ &far_ops, f->fars[f->far_count++] };
    return 0;
}

static struct fleet_config config_of(struct fixture *f, uint64_t seed)
{
    return (struct fleet_config){
        .prefix = "t", .dir = f->dir, .vehicles = VEHICLES, .per_uplink = UPLINK_PORTS,
        .period_ns = 10 * NS_PER_S, .duration_ns = CLIPS * 10 * NS_PER_S, .seed = seed,
        .vehicle = { .chunk_bytes = 4096, .quota_bytes = 1 << 20,
                     .rate = { 1 << 20, 1 << 20 }, .ask_first_ns = NS_PER_S },
        .open_transport = open_far, .context = f };
}

/* From an instant that is not zero, in steps of 20 ms, until all are stored or the time is over. */
static void run(struct fleet *fleet, int64_t seconds, struct fleet_stats *stats)
{
    int64_t start_ns = 5 * NS_PER_S;

    for (int64_t now_ns = start_ns; now_ns < start_ns + seconds * NS_PER_S;
         now_ns += 20 * NS_PER_MS)
        (void)fleet_step(fleet, true, now_ns);
    assert_int_equal(fleet_stats(fleet, stats), 0);
}

static void test_every_vehicle_gets_its_own_answers(void **state)
{
    struct fixture *f = *state;
    struct cuts *cuts = load(f);
    struct fleet_config config = config_of(f, 1);
    struct vehicle_books books;
    struct fleet_stats stats;
    struct fleet *fleet;
    const char *name;
    struct err err;

    for (int i = 0; i < FARS; i++) {
        f->fars[i]->lose_each = 5;
        f->fars[i]->fail_each = 7;
    }
    assert_int_equal(fleet_open(&config, cuts, 5 * NS_PER_S, &err, &fleet), 0);
    assert_int_equal(f->far_count, 2);
    assert_int_equal(fleet_clips(fleet), VEHICLES * CLIPS);
    run(fleet, 600, &stats);
    assert_int_equal(stats.made, VEHICLES * CLIPS);
    assert_int_equal(stats.stored, VEHICLES * CLIPS);
    assert_int_equal(stats.pending + stats.refused + stats.unclosed, 0);
    assert_true(stats.chunks_again > 0 && stats.questions > 0);
    assert_int_equal(stats.uplinks, 2);
    assert_int_equal(stats.connected, 2);
    for (uint32_t i = 0; i < VEHICLES; i++) {
        assert_int_equal(fleet_books(fleet, i, &name, &books), 0);
        assert_true(books.close && books.made == CLIPS && books.receipts >= CLIPS);
    }
    assert_string_equal(name, "t-00012");
    fleet_close(fleet, 0);
    cuts_close(cuts);
}

static void test_the_books_close_without_answers_and_without_room(void **state)
{
    struct fixture *f = *state;
    struct cuts *cuts = load(f);
    struct fleet_config config = config_of(f, 1);
    struct fleet_stats stats;
    struct fleet *fleet;
    struct err err;

    f->fars[0]->mute = true;
    f->fars[1]->refuse = -ENOTCONN; /* nothing goes out: a second clip finds no room */
    config.vehicle.quota_bytes = 65536;
    assert_true(cuts_bytes(cuts, 0) > 32768);
    config.duration_ns = 3 * config.period_ns;
    assert_int_equal(fleet_open(&config, cuts, 5 * NS_PER_S, &err, &fleet), 0);
    run(fleet, 60, &stats);
    assert_int_equal(stats.made, fleet_clips(fleet));
    assert_int_equal(stats.stored, 0);
    assert_int_equal(stats.unclosed, 0);
    assert_true(stats.refused > 0 && stats.pending > 0);
    assert_int_equal(stats.made, stats.refused + stats.pending);
    fleet_close(fleet, 0);
    cuts_close(cuts);
}

static void test_receipts_of_others_are_counted_and_left_alone(void **state)
{
    struct fixture *f = *state;
    struct uplink *uplink = uplink_open((struct transport){ &far_ops, f->fars[0] });
    struct transport a = uplink_port(uplink, "car-a"), b = uplink_port(uplink, "car-b");
    static const char *const names[] = { "car-b", "car-x", "car-b", "car-a" };
    struct transport_receipt receipt;
    struct uplink_stats stats;

    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(f->fars[0]->receipts[i].receipt.pseudonym, PSEUDONYM_MAX, "%s", names[i]);
        f->fars[0]->receipts[i].receipt.ask = i;
    }
    f->fars[0]->receipt_count = 4;
    assert_int_equal(uplink_pump(uplink), 2); /* b has one, and a second one waits behind it */
    assert_int_equal(uplink_pump(uplink), 2);
    assert_int_equal(a.ops->poll_receipt(a.context, &receipt), 0);
    assert_int_equal(b.ops->poll_receipt(b.context, &receipt), 1);
    assert_int_equal(receipt.receipt.ask, 0);
    assert_int_equal(uplink_pump(uplink), 3);
    assert_int_equal(b.ops->poll_receipt(b.context, &receipt), 1);
    assert_int_equal(receipt.receipt.ask, 2);
    assert_int_equal(a.ops->poll_receipt(a.context, &receipt), 1);
    assert_int_equal(receipt.receipt.ask, 3);
    assert_int_equal(receipt.partition, -1);
    uplink_stats(uplink, &stats);
    assert_int_equal(stats.receipts_foreign, 1);
    uplink_close(uplink, 0);
}

static int listens, listen_answer;

static int count_listen(void *context, const char *pseudonym,
                        int (*stored)(void *argument, int32_t partition, int64_t *ret_offset),
                        void *argument)
{
    (void)far_listen(context, pseudonym, stored, argument);
    listens++;
    return listen_answer;
}

/* With a broker away, each listen waits: one is enough until the broker is seen again. */
static void test_a_silent_broker_is_asked_once(void **state)
{
    struct fixture *f = *state;
    struct transport_ops ops = far_ops;

    ops.listen = count_listen;
    listens = 0;
    listen_answer = -ETIMEDOUT;
    struct uplink *uplink = uplink_open((struct transport){ &ops, f->fars[0] });
    struct transport a = uplink_port(uplink, "car-a"), b = uplink_port(uplink, "car-b");
    assert_int_equal(a.ops->listen(a.context, "car-a", NULL, NULL), -ETIMEDOUT);
    assert_int_equal(b.ops->listen(b.context, "car-b", NULL, NULL), -EAGAIN);
    assert_int_equal(listens, 1);
    f->fars[0]->reports[0] = (struct transport_report){ UINT64_C(1) << 48 | 7, TRANSPORT_RETRY, "" };
    f->fars[0]->report_count = 1;
    assert_int_equal(uplink_pump(uplink), 1);
    assert_int_equal(b.ops->listen(b.context, "car-b", NULL, NULL), -EAGAIN);
    f->fars[0]->reports[0] = (struct transport_report){ UINT64_C(2) << 48 | 8, TRANSPORT_DONE, "" };
    f->fars[0]->report_count = 1;
    assert_int_equal(uplink_pump(uplink), 3);
    listen_answer = 0;
    assert_int_equal(b.ops->listen(b.context, "car-b", NULL, NULL), 0);
    assert_int_equal(a.ops->listen(a.context, "car-a", NULL, NULL), 0);
    assert_int_equal(listens, 3);
    uplink_close(uplink, 0);
}

/* The ids of all clips that a seed makes, as one digest. */
static uint64_t ids_of(struct fixture *f, uint64_t seed)
{
    struct cuts *cuts = load(f);
    struct fleet_config config = config_of(f, seed);
    struct fleet_stats stats;
    struct fleet *fleet;
    struct err err;
    char dir[80];
    uint64_t sum = 0;

    (void)snprintf(dir, sizeof dir, "%s/run-%d", f->dir, ++f->runs);
    assert_int_equal(mkdir(dir, 0700), 0);
    config.dir = dir;
    f->far_count = 0;
    assert_int_equal(fleet_open(&config, cuts, 5 * NS_PER_S, &err, &fleet), 0);
    run(fleet, 30, &stats);
    assert_int_equal(stats.stored, VEHICLES * CLIPS);
    for (int i = 0; i < FARS; i++) {
        for (int k = 0; k < FAR_CLIPS; k++)
            sum += f->fars[i]->clips[k].used
                       ? hash_xxh3(f->fars[i]->clips[k].clip_id, CLIP_ID_BYTES) +
                             (f->fars[i]->clips[k].bytes[1] != NULL)
                       : 0;
        far_deinit(f->fars[i]);
        memset(f->fars[i], 0, sizeof *f->fars[i]);
    }
    fleet_close(fleet, 0);
    cuts_close(cuts);
    return sum;
}

static void test_the_seed_decides(void **state)
{
    uint64_t one = ids_of(*state, 1), other = ids_of(*state, 2);

    assert_int_equal(ids_of(*state, 1), one);
    assert_true(one != other);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct cuts *cuts = load(f);
    struct fleet_config config = config_of(f, 1);
    struct fleet *fleet;
    struct err err;

    config.vehicles = 0;
    assert_int_equal(fleet_open(&config, cuts, 0, &err, &fleet), -ERANGE);
    config.vehicles = FLEET_VEHICLES_MAX + 1;
    assert_int_equal(fleet_open(&config, cuts, 0, &err, &fleet), -ERANGE);
    config = config_of(f, 1);
    config.per_uplink = UPLINK_PORTS + 1;
    assert_int_equal(fleet_open(&config, cuts, 0, &err, &fleet), -ERANGE);
    config = config_of(f, 1);
    f->no_transport = true;
    assert_int_equal(fleet_open(&config, cuts, 0, &err, &fleet), -EIO);
    config = config_of(f, 1);
    f->no_transport = false;
    config.dir = "/nonexistent";
    assert_int_equal(fleet_open(&config, cuts, 0, &err, &fleet), -ENOENT);
    cuts_close(cuts);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_a_dealt_clip_is_whole_and_the_vehicles_own),
        CASE(test_a_name_that_no_clip_can_have_is_refused),
        CASE(test_what_is_no_whole_clip_is_refused),
        CASE(test_every_vehicle_gets_its_own_answers),
        CASE(test_the_books_close_without_answers_and_without_room),
        CASE(test_receipts_of_others_are_counted_and_left_alone),
        CASE(test_a_silent_broker_is_asked_once),
        CASE(test_the_seed_decides),
        CASE(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
