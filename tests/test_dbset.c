#include "proto/dbset.h"
#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#define SIGNAL(name, start) " SG_ " name " : " start "|8@1+ (1,0) [0|0] \"\" N\n"
#define CAR "BO_ 256 Speed: 8 N\n" SIGNAL("Wheel", "0") "BO_ 257 Brake: 8 N\n" SIGNAL("On", "0")
#define RADAR "BO_ 256 Track: 8 N\n" SIGNAL("Range", "0") "BO_ 257 Brake: 8 N\n" SIGNAL("On", "8")
#define COMMON "BO_ 256 Any: 8 N\n" SIGNAL("Byte", "0") "BO_ 300 Extra: 8 N\n" SIGNAL("Byte", "0")
#define ENGINE "BO_ 2364540158 EEC1: 8 N\n" SIGNAL("Rpm", "24") \
    "BA_DEF_ BO_ \"VFrameFormat\" INT 0 3;\nBA_DEF_DEF_ \"VFrameFormat\" 3;\n"

static struct err err;

static void add(struct dbset *set, const char *bus, const char *name, const char *text)
{
    assert_int_equal(dbset_add(set, bus, name, text, strlen(text), true, NULL, &err), 0);
}

static struct dbset *make_set(void)
{
    struct dbset *set = dbset_open();

    assert_non_null(set);
    add(set, "can0", "dir/car.dbc", CAR);
    add(set, "can1", "radar.dbc", RADAR);
    add(set, "", "common.dbc", COMMON);
    return set;
}

static const char *name_on(const struct dbset *set, const char *bus, uint32_t id, uint16_t flags)
{
    struct dbset_route route;
    struct dbset_match match;

    dbset_route_init(&route, set, bus);
    return dbset_find(&route, id, flags, &match) ? match.message->name : "-";
}

static void test_each_bus_has_its_database_before_the_common_one(void **state)
{
    struct dbset *set = make_set();

    (void)state;
    assert_string_equal(name_on(set, "can0", 256, 0), "Speed");
    assert_string_equal(name_on(set, "can1", 256, 0), "Track");
    assert_string_equal(name_on(set, "can2", 256, 0), "Any");
    assert_string_equal(name_on(set, "can0", 300, 0), "Extra");
    assert_string_equal(name_on(set, "can2", 257, 0), "-");
    assert_string_equal(name_on(set, "can0", 256, FRAME_FD | FRAME_TX | FRAME_LATE), "Speed");
    assert_string_equal(name_on(set, "can0", 256, FRAME_EFF), "-");
    assert_string_equal(name_on(set, "can0", 256, FRAME_RTR), "-");
    assert_string_equal(name_on(set, "can0", 256, FRAME_ERR), "-");
    dbset_close(set);
}

static void test_entries_carry_name_bytes_and_hash(void **state)
{
    struct dbset *set = make_set();
    uint8_t want[SHA256_BYTES];

    (void)state;
    sha256_of(CAR, strlen(CAR), want);
    assert_int_equal(set->count, 3);
    assert_string_equal(set->entries[0].name, "car.dbc");
    assert_int_equal(set->entries[0].size, strlen(CAR));
    assert_memory_equal(set->entries[0].bytes, CAR, strlen(CAR));
    assert_memory_equal(set->entries[0].sha256, want, sizeof want);
    dbset_close(set);
}

/* J1939: one message from many sources; what holds state keeps it per address. */
static void test_matches_tell_the_source_address(void **state)
{
    struct dbset *set = dbset_open();
    struct dbset_route route;
    struct dbset_match match;

    (void)state;
    add(set, "", "engine.dbc", ENGINE);
    dbset_route_init(&route, set, "can0");
    assert_true(dbset_find(&route, 0x0CF00421, FRAME_EFF, &match));
    assert_string_equal(match.message->name, "EEC1");
    assert_int_equal(match.address, 0x21);
    assert_true(dbset_find(&route, 0x18F00400, FRAME_EFF, &match));
    assert_int_equal(match.address, 0);
    assert_false(dbset_find(&route, 0x18F00500, FRAME_EFF, &match));
    assert_null(match.message);
    dbset_close(set);
}

static void test_paths_find_signals(void **state)
{
    static const struct {
        const char *path, *bus, *part;
        uint32_t entry;
        int want;
    } cases[] = {
        { "Speed.Wheel", "can0", NULL, 0, 0 },
        { "can0:Speed.Wheel", "can0", NULL, 0, 0 },
        { "`can0`:`Speed`.`Wheel`", "can0", NULL, 0, 0 },
        { "can1:Brake.On", "can1", NULL, 1, 0 },
        { "Extra.Byte", "", NULL, 2, 0 },
        { "can7:Extra.Byte", "can7", NULL, 2, 0 }, /* the common database, that bus only */
        { "Brake.On", "", "stands in car.dbc (bus can0) and in radar.dbc (bus can1)", 0, -EEXIST },
        { "Speed.Weel", "", "unknown signal 'Weel' in message Speed of car.dbc; did you mean 'Wheel'?",
          0, -ENOENT },
        { "Sped.Wheel", "", "unknown message 'Sped'; did you mean 'Speed'?", 0, -ENOENT },
        { "can1:Speed.Wheel", "", "unknown message 'Speed' on bus can1", 0, -ENOENT },
        { "Speed", "", "expected [bus:]Message.Signal", 0, -EINVAL },
        { "Speed.", "", "expected [bus:]Message.Signal", 0, -EINVAL },
        { ".Wheel", "", "expected [bus:]Message.Signal", 0, -EINVAL },
        { "can0:Speed", "", "expected [bus:]Message.Signal", 0, -EINVAL },
        { "`Speed.Wheel", "", "expected [bus:]Message.Signal", 0, -EINVAL },
        { "Speed.`Wheel`x", "", "expected [bus:]Message.Signal", 0, -EINVAL },
        { "", "", "expected [bus:]Message.Signal", 0, -EINVAL },
    };
    struct dbset *set = make_set();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dbset_signal found = { .entry = 99 };
        int status = dbset_signal_path(set, cases[i].path, &found, &err);
        if (status != cases[i].want)
            print_error("%s: %d %s\n", cases[i].path, status, err.text);
        assert_int_equal(status, cases[i].want);
        if (status) {
            if (!strstr(err.text, cases[i].part))
                print_error("%s: %s\n", cases[i].path, err.text);
            assert_non_null(strstr(err.text, cases[i].part));
            assert_int_equal(found.entry, 99); /* untouched */
        } else {
            assert_int_equal(found.entry, cases[i].entry);
            assert_string_equal(found.bus, cases[i].bus);
        }
    }
    dbset_close(set);
}

static void test_j1939_sources_are_named_by_address(void **state)
{
    static const struct {
        const char *path;
        int want, address;
        const char *part;
    } cases[] = {
        { "EEC1.Rpm", 0, DBSET_ANY_ADDRESS, NULL }, { "EEC1@0x21.Rpm", 0, 0x21, NULL },
        { "can0:`EEC1@33`.Rpm", 0, 33, NULL },      { "EEC1@0.Rpm", 0, 0, NULL },
        { "EEC1@253.Rpm", 0, 253, NULL },
        { "EEC1@254.Rpm", -ENOENT, 0, "unknown message 'EEC1@254'" },
        { "EEC1@.Rpm", -ENOENT, 0, "unknown message" }, { "EEC1@x.Rpm", -ENOENT, 0, "unknown" },
        { "EEC1@1x.Rpm", -ENOENT, 0, "unknown message" },
        { "EEC2@1.Rpm", -ENOENT, 0, "unknown message 'EEC2'; did you mean 'EEC1'?" },
        { "Speed@1.Wheel", -EINVAL, 0, "'Speed' takes no source address" },
    };
    struct dbset *set = dbset_open();

    (void)state;
    add(set, "", "engine.dbc", CAR ENGINE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dbset_signal found;
        assert_int_equal(dbset_signal_path(set, cases[i].path, &found, &err), cases[i].want);
        if (cases[i].want)
            assert_non_null(strstr(err.text, cases[i].part));
        else
            assert_int_equal(found.address, cases[i].address);
    }
    dbset_close(set);
}

static void test_a_bus_database_hides_the_common_one_for_its_bus(void **state)
{
    struct dbset *set = dbset_open();
    struct dbset_signal found;

    (void)state;
    add(set, "", "common.dbc", CAR);
    add(set, "can0", "car.dbc", CAR);
    assert_int_equal(dbset_signal_path(set, "can0:Speed.Wheel", &found, &err), 0);
    assert_int_equal(found.entry, 1);
    assert_int_equal(dbset_signal_path(set, "can1:Speed.Wheel", &found, &err), 0);
    assert_int_equal(found.entry, 0);
    assert_int_equal(dbset_signal_path(set, "Speed.Wheel", &found, &err), -EEXIST);
    add(set, "can1", "car.dbc", CAR); /* whichever was added first */
    add(set, "", "late.dbc", RADAR);
    assert_int_equal(dbset_signal_path(set, "can1:Speed.Wheel", &found, &err), 0);
    assert_int_equal(found.entry, 2);
    assert_int_equal(dbset_signal_path(set, "can1:Brake.On", &found, &err), 0);
    assert_int_equal(found.entry, 2);
    dbset_close(set);
}

static void test_a_refused_signal_tells_why(void **state)
{
    static const char text[] = "BO_ 1 K: 1 N\n" SIGNAL("Far", "8") SIGNAL("Near", "0");
    struct dbset *set = dbset_open();
    struct dbset_signal found;

    (void)state;
    assert_int_equal(dbset_add(set, NULL, "k.dbc", text, strlen(text), false, NULL, &err), 0);
    assert_int_equal(dbset_signal_path(set, "K.Far", &found, &err), -ENOENT);
    assert_non_null(strstr(err.text, "refused when k.dbc:2 was read: it ends at byte 2"));
    assert_int_equal(dbset_signal_path(set, "K.Near", &found, &err), 0);
    dbset_close(set);
}

static void test_bad_additions(void **state)
{
    struct dbset *set = make_set();
    char text[64];

    (void)state;
    assert_int_equal(dbset_add(set, "can0", "again.dbc", CAR, strlen(CAR), true, NULL, &err),
                     -EEXIST);
    assert_non_null(strstr(err.text, "given twice for bus can0"));
    assert_int_equal(dbset_add(set, "can 0", "x.dbc", CAR, strlen(CAR), true, NULL, &err), -EINVAL);
    assert_int_equal(dbset_add(set, "", "x.dbc", "what?", 5, false, NULL, &err), -EBADMSG);
    assert_int_equal(set->count, 3);
    for (int i = 3; i < DBSET_ENTRIES_MAX; i++) {
        (void)snprintf(text, sizeof text, "BO_ %d M%d: 8 N\n", i, i);
        add(set, "", "n.dbc", text);
    }
    assert_int_equal(dbset_add(set, "", "y.dbc", "BU_: N\n", 7, true, NULL, &err), -ENOBUFS);
    dbset_close(set);
}

static void test_arguments_name_bus_and_file(void **state)
{
    char path[] = "/tmp/test_dbset_XXXXXX", argument[64];
    int file = mkstemp(path);
    struct dbset *set = dbset_open();

    (void)state;
    assert_true(file >= 0);
    assert_int_equal(write(file, CAR, strlen(CAR)), strlen(CAR));
    assert_int_equal(close(file), 0);
    (void)snprintf(argument, sizeof argument, "can0=%s", path);
    assert_int_equal(dbset_add_file(set, argument, true, NULL, &err), 0);
    assert_string_equal(set->entries[0].bus, "can0");
    assert_int_equal(dbset_add_file(set, path, true, NULL, &err), 0);
    assert_string_equal(set->entries[1].bus, "");
    assert_string_equal(set->entries[1].name, strrchr(path, '/') + 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(dbset_add_file(set, argument, true, NULL, &err), -ENOENT);
    assert_non_null(strstr(err.text, "cannot read the database"));
    assert_string_equal(err.file, path);
    assert_int_equal(dbset_add_file(set, "./can0=nowhere.dbc", true, NULL, &err), -ENOENT);
    assert_string_equal(err.file, "./can0=nowhere.dbc");
    assert_int_equal(dbset_add_file(set, "/tmp", true, NULL, &err), -EISDIR);
    dbset_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_bus_has_its_database_before_the_common_one),
        cmocka_unit_test(test_entries_carry_name_bytes_and_hash),
        cmocka_unit_test(test_matches_tell_the_source_address),
        cmocka_unit_test(test_paths_find_signals),
        cmocka_unit_test(test_j1939_sources_are_named_by_address),
        cmocka_unit_test(test_a_bus_database_hides_the_common_one_for_its_bus),
        cmocka_unit_test(test_a_refused_signal_tells_why),
        cmocka_unit_test(test_bad_additions),
        cmocka_unit_test(test_arguments_name_bus_and_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
