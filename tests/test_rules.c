/* test_rules - what the loader says: wrong packs against their golden messages, hashes, resources.
 * ROADLOOP_GOLDEN=1 rewrites tests/data/packs_bad/NAME.txt; review reads the diff. */
#include "tests/rules_kit.h"

#include "triggers/ast.h"

#include <dirent.h>

#define DIR_NAME "tests/data/packs_bad"

static char *read_text(const char *path)
{
    static char text[YAML_BYTES_MAX];
    FILE *file = fopen(path, "rb");

    if (!file)
        return NULL;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    (void)fclose(file);
    return text;
}

static void check_golden(const char *path, const char *got)
{
    if (getenv("ROADLOOP_GOLDEN")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        (void)fputs(got, file);
        assert_int_equal(fclose(file), 0);
        return;
    }
    const char *want = read_text(path);
    if (!want || strcmp(want, got) != 0)
        fail_msg("%s\n got:\n%swant:\n%s", path, got, want ? want : "(no file)\n");
}

static void check_pack(const char *stem)
{
    char path[512];
    struct kit kit;
    char *got = NULL;
    size_t got_size = 0;

    (void)snprintf(path, sizeof path, DIR_NAME "/%s.yaml", stem);
    const char *pack = read_text(path);
    assert_non_null(pack);
    int rc = kit_load(&kit, pack);
    if (rc == 0)
        fail_msg("%s loads", path);
    FILE *out = open_memstream(&got, &got_size);
    assert_non_null(out);
    diags_print(&kit.diags, out);
    (void)fclose(out);
    (void)snprintf(path, sizeof path, DIR_NAME "/%s.txt", stem);
    check_golden(path, got);
    free(got);
    ruleset_close(kit.rules);
    dbset_close(kit.dbset);
}

static void test_wrong_packs_get_their_messages(void **state)
{
    DIR *dir = opendir(DIR_NAME);
    struct dirent *entry;
    uint32_t count = 0;

    (void)state;
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        char stem[256];
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 5, ".yaml") != 0)
            continue;
        (void)snprintf(stem, sizeof stem, "%.*s", (int)(len - 5), entry->d_name);
        check_pack(stem);
        count++;
    }
    (void)closedir(dir);
    assert_true(count >= 50);
}

#define ONE(when) "format: 1\npackage: t\nparams: {p: {value: 10 m/s}}\n"               \
                  "macros: {fast: \"M.Speed > $p\"}\nsignals:\n"                          \
                  "  s: {from: M.Speed, max_age: 300ms}\nrules:\n- {name: r, when: \"" when "\"}\n"

static void hash_of(const char *pack, uint8_t hash[SHA256_BYTES])
{
    struct kit kit;

    kit_open(&kit, pack);
    memcpy(hash, ruleset_rule(kit.rules, 0)->hash, SHA256_BYTES);
    kit_close(&kit);
}

/* What a rule means is hashed, not how it is written. */
static void test_hash_is_of_the_meaning(void **state)
{
    static const struct { const char *a, *b; bool same; } cases[] = {
        { ONE("M.Speed > 36 km/h"), ONE("fast"), true },
        { ONE("M.Speed > 36 km/h"), ONE("10 m/s < s"), true },
        { ONE("M.Speed > 36 km/h"), ONE("M.Speed >= 36.01 km/h"), true }, /* the same raw values */
        { ONE("M.Speed > 36 km/h"), ONE("M.Speed > 36.01 km/h"), false },
        { ONE("M.Flag and fast"), ONE("fast and M.Flag"), false }, /* operands are not sorted */
        { ONE("not not M.Flag"), ONE("M.Flag"), true },
        { ONE("M.Flag"), ONE("M.Flag") "- {name: other, when: \"M.Count > 3\"}\n", true },
        { ONE("M.Flag"), "format: 1\npackage: u\nrules:\n- {name: r, when: M.Flag}\n", false },
        { ONE("M.Flag"), "format: 1\npackage: t\nrules:\n- {name: r, when: M.Flag, why: text}\n",
          true },
        { ONE("M.Flag"), "format: 1\npackage: t\nrules:\n- {name: r, when: M.Flag, keep: 1s}\n",
          false },
        { ONE("M.Flag"), "format: 1\npackage: t\nrules:\n- {name: r, when: M.Flag, clip: {pre: 9s}}\n",
          false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
        hash_of(cases[i].a, a);
        hash_of(cases[i].b, b);
        if ((memcmp(a, b, sizeof a) == 0) != cases[i].same)
            fail_msg("case %zu", i);
    }
}

/* One graph: what forty rules share is one node, and a sample touches what reads it. */
static void test_equal_expressions_are_one_node(void **state)
{
    char pack[8192] = "format: 1\npackage: t\nrules:\n";
    struct kit kit;

    (void)state;
    for (int i = 0; i < 40; i++) {
        size_t len = strlen(pack);
        (void)snprintf(pack + len, sizeof pack - len,
                       "- {name: r%d, when: \"M.Speed > 50 km/h and M.Gear == 'D'\"}\n", i);
    }
    kit_open(&kit, pack);
    struct ruleset_size size = ruleset_size(kit.rules);
    assert_int_equal(size.rules, 40);
    assert_int_equal(size.nodes, 3);
    assert_int_equal(size.signals, 2);
    assert_int_equal(ruleset_message_count(kit.rules), 1);
    assert_string_equal(ruleset_message(kit.rules, 0).message->name, "M");
    kit_close(&kit);
}

/* Multiplexed branches are older than an id's last row; prev needs the sample before. */
static void test_memory_of_rules(void **state)
{
    static const struct { const char *rule; int64_t want; } cases[] = {
        { "when: \"M.Count > 1\", for: 10s, keep: 5s, cooldown: 60s", 0 },
        { "when: \"rise(M.Flag) or changed(M.Count)\"", 0 },
        { "when: \"Mux.One > 1\"", 2 * NS_PER_S },
        { "when: \"prev(M.Count) > 1\"", 300 * MS },
        { "when: M.Flag, attach: {o: \"Mux.One\"}", 2 * NS_PER_S },
        { "when: \"prev(old) > 1\"", -1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char pack[512];
        struct kit kit;
        (void)snprintf(pack, sizeof pack, "format: 1\npackage: t\nsignals:\n"
                       "  old: {from: Slow.Other, max_age: none}\nrules:\n- {name: r, %s}\n",
                       cases[i].rule);
        kit_open(&kit, pack);
        assert_int_equal(ruleset_rule(kit.rules, 0)->memory_ns, cases[i].want);
        kit_close(&kit);
    }
}

static void test_rules_are_read_whole(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, "format: 1\npackage: chassis\nversion: 2.4.0\n"
                   "defaults: {cooldown: 30s, clip: {pre: 10s, post: 4s}}\nrules:\n"
                   "- {name: off, when: M.Flag, priority: 7, for: 120ms, keep: 1s, max_active: 2min,"
                   " limits: {per_hour: 6}, clip: {post: 2s, streams: [can], max_bytes: 4MiB,"
                   " merge: false}, trigger: both, status: shadow, enabled: false, owner: me}\n");
    const struct rule *r = ruleset_rule(kit.rules, 0);
    assert_string_equal(r->id, "chassis/off");
    assert_string_equal(r->version, "2.4.0");
    assert_int_equal(r->line, 6);
    assert_int_equal(r->column, 10);
    assert_int_equal(r->priority, 7);
    assert_int_equal(r->for_ns, 120 * MS);
    assert_int_equal(r->keep_ns, NS_PER_S);
    assert_int_equal(r->max_active_ns, 120 * NS_PER_S);
    assert_int_equal(r->cooldown_ns, 30 * NS_PER_S);
    assert_int_equal(r->pre_ns, 10 * NS_PER_S);
    assert_int_equal(r->post_ns, 2 * NS_PER_S);
    assert_int_equal(r->per_hour, 6);
    assert_int_equal(r->clip_max_bytes, 4 << 20);
    assert_false(r->merge);
    assert_false(r->enabled);
    assert_int_equal(r->status, RULE_SHADOW);
    assert_int_equal(r->trigger, TRIGGER_BOTH);
    assert_string_equal(r->streams[0], "can");
    assert_int_equal(ruleset_find(kit.rules, "off"), 0);
    assert_int_equal(ruleset_find(kit.rules, "chassis/off"), 0);
    assert_int_equal(ruleset_find(kit.rules, "chassis/on"), -1);
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_packs_get_their_messages),
        cmocka_unit_test(test_hash_is_of_the_meaning),
        cmocka_unit_test(test_equal_expressions_are_one_node),
        cmocka_unit_test(test_memory_of_rules),
        cmocka_unit_test(test_rules_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
