/* test_yaml - the strict subset: trees, places, and what is refused where. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/yaml.h"

#include <stdlib.h>
#include <string.h>

static struct yaml_tree *open_text(const char *text)
{
    struct yaml_tree *tree = NULL;
    struct err err = { 0 };

    if (yaml_open(text, strlen(text), "x.yaml", &err, &tree))
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return tree;
}

/* Every scalar is text: what YAML 1.1 would make of it does not matter. */
static void test_scalars_are_text(void **state)
{
    static const char *const words[] = { "off", "no", "~", "null", "1e3", "0x1f", "12:30", "true",
                                         "2026-12-31" };
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "a: %s\n", words[i]);
        struct yaml_tree *tree = open_text(text);
        const struct yaml_node *a = yaml_get(yaml_root(tree), "a");
        assert_string_equal(a->text, words[i]);
        assert_true(a->is_plain);
        yaml_close(tree);
    }
    struct yaml_tree *tree = open_text("a:\nb: ''\n");
    assert_int_equal(yaml_get(yaml_root(tree), "a")->len, 0);
    assert_false(yaml_get(yaml_root(tree), "b")->is_plain);
    yaml_close(tree);
}

static void test_trees_keep_order_and_places(void **state)
{
    struct yaml_tree *tree = open_text("\xef\xbb\xbf# comment\r\nb: {x: 1, y: [p, q]}\r\n"
                                       "\xc3\xa4: \xc3\xb6 # u\r\na:\r\n  - z\r\n");
    const struct yaml_node *root = yaml_root(tree), *b = root->first;

    (void)state;
    assert_int_equal(root->count, 3);
    assert_string_equal(b->key, "b");
    assert_int_equal(b->key_line, 2);
    assert_int_equal(b->key_column, 1);
    assert_int_equal(b->column, 4);
    const struct yaml_node *y = yaml_get(b, "y");
    assert_int_equal(y->kind, YAML_LIST);
    assert_string_equal(y->first->next->text, "q");
    assert_int_equal(y->first->next->column, 18);
    assert_int_equal(b->next->column, 5); /* in bytes: the key has two */
    assert_int_equal(root->first->next->next->first->line, 5);
    assert_null(yaml_get(b, "z"));
    assert_null(yaml_get(y, "x"));
    yaml_close(tree);
}

/* Editors put a byte order mark before the first key: it belongs to no key and shifts only its line. */
static void test_a_byte_order_mark_hides_no_key(void **state)
{
    struct yaml_tree *tree = open_text("\xef\xbb\xbf" "a: 1\nb: 2\n");
    const struct yaml_node *root = yaml_root(tree);

    (void)state;
    assert_int_equal(root->count, 2);
    assert_string_equal(root->first->key, "a");
    assert_int_equal(root->first->key_column, 4); /* in bytes of the file */
    assert_string_equal(root->first->next->key, "b");
    assert_int_equal(root->first->next->key_column, 1);
    yaml_close(tree);
}

/* The place of every letter `#` of a text, in each style: where it stands in the file. */
static void test_places_inside_texts(void **state)
{
    static const struct { const char *text, *value; uint32_t line[3], column[3]; } cases[] = {
        { "a: b#c#\n", "b#c#", { 1, 1 }, { 5, 7 } },
        { "a: b#\n   c#\n", "b# c#", { 1, 2 }, { 5, 5 } },
        { "a: 'x''#'\n", "x'#", { 1 }, { 8 } },
        { "a: 'x\n\n  #'\n", "x\n#", { 3 }, { 3 } },
        { "a: \"\\t\\x41\\u00e4#\\\n   #\"\n", "\tA\xc3\xa4##", { 1, 2 }, { 17, 4 } },
        { "a: \"\\n\\\"#\"\n", "\n\"#", { 1 }, { 9 } },
        { "a: |\n  x#\n    #\n", "x#\n  #\n", { 2, 3 }, { 4, 5 } },
        { "a: >-\n  x\n  #\n\n  #\n", "x #\n#", { 3, 5 }, { 3, 3 } },
        { "a: |2 # why\n   #\n", " #\n", { 2 }, { 4 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct yaml_tree *tree = open_text(cases[i].text);
        const struct yaml_node *a = yaml_get(yaml_root(tree), "a");
        size_t seen = 0;
        assert_string_equal(a->text, cases[i].value);
        for (uint32_t at = 0; at < a->len; at++) {
            uint32_t line, column;
            yaml_place(tree, a, at, &line, &column);
            if (a->text[at] != '#')
                continue;
            if (line != cases[i].line[seen] || column != cases[i].column[seen])
                fail_msg("case %zu: %u:%u", i, line, column);
            seen++;
        }
        yaml_close(tree);
    }
}

static void test_refused(void **state)
{
    static const struct { const char *text; int code; const char *want; } cases[] = {
        { "", -EBADMSG, "1:1: the file is empty" },
        { "a: &x 1\n", -EBADMSG, "1:4: anchors" }, { "a: [*x]\n", -EBADMSG, "1:5: aliases" },
        { "a: !!str 1\n", -EBADMSG, "1:4: tags" }, { "a: ! 1\n", -EBADMSG, "1:4: tags" },
        { "a: {<<: b}\n", -EBADMSG, "1:5: merge" }, { "%YAML 1.1\n---\na: 1\n", -EBADMSG, "" },
        { "a: 1\n---\nb: 1\n", -EBADMSG, "2:1: a second document" },
        { "{a: 1, b: 2, a: 3}\n", -EBADMSG, "1:14: key 'a'" },
        { "? [a]\n: 1\n", -EBADMSG, "1:3: a key must be text, not a list" },
        { "a: \x01\n", -EBADMSG, "1:4: found the control character 0x01" },
        { "a: b\rc: d\n", -EBADMSG, "1:5: found the control" },
        { "a: \xe2\x80\xa8\n", -EBADMSG, "1:4: found the control" },
        { "a: \"\\0\"\n", -EBADMSG, "1:4: a text holds" },
        { "a: \xff\n", -EBADMSG, "1:4: not YAML" },
        { "a: [b\n", -EBADMSG, "2:1: not YAML" }, { "a: 'b\n", -EBADMSG, "" },
        { "\ta: b\n", -EBADMSG, "1:1: not YAML" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct yaml_tree *tree = NULL;
        struct err err = { 0 };
        char got[ERR_TEXT_MAX + 64];
        int rc = yaml_open(cases[i].text, strlen(cases[i].text), "x", &err, &tree);
        (void)snprintf(got, sizeof got, "%u:%u: %s", err.line, err.column, err.text);
        if (rc != cases[i].code || strncmp(got, cases[i].want, strlen(cases[i].want)) != 0)
            fail_msg("case %zu: %d %s", i, rc, got);
        assert_null(tree);
    }
}

static void test_limits(void **state)
{
    struct yaml_tree *tree = NULL;
    char *text = calloc(1, YAML_BYTES_MAX + 2);
    struct err err;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', YAML_BYTES_MAX + 1);
    assert_int_equal(yaml_open(text, YAML_BYTES_MAX + 1, "x", &err, &tree), -ERANGE);
    memset(text, '[', YAML_BYTES_MAX);
    assert_true(yaml_open(text, YAML_BYTES_MAX, "x", &err, &tree) < 0); /* libyaml's own bound */
    for (size_t i = 1; i < 200; i += 2)
        text[i] = '\n';
    assert_int_equal(yaml_open(text, 200, "x", &err, &tree), -ERANGE);
    assert_int_equal(err.line, YAML_DEPTH_MAX + 1);
    for (size_t i = 0; i < YAML_BYTES_MAX; i += 2)
        memcpy(text + i, "a,", 2);
    memcpy(text, "[ ", 2);
    assert_int_equal(yaml_open(text, YAML_BYTES_MAX, "x", &err, &tree), -ERANGE);
    size_t len = 0;
    for (int i = 0; i <= YAML_KEYS_MAX; i++)
        len += (size_t)snprintf(text + len, YAML_BYTES_MAX - len, "k%d: 1\n", i);
    assert_int_equal(yaml_open(text, len, "x", &err, &tree), -ERANGE);
    assert_int_equal(err.line, YAML_KEYS_MAX + 1);
    assert_null(tree);
    assert_int_equal(yaml_open_file("tests/data/no_such_file", &err, &tree), -ENOENT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_are_text),
        cmocka_unit_test(test_trees_keep_order_and_places),
        cmocka_unit_test(test_a_byte_order_mark_hides_no_key),
        cmocka_unit_test(test_places_inside_texts),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
