#include "proto/recording.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/test_recording.XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

static const char *path_of(const char *name)
{
    static char paths[4][64];
    static int next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, 64, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *path, char *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    size_t got = fread(bytes, 1, size, file);
    (void)fclose(file);
    return got;
}

static struct recording *open_text(const char *format, const char *text, bool strict)
{
    const char *path = path_of("in");
    struct recording *recording = NULL;
    struct err err = { 0 };

    write_file(path, text, strlen(text));
    const struct recording_config config = { path, format, strict };
    int rc = recording_open(&config, &recording, &err);
    if (rc < 0)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    (void)unlink(path);
    return recording;
}

/* in -> out; returns what the first failing call returns. */
static int convert(const char *in, const char *out, uint8_t codec, struct recording_skips *ret_skips,
                   struct err *err)
{
    const struct recording_config config = { .path = in };
    struct recording *from = NULL;
    struct recording_writer *to = NULL;
    struct recording_scan scan;
    struct recording_item item;
    int rc = recording_open(&config, &from, err);

    if (rc == 0)
        rc = recording_scan(from, &scan, err);
    if (rc == 0) {
        const struct recording_writer_config writer = {
            .path = out, .codec = codec, .sources = recording_sources(from),
            .clip = recording_clip(from), .recording_sha256 = scan.sha256, .skips = &scan.skips,
        };
        if (ret_skips)
            *ret_skips = scan.skips;
        rc = recording_writer_open(&writer, &to, err);
    }
    while (rc == 0 && (rc = recording_next(from, &item, err)) == 1)
        rc = recording_writer_put(to, &item, err);
    if (rc == 0)
        rc = recording_writer_commit(to, err);
    recording_writer_close(to);
    recording_close(from);
    return rc;
}

/* Every kind of line in the form that is written. */
static const char all_kinds[] =
    "(0.000001) can0 123#0102030405060708\n"
    "(0.000001) can1 123#\n"
    "(46408.584930) can0 18FEF100#01\n"
    "(46408.584930) can1 7FF#R\n"
    "(46408.584930) can1 00000005#R8\n"
    "(46408.584929) can0 123#R8_F\n"
    "(46408.584929) vcan-x.1_a 123#1122334455667788_9\n"
    "(46408.584931) can0 20000004#0001000000000000\n"
    "(46408.584931) can0 123##0\n"
    "(46408.584931) can0 123##1112233\n"
    "(46408.584932) can0 12345678##3"
    "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
    "202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F\n"
    "(46408.584933) can0 321#AA T\n"
    "(40000.000000) can0 321#AA\n" /* 6408 s back */
    "(9000000000.000000) can1 000#00\n";

static void test_every_kind_of_frame_goes_round_all_formats(void **state)
{
    static const char *const ways[] = { "a.rlc", "a.jsonl", "a.csv", "a.log.zst", "a.jsonl.zst" };
    char got[2 * sizeof all_kinds];
    struct err err = { 0 };

    (void)state;
    write_file(path_of("in.log"), all_kinds, sizeof all_kinds - 1);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (uint8_t codec = 0; codec < CODEC_COUNT; codec++) {
            struct recording_skips skips;
            int rc = convert(path_of("in.log"), path_of(ways[i]), codec, &skips, &err);
            if (rc)
                print_message("%s: %s\n", ways[i], err.text);
            assert_int_equal(rc, 0);
            assert_int_equal(skips.count[RECORDING_NOTE_UNSORTED], 1);
            assert_int_equal(skips.first_line[RECORDING_NOTE_UNSORTED], 13);
            assert_int_equal(convert(path_of(ways[i]), path_of("out.log"), codec, NULL, &err), 0);
            size_t size = read_file(path_of("out.log"), got, sizeof got);
            assert_int_equal(size, sizeof all_kinds - 1);
            assert_memory_equal(got, all_kinds, size);
            (void)unlink(path_of(ways[i]));
            (void)unlink(path_of("out.log"));
        }
    (void)unlink(path_of("in.log"));
}

/* Forms that are read but written otherwise. */
static void test_other_spellings_are_read(void **state)
{
    static const struct { const char *in, *out; } cases[] = {
        { "(0000000001.000002) can0 7bc#dEaD\n", "(1.000002) can0 7BC#DEAD\n" },
        { "(1.000002) can0 123#00 R\r\n", "(1.000002) can0 123#00\n" },
        { " (1.000002)  can0\t123#00 T \n", "(1.000002) can0 123#00 T\n" },
        { "(1.000000002) can0 123#00\n", "(1.000000002) can0 123#00\n" },
        { "(1.5) can0 123#00\n", "(1.500000) can0 123#00\n" },
        { "(1.000002) can0 123##500\n", "(1.000002) can0 123##100\n" },
        { "(1.000002) can0 123#R0\n", "(1.000002) can0 123#R\n" },
        { "(1.000002) can0 123#00\n(1.000002003) can0 123#00\n",
          "(1.000002000) can0 123#00\n(1.000002003) can0 123#00\n" },
    };
    char got[256];
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(path_of("in.log"), cases[i].in, strlen(cases[i].in));
        assert_int_equal(convert(path_of("in.log"), path_of("out.log"), 1, NULL, &err), 0);
        size_t size = read_file(path_of("out.log"), got, sizeof got - 1);
        got[size] = '\0';
        assert_string_equal(got, cases[i].out);
    }
    (void)unlink(path_of("in.log"));
    (void)unlink(path_of("out.log"));
}

struct bad_line {
    const char *format, *line;
    enum recording_skip skip;
    const char *why; /* part of what --strict says */
};

static const struct bad_line bad_lines[] = {
    { "candump", "hello\n", RECORDING_SKIP_FOREIGN, "expected '('" },
    { "candump", "\n", RECORDING_SKIP_FOREIGN, "expected '('" },
    { "candump", "(1) can0 123#00\n", RECORDING_SKIP_FOREIGN, "seconds.fraction" },
    { "candump", "(1.0000000001) can0 123#00\n", RECORDING_SKIP_FOREIGN, "seconds.fraction" },
    { "candump", "(99999999999.0) can0 123#00\n", RECORDING_SKIP_RANGE, "time is out of range" },
    { "candump", "(1.0 can0 123#00\n", RECORDING_SKIP_FOREIGN, "expected" },
    { "candump", "(1.0) ca/n0 123#00\n", RECORDING_SKIP_FOREIGN, "name of a bus" },
    { "candump", "(1.0) can0 12#00\n", RECORDING_SKIP_FOREIGN, "3 or 8 hex digits" },
    { "candump", "(1.0) can0 800#00\n", RECORDING_SKIP_RANGE, "7FF" },
    { "candump", "(1.0) can0 40000000#00\n", RECORDING_SKIP_RANGE, "29 bits" },
    { "candump", "(1.0) can0 123\n", RECORDING_SKIP_FOREIGN, "expected '#'" },
    { "candump", "(1.0) can0 123#0\n", RECORDING_SKIP_TORN, "half a byte" },
    { "candump", "(1.0) can0 123#0G\n", RECORDING_SKIP_FOREIGN, "hex bytes" },
    { "candump", "(1.0) can0 123#001122334455667788\n", RECORDING_SKIP_RANGE, "more data" },
    { "candump", "(1.0) can0 123#00_9\n", RECORDING_SKIP_RANGE, "raw dlc" },
    { "candump", "(1.0) can0 123##8\n", RECORDING_SKIP_RANGE, "FD flags" },
    { "candump", "(1.0) can0 123##1112233445566778899\n", RECORDING_SKIP_RANGE, "many bytes" },
    { "candump", "(1.0) can0 123#00 X\n", RECORDING_SKIP_FOREIGN, "after the frame" },
    { "candump", "(1.0) can0 123#00", RECORDING_SKIP_TORN, "does not end" },
    { "jsonl", "[1]\n", RECORDING_SKIP_FOREIGN, "object" },
    { "jsonl", "{\"t\":\"1.0\",\"bus\":\"can0\",\"id\":1,\"data\":\"00\"\n", RECORDING_SKIP_TORN,
      "expected '}'" },
    { "jsonl", "{\"t\":\"1.0\",\"bus\":\"can0\",\"id\":1,\"da", RECORDING_SKIP_TORN, "value" },
    { "jsonl", "{\"t\":\"1.0\",\"bus\":\"can0\",\"id\":-1,\"data\":\"00\"}\n",
      RECORDING_SKIP_FOREIGN, "wrong kind" },
    { "jsonl", "{\"t\":\"1.0\",\"bus\":\"can0\",\"id\":4000,\"data\":\"00\"}\n",
      RECORDING_SKIP_RANGE, "no such frame" },
    { "jsonl", "{\"t\":\"1.0\",\"id\":1,\"data\":\"00\"}\n", RECORDING_SKIP_FOREIGN, "at least" },
    { "jsonl", "{\"t\":\"1.0\",\"bus\":\"can0\",\"id\":1,\"data\":\"00\"} x\n",
      RECORDING_SKIP_FOREIGN, "after the object" },
    { "csv", "1.0,can0,291,,1,00\n", RECORDING_SKIP_FOREIGN, "0x" },
    { "csv", "1.0,can0,0x123,,1\n", RECORDING_SKIP_FOREIGN, "six columns" },
    { "csv", "1.0,can0,0x123,fd+bsr,1,00\n", RECORDING_SKIP_FOREIGN, "flags" },
    { "csv", "1.0,can0,0x123,,16,00\n", RECORDING_SKIP_FOREIGN, "dlc" },
    { "csv", "1.0,can0,0x123,,2,00\n", RECORDING_SKIP_RANGE, "no such frame" },
    { "csv", "1.0,can0,0x123,,1,00", RECORDING_SKIP_TORN, "does not end" },
};

static const char *good_line(const char *format)
{
    if (!strcmp(format, "jsonl"))
        return "{\"x\":[{\"y\":\"}\"},2],\"t\":\"1.0\",\"bus\":\"can0\",\"id\":1,\"data\":\"00\"}\n";
    if (!strcmp(format, "csv"))
        return "1.0,can0,0x123,,1,00\n";
    return "(1.0) can0 123#00\n";
}

/* Skipped, counted by reason with its line, and the neighbours are whole; refused when strict. */
static void test_lines_that_are_no_frames(void **state)
{
    struct recording_item item;
    char text[512], place[ERR_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof bad_lines / sizeof bad_lines[0]; i++) {
        const struct bad_line *bad = &bad_lines[i];
        struct err err = { 0 };
        (void)snprintf(text, sizeof text, "%s%s", good_line(bad->format), bad->line);
        bool ends = bad->line[strlen(bad->line) - 1] == '\n';
        if (ends)
            (void)strncat(text, good_line(bad->format), sizeof text - strlen(text) - 1);
        struct recording *r = open_text(bad->format, text, false);
        assert_int_equal(recording_next(r, &item, &err), 1);
        if (ends)
            assert_int_equal(recording_next(r, &item, &err), 1);
        assert_int_equal(recording_next(r, &item, &err), 0);
        if (recording_skips(r)->count[bad->skip] != 1)
            print_message("case %zu: %s", i, bad->line);
        assert_int_equal(recording_skips(r)->count[bad->skip], 1);
        assert_int_equal(recording_skips(r)->first_line[bad->skip], 2);
        recording_close(r);
        r = open_text(bad->format, text, true);
        assert_int_equal(recording_next(r, &item, &err), 1);
        assert_int_equal(recording_next(r, &item, &err), -EBADMSG);
        (void)err_format(&err, place, sizeof place);
        if (!strstr(place, bad->why) || err.line != 2 || !err.column)
            print_message("case %zu: %s\n", i, place);
        assert_non_null(strstr(place, bad->why));
        assert_int_equal(err.line, 2);
        assert_true(err.column > 0);
        recording_close(r);
    }
}

/* A line longer than a line may be is one torn line; the one after it has its own number. */
static void test_a_line_without_end_is_passed_over(void **state)
{
    static const size_t sizes[] = { RECORDING_LINE_MAX + 1, 65536, 65537, 300000 };
    char *text = malloc(400000);
    struct recording_item item;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(text, 'x', sizes[i]);
        (void)snprintf(text + sizes[i], 100, "\n(1.0) can0 123#00\nbad\n");
        struct recording *r = open_text("candump", text, false);
        assert_int_equal(recording_next(r, &item, &err), 1);
        assert_int_equal(recording_next(r, &item, &err), 0);
        assert_int_equal(recording_skips(r)->count[RECORDING_SKIP_TORN], 1);
        assert_int_equal(recording_skips(r)->count[RECORDING_SKIP_FOREIGN], 1);
        assert_int_equal(recording_skips(r)->first_line[RECORDING_SKIP_FOREIGN], 3);
        recording_close(r);
    }
    free(text);
}

static void test_scan_tells_all_and_rewinds(void **state)
{
    struct recording *r = open_text("", all_kinds, false);
    struct recording_scan scan, again;
    struct recording_item item;
    struct err err;

    (void)state;
    assert_string_equal(recording_format_name(r), "candump");
    assert_int_equal(recording_scan(r, &scan, &err), 0);
    assert_int_equal(scan.frames, 14);
    assert_int_equal(scan.sources.count, 3);
    assert_string_equal(scan.sources.items[2].name, "vcan-x.1_a");
    assert_int_equal(scan.sources.items[0].tick_ns, 1000);
    assert_int_equal(scan.stamp_first_ns, 1000);
    assert_int_equal(scan.stamp_last_ns, 9000000000 * NS_PER_S);
    assert_int_equal(recording_scan(r, &again, &err), 0);
    assert_memory_equal(scan.sha256, again.sha256, SHA256_BYTES);
    assert_int_equal(again.skips.count[RECORDING_NOTE_UNSORTED], 1);
    assert_int_equal(recording_next(r, &item, &err), 1);
    assert_int_equal(item.row.frame.id, 0x123);
    assert_false(item.placed);
    recording_close(r);
}

/* The same frames are the same recording, whatever file they come in. */
static void test_a_clip_of_a_log_is_the_same_recording(void **state)
{
    struct recording_scan log_scan, clip_scan;
    struct recording *r;
    struct recording_item item;
    struct err err;

    (void)state;
    write_file(path_of("in.log"), all_kinds, sizeof all_kinds - 1);
    assert_int_equal(convert(path_of("in.log"), path_of("a.rlc"), 1, NULL, &err), 0);
    assert_int_equal(recording_open(&(struct recording_config){ path_of("in.log"), "", false }, &r,
                                    &err), 0);
    assert_int_equal(recording_scan(r, &log_scan, &err), 0);
    assert_null(recording_clip(r));
    recording_close(r);
    assert_int_equal(recording_open(&(struct recording_config){ path_of("a.rlc"), "", false }, &r,
                                    &err), 0);
    assert_int_equal(recording_scan(r, &clip_scan, &err), 0);
    assert_memory_equal(log_scan.sha256, clip_scan.sha256, SHA256_BYTES);
    assert_int_equal(recording_next(r, &item, &err), 1);
    assert_true(item.placed);
    const struct recording_clip *clip = recording_clip(r);
    assert_non_null(clip->manifest);
    assert_int_equal(clip->manifest->frames, 14);
    assert_int_equal(clip->manifest->completeness.discontinuities, 1);
    assert_int_equal(clip->manifest->completeness.sources[0].received, 9);
    assert_int_equal(clip->manifest->completeness.sources[0].stored, 9);
    assert_int_equal(clip->manifest->completeness.sources[0].error_frames, 1);
    assert_memory_equal(clip->header->recording_sha256, log_scan.sha256, SHA256_BYTES);
    recording_close(r);
    (void)unlink(path_of("a.rlc"));
    (void)unlink(path_of("in.log"));
}

/* Cut at every byte of what follows the first group: the rows before it are all there. */
static void test_a_torn_clip_gives_its_good_groups(void **state)
{
    static char text[400000], clip[400000];
    size_t at = 0;
    struct err err;
    struct recording *r;
    struct recording_item item;

    (void)state;
    for (int i = 0; i < 2000; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "(%d.%06d) can0 123#%04X\n", i / 100,
                               i % 100 * 10000, i * i * 31 & 0xffff);
    write_file(path_of("in.log"), text, at);
    assert_int_equal(convert(path_of("in.log"), path_of("a.rlc"), 1, NULL, &err), 0);
    size_t size = read_file(path_of("a.rlc"), clip, sizeof clip), whole = 0;
    assert_true(size > 1500);
    for (size_t cut = size - 700; cut <= size; cut++) {
        write_file(path_of("cut.rlc"), clip, cut);
        const struct recording_config config = { path_of("cut.rlc"), "", false };
        assert_int_equal(recording_open(&config, &r, &err), 0);
        int rows = 0;
        while (recording_next(r, &item, &err) == 1)
            rows++;
        assert_true(rows == 1000 || rows == 2000);
        assert_int_equal(recording_skips(r)->count[RECORDING_SKIP_TORN], cut < size);
        assert_true((recording_clip(r)->manifest != NULL) == (cut == size));
        whole += rows == 2000;
        recording_close(r);
        const struct recording_config strict = { path_of("cut.rlc"), "", true };
        int rc = recording_open(&strict, &r, &err);
        assert_int_equal(rc, cut < size ? -EBADMSG : 0);
        if (rc == 0)
            recording_close(r);
    }
    assert_true(whole > 1 && whole < 700);
    (void)unlink(path_of("a.rlc"));
    (void)unlink(path_of("cut.rlc"));
    (void)unlink(path_of("in.log"));
}

static void test_what_cannot_be_opened_says_why(void **state)
{
    static const struct { const char *path, *format, *text, *why; } cases[] = {
        { "gone.log", "", NULL, "cannot be opened" },
        { "x.bin", "", "\1\2\3", "tell the format" },
        { "x.bin", "candmp", "x", "did you mean 'candump'" },
        { "x.rlc", "rlc", "RLCH", "cut off" },
        { "x.rlc", "rlc", "hello, world", "not a record" },
        { "x.rlc", "rlc", "", "empty" },
    };
    struct recording *r;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = { 0 };
        const char *path = path_of(cases[i].path);
        if (cases[i].text)
            write_file(path, cases[i].text, strlen(cases[i].text));
        assert_true(recording_open(&(struct recording_config){ path, cases[i].format, false }, &r,
                                   &err) < 0);
        if (!strstr(err.text, cases[i].why))
            print_message("case %zu: %s\n", i, err.text);
        assert_non_null(strstr(err.text, cases[i].why));
        (void)unlink(path);
    }
}

/* Without a commit nothing is left behind. */
static void test_an_output_appears_whole_or_not_at_all(void **state)
{
    struct source_table sources = { .items = { { "can0", 1000, STAMP_UNKNOWN } }, .count = 1 };
    char path[64];
    const struct recording_writer_config config = { .path = path, .sources = &sources };
    struct recording_writer *w;
    struct recording_item item = { .row = { .frame = { .id = 1 } } };
    struct err err;

    (void)state;
    (void)snprintf(path, sizeof path, "%s", path_of("out.log"));
    assert_int_equal(recording_writer_open(&config, &w, &err), 0);
    assert_int_equal(recording_writer_put(w, &item, &err), 0);
    assert_int_equal(access(path_of("out.log"), F_OK), -1);
    recording_writer_close(w);
    assert_int_equal(access(path_of("out.log"), F_OK), -1);
    assert_int_equal(access(path_of("out.log.part"), F_OK), -1);
    assert_int_equal(recording_writer_open(&config, &w, &err), 0);
    item.row.frame.stamp_ns = -1;
    assert_int_equal(recording_writer_put(w, &item, &err), -ERANGE);
    recording_writer_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_frame_goes_round_all_formats),
        cmocka_unit_test(test_other_spellings_are_read),
        cmocka_unit_test(test_lines_that_are_no_frames),
        cmocka_unit_test(test_a_line_without_end_is_passed_over),
        cmocka_unit_test(test_scan_tells_all_and_rewinds),
        cmocka_unit_test(test_a_clip_of_a_log_is_the_same_recording),
        cmocka_unit_test(test_a_torn_clip_gives_its_good_groups),
        cmocka_unit_test(test_what_cannot_be_opened_says_why),
        cmocka_unit_test(test_an_output_appears_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
