#include "daemon/config.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct diags diags;
static struct config config;

static int parse(const char *text)
{
    memset(&diags, 0, sizeof diags);
    memset(&config, 0, sizeof config);
    return config_parse(text, strlen(text), "etc/roadloop.yaml", &diags, &config);
}

/* The documented file holds the defaults, and mentions every key of the schema. */
static void test_the_documented_file_is_the_default(void **state)
{
    static struct config documented, defaults;
    static char text[65536];

    (void)state;
    memset(&diags, 0, sizeof diags);
    assert_int_equal(config_load("config/roadloop.yaml", &diags, &documented), 0);
    config_init(&defaults);
    assert_int_equal(documented.source_count, 1);
    assert_int_equal(documented.sources[0].rcvbuf_bytes, 8 << 20);
    documented.source_count = documented.shaping.source_count = 0;
    assert_null(config_restart_key(&defaults, &documented));
    assert_int_equal(documented.metrics.every_ns, defaults.metrics.every_ns);
    assert_string_equal(documented.metrics.file, "");

    FILE *file = fopen("config/roadloop.yaml", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    (void)fclose(file);
    for (uint32_t i = 0; config_key_name(i); i++) {
        const char *dot = strchr(config_key_name(i), '.');
        char line[64];
        (void)snprintf(line, sizeof line, "\n%s%s:", dot ? "  " : "",
                       dot ? dot + 1 : config_key_name(i));
        if (!strstr(text, line))
            fail_msg("config/roadloop.yaml does not document '%s'", config_key_name(i));
    }
}

static void test_refusals_name_the_place_and_the_way_out(void **state)
{
    static const struct { const char *text, *want; } cases[] = {
        { "ring:\n  bites: 1MiB\n", "etc/roadloop.yaml:2:3: unknown key 'bites' in ring; did you mean 'bytes'?" },
        { "soruces: []\n", "etc/roadloop.yaml:1:1: unknown key 'soruces'; did you mean 'sources'?" },
        { "zzz: 1\n", "etc/roadloop.yaml:1:1: unknown key 'zzz'" },
        { "ring: 5\n", "etc/roadloop.yaml:1:7: ring: found text, expected a map" },
        { "packs: a.yaml\n", "etc/roadloop.yaml:1:8: packs: found text, expected a list" },
        { "reorder: 5\n", "1:10: reorder: found '5', expected a duration such as 10s, 5ms or 2min" },
        { "reorder: 2s\n", "1:10: reorder: 2s is outside 0s to 1s" },
        { "ring: {bytes: many}\n", "1:15: bytes: found 'many', expected a size such as 16MiB" },
        { "ring: {bytes: 1GiB}\n", "1:15: bytes: 1GiB is outside 64KiB to 256MiB" },
        { "ring: {bytes: 99999999999999999999}\n", "is outside" },
        { "ring: {bytes: 9223372036854775807GiB}\n", "is outside" },
        { "ring: {bytes: -1}\n", "expected a size" },
        { "clips: {open: 9}\n", "open: found '9', expected a number from 1 to 8" },
        { "codec: zip\n", "codec: found 'zip', expected one of columnar, rows" },
        { "upload: {artifacts: maybe}\n", "artifacts: found 'maybe', expected one of no, yes" },
        { "vehicle: my car\n", "'my car' is no name" },
        { "vehicle: \"\"\n", "'' is no name" },
        { "vehicle: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
          "is too long: at most 63 bytes" },
        { "sources: [{can: can0}]\n", "1:11: a source needs a name" },
        { "sources: [{name: a}]\n", "a source needs one address" },
        { "sources: [{name: a, can: a, datagram: \"udp:1.2.3.4:5\"}]\n", "a source needs one address" },
        { "sources: [{name: a, can: a}, {name: a, can: b}]\n", "source 'a' is there already" },
        { "sources: [{name: a, can: a, bufer: 1}]\n", "unknown key 'bufer' in a source; did you mean 'buffer'?" },
        { "sources: [{name: a, can: a, buffer: 65MiB}]\n", "at most 64MiB" },
        { "sources: [{name: a, can: a}]\nrecording: {path: x.log}\n", "exclude each other" },
        { "recording: {path: x, wall_start: \"2018-08-02 08:34:47Z\"}\n",
          "1:34: wall_start: found '2018-08-02 08:34:47Z', expected UTC such as" },
        { "upload: {transport: kafka}\n", "transport kafka needs brokers" },
        { "upload: {transport: file}\n", "transport file needs drop" },
        { "upload: {burst: 4KiB}\n", "burst (4096 bytes) must hold one chunk (131072 bytes)" },
        { "upload: {settings: [a]}\n", "settings: found a list, expected a map" },
        { "- a\n", "the configuration: found a list, expected a map" },
        { "vehicle: a\nvehicle: b\n", "etc/roadloop.yaml:2:1:" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[ERR_FILE_MAX + ERR_TEXT_MAX + 32] = "nothing was refused";
        assert_int_equal(parse(cases[i].text), -EBADMSG);
        (void)err_format(&diags.items[0].err, text, sizeof text);
        if (!strstr(text, cases[i].want))
            fail_msg("case %zu: '%s' does not say '%s'", i, text, cases[i].want);
        assert_int_equal(config.shaping.ring_bytes, 0); /* untouched */
    }
}

static void test_all_errors_of_a_file_come_at_once(void **state)
{
    (void)state;
    assert_int_equal(parse("reorder: x\ncodec: y\nring: {bytes: z}\n"), -EBADMSG);
    assert_int_equal(diags.errors, 3);
}

static void test_values_arrive(void **state)
{
    (void)state;
    assert_int_equal(parse("vehicle: car-7\n"
                           "sources:\n"
                           "  - {name: can0, can: vcan0, stamps: hardware, buffer: 128KiB}\n"
                           "  - {name: can1, datagram: \"udp:127.0.0.1:29536\"}\n"
                           "databases: [can0=a.dbc, /abs/b.dbc]\n"
                           "packs: [packs/p.yaml]\n"
                           "clips: {max: 2min, open: 3}\n"
                           "upload:\n  transport: kafka\n  brokers: a:1,b:2\n"
                           "  settings: {security.protocol: ssl}\n"
                           "store: {delete_after: broker_ack}\n"), 0);
    assert_string_equal(config.shaping.vehicle, "car-7");
    assert_int_equal(config.source_count, 2);
    assert_int_equal(config.sources[0].kind, SOURCE_KIND_CAN);
    assert_true(config.sources[0].hardware_stamps);
    assert_int_equal(config.sources[0].rcvbuf_bytes, 131072);
    assert_string_equal(config.sources[1].address, "udp:127.0.0.1:29536");
    assert_string_equal(config.shaping.sources[1].name, "can1");
    assert_string_equal(config.dbcs[0], "can0=etc/a.dbc"); /* beside the file */
    assert_string_equal(config.dbcs[1], "/abs/b.dbc");
    assert_string_equal(config.packs[0], "etc/packs/p.yaml");
    assert_int_equal(config.shaping.clip_max_ns, 120 * NS_PER_S);
    assert_int_equal(config.shaping.clips_open, 3);
    assert_int_equal(config.upload.transport, CONFIG_TRANSPORT_KAFKA);
    assert_string_equal(config.upload.settings[0].key, "security.protocol");
    assert_int_equal(config.store.delete_after, CONFIG_DELETE_BROKER_ACK);
}

static void test_a_reload_knows_what_needs_a_restart(void **state)
{
    static struct config a, b;

    (void)state;
    assert_int_equal(parse("vehicle: a\npacks: [p]\nmetrics: {every: 1s}\n"), 0);
    a = config;
    assert_int_equal(parse("vehicle: a\npacks: [q, r]\ndatabases: [x]\nmetrics: {every: 2s}\n"), 0);
    b = config;
    assert_null(config_restart_key(&a, &b));
    assert_int_equal(parse("vehicle: b\n"), 0);
    assert_string_equal(config_restart_key(&a, &config), "vehicle");
    assert_int_equal(parse("vehicle: a\nring: {bytes: 1MiB}\n"), 0);
    assert_string_equal(config_restart_key(&a, &config), "ring.bytes");
    assert_int_equal(parse("vehicle: a\nsources: [{name: a, can: b}]\n"), 0);
    assert_string_equal(config_restart_key(&a, &config), "sources");
    assert_int_equal(parse("vehicle: a\nupload: {settings: {a: b}}\n"), 0);
    assert_string_equal(config_restart_key(&a, &config), "upload.settings");
}

static void test_wall_times(void **state)
{
    int64_t ns = 0;

    (void)state;
    assert_int_equal(config_wall("2018-08-02T08:34:47Z", &ns), 0);
    assert_int_equal(ns, INT64_C(1533198887) * NS_PER_S);
    assert_int_equal(config_wall("1970-01-01T00:00:00.000000001Z", &ns), 0);
    assert_int_equal(ns, 1);
    static const char *const bad[] = { "", "2018-08-02", "2018-08-02T08:34:47", "2018-08-02T08:34Z",
                                       "2018-08-02T08:34:47Zx", "1969-12-31T23:59:59Z" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(config_wall(bad[i], &ns), -EINVAL);
}

static void test_a_missing_file_says_so(void **state)
{
    (void)state;
    memset(&diags, 0, sizeof diags);
    assert_int_equal(config_load("no/such/file.yaml", &diags, &config), -ENOENT);
    assert_int_equal(diags.errors, 1);
    assert_non_null(strstr(diags.items[0].err.file, "no/such/file.yaml"));
}

/* The text is an input of the session id: it must never change by accident. */
static void test_shaping_text_is_fixed(void **state)
{
    struct shaping shaping;
    char text[SHAPING_TEXT_MAX];

    (void)state;
    shaping_init(&shaping);
    (void)snprintf(shaping.sources[0].name, sizeof shaping.sources[0].name, "can0");
    shaping.source_count = 1;
    size_t length = shaping_text(&shaping, text);
    assert_string_equal(text, "shaping=1\nvehicle=vehicle\ncodec=columnar\n"
        "ring_bytes=16777216\nopen_bytes=12582912\npin_bytes=8388608\n"
        "block_ns=10000000000\nclip_max_ns=300000000000\nclip_max_bytes=16777216\n"
        "join_ns=1000000000\nsize_ratio=6\nclips_open=8\nsource=can0\n");
    assert_int_equal(length, strlen(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_documented_file_is_the_default),
        cmocka_unit_test(test_refusals_name_the_place_and_the_way_out),
        cmocka_unit_test(test_all_errors_of_a_file_come_at_once),
        cmocka_unit_test(test_values_arrive),
        cmocka_unit_test(test_a_reload_knows_what_needs_a_restart),
        cmocka_unit_test(test_wall_times),
        cmocka_unit_test(test_a_missing_file_says_so),
        cmocka_unit_test(test_shaping_text_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
