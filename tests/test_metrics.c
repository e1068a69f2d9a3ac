#include "daemon/snapshot.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct snapshot snapshot;
static char text[131072], docs[131072];

static void fill(void)
{
    memset(&snapshot, 0, sizeof snapshot);
    snapshot.state = SNAPSHOT_RUNNING;
    snapshot.uptime_ns = 1234567890;
    snapshot.sources.count = 2;
    (void)snprintf(snapshot.sources.items[0].name, SOURCE_NAME_MAX, "can0");
    (void)snprintf(snapshot.sources.items[1].name, SOURCE_NAME_MAX, "can1");
    snapshot.capture.source_count = 2;
    snapshot.capture.sources[0].frames = UINT64_MAX;
    snapshot.capture.sources[1].frames = 7;
    snapshot.capture.sources[1].state = SOURCE_MISSING;
    snapshot.capture.sources[1].last_errno = ENODEV;
    snapshot.capture.dropped_queue[1] = 3;
    snapshot.store.books.evicted = 5;
    snapshot.store.clipstore.degraded = true;
    (void)snprintf(snapshot.store.clipstore.reason, sizeof snapshot.store.clipstore.reason,
                   "disk \"full\"");
}

/* "name value" as a line of its own. */
static void has(const char *line)
{
    char whole[256];

    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("no line '%s'", line);
}

static void test_values_stand_where_they_belong(void **state)
{
    (void)state;
    fill();
    assert_true(metrics_text(&snapshot, text, sizeof text) > 0);
    has("roadloop_up 1");
    has("roadloop_uptime_seconds 1.234");
    has("roadloop_source_frames_total{source=\"can0\"} 18446744073709551615");
    has("roadloop_source_frames_total{source=\"can1\"} 7");
    has("roadloop_source_up{source=\"can0\"} 1");
    has("roadloop_source_up{source=\"can1\"} 0");
    has("roadloop_source_dropped_queue_total{source=\"can1\"} 3");
    has("roadloop_outbox_clips{state=\"evicted\"} 5");
    has("roadloop_store_degraded 1");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    assert_int_equal(metrics_text(&snapshot, text, 100), -ENOBUFS);
}

static void test_docs_and_code_agree(void **state)
{
    FILE *file = fopen("docs/METRICS.md", "r");
    const char *type, *help, *name;
    uint32_t rows = 0, families = 0;

    (void)state;
    assert_non_null(file);
    docs[fread(docs, 1, sizeof docs - 1, file)] = 0;
    (void)fclose(file);
    for (; (name = metrics_family(families, &type, &help)); families++) {
        char row[512];
        (void)snprintf(row, sizeof row, "\n| `roadloop_%s` | %s |", name, type);
        if (!strstr(docs, row))
            fail_msg("docs/METRICS.md has no row for %s %s", type, name);
        if (!strstr(docs, help))
            fail_msg("docs/METRICS.md does not say '%s'", help);
    }
    for (const char *at = docs; (at = strstr(at, "\n| `roadloop_")); at++)
        rows++;
    assert_int_equal(rows, families); /* nothing that is no more */
}

static void test_the_file_appears_whole(void **state)
{
    char folder[] = "/tmp/roadloop-XXXXXX", path[64], temporary[80];
    struct err err;

    (void)state;
    fill();
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/m.prom", folder);
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    assert_int_equal(metrics_file(&snapshot, path, &err), 0);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(access(temporary, F_OK), -1);
    (void)unlink(path);
    (void)rmdir(folder);
    assert_int_equal(metrics_file(&snapshot, path, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
}

static void test_status_is_one_line_of_json(void **state)
{
    (void)state;
    fill();
    int size = status_json(&snapshot, text, sizeof text);
    assert_true(size > 0);
    assert_null(strchr(text, '\n'));
    assert_non_null(strstr(text, "\"reason\":\"disk \\\"full\\\"\""));
    assert_non_null(strstr(text, "\"name\":\"can1\",\"state\":\"missing\",\"why\":\"No such device\""));
    assert_int_equal(status_json(&snapshot, text, 64), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_stand_where_they_belong),
        cmocka_unit_test(test_docs_and_code_agree),
        cmocka_unit_test(test_the_file_appears_whole),
        cmocka_unit_test(test_status_is_one_line_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
