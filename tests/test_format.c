/* The vectors of docs/FORMAT.md: each ```candump block is the content of the ```hex block after it.
 * Run from the root of the tree, as `make unit` does. */
#include "proto/recording.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE_MAX 262144

static char page[PAGE_MAX];

/* The text of the next block with that fence after *at; moves *at behind it. */
static char *next_block(char **at, const char *fence)
{
    char *start = strstr(*at, fence);

    if (!start)
        return NULL;
    start += strlen(fence);
    char *end = strstr(start, "```");
    assert_non_null(end);
    size_t size = (size_t)(end - start);
    char *text = calloc(1, size + 1);
    memcpy(text, start, size);
    *at = end + 3;
    return text;
}

static size_t unhex(const char *text, uint8_t *bytes)
{
    size_t count = 0;

    for (const char *at = text; *at; at++) {
        char pair[3] = { at[0], at[1], 0 };
        if (*at == '\n')
            continue;
        assert_int_equal(hex_to(pair, 1, bytes + count++), 0);
        at++;
    }
    return count;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    (void)fclose(file);
}

static size_t read_file(const char *path, void *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    size_t got = fread(bytes, 1, size, file);
    (void)fclose(file);
    return got;
}

static void convert(const char *in, const char *out, uint8_t codec)
{
    struct recording *from;
    struct recording_writer *to;
    struct recording_scan scan;
    struct recording_item item;
    struct err err = { 0 };

    if (recording_open(&(struct recording_config){ in, "", true }, &from, &err) < 0 ||
        recording_scan(from, &scan, &err) < 0)
        fail_msg("%s", err.text);
    const struct recording_writer_config config = { .path = out, .codec = codec,
                                                    .sources = recording_sources(from),
                                                    .recording_sha256 = scan.sha256 };
    assert_int_equal(recording_writer_open(&config, &to, &err), 0);
    while (recording_next(from, &item, &err) == 1)
        assert_int_equal(recording_writer_put(to, &item, &err), 0);
    assert_int_equal(recording_writer_commit(to, &err), 0);
    recording_writer_close(to);
    recording_close(from);
}

static void test_vectors_of_the_page_hold(void **state)
{
    char folder[] = "/tmp/test_format.XXXXXX", log[64], clip[64], got[PAGE_MAX], *at = page, *text;
    uint8_t *want = malloc(PAGE_MAX);
    int vectors = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(log, sizeof log, "%s/a.log", folder);
    (void)snprintf(clip, sizeof clip, "%s/a.rlc", folder);
    page[read_file("docs/FORMAT.md", page, sizeof page - 1)] = '\0';
    while ((text = next_block(&at, "```candump\n"))) {
        char *hex = next_block(&at, "```hex\n");
        size_t size = unhex(hex, want);
        write_file(clip, want, size); /* read what the page has */
        convert(clip, log, CODEC_ROWS);
        got[read_file(log, got, sizeof got - 1)] = '\0';
        assert_string_equal(got, text);
        if (vectors++ == 0) { /* and without zstd, write it too */
            convert(log, clip, CODEC_ROWS);
            assert_int_equal(read_file(clip, got, sizeof got), size);
            assert_memory_equal(got, want, size);
        }
        free(hex);
        free(text);
    }
    assert_int_equal(vectors, 2);
    (void)unlink(log);
    (void)unlink(clip);
    (void)rmdir(folder);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors_of_the_page_hold) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
