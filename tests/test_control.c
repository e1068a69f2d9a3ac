#include "daemon/control.h"

#include "proto/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[96];
static struct control *control;

static int open_all(void **state)
{
    struct err err;

    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/roadloop-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/control.sock", folder);
    return control_open(&(struct control_config){ path, "" }, &control, &err);
}

static int close_all(void **state)
{
    (void)state;
    control_close(control);
    control = NULL;
    if (access(path, F_OK) == 0) /* the socket goes with it */
        return -1;
    return rmdir(folder);
}

static int client(void)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What came: text, "" when nothing, NULL when the daemon closed. */
static const char *heard(int fd)
{
    static char text[4096];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);

    if (n == 0)
        return NULL;
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void test_requests_parse_or_say_what_is_wrong(void **state)
{
    static const struct { const char *line, *want; } cases[] = {
        { "{\"do\":\"status\"}", NULL },
        { " {\"do\":\"where\",\"clip\":\"00112233445566778899aabbccddeeff\"} ", NULL },
        { "{\"do\":\"trigger\",\"pre\":5,\"post\":6,\"priority\":3,\"note\":\"\\u00e9\"}", NULL },
        { "{\"do\":\"retry\"}", NULL },
        { "{\"do\":\"retry\",\"clip\":\"00112233445566778899aabbccddeeff\"}", NULL },
        { "{\"do\":\"retry\",\"clip\":\"\"}", "clip: expected 32 hex digits" },
        { "", "not JSON" }, { "{", "not JSON" }, { "[]", "expected an object" },
        { "{}", "the key 'do' is missing" }, { "{\"do\":1}", "do: expected a string" },
        { "{\"do\":\"statsu\"}", "did you mean 'status'?" },
        { "{\"do\":\"status\",\"do\":\"status\"}", "not JSON" },
        { "{\"do\":\"status\"} x", "not JSON" },
        { "{\"do\":\"trigger\",\"pre\":\"5s\"}", "pre: expected a whole number" },
        { "{\"do\":\"trigger\",\"pre\":1.5}", "pre: expected a whole number" },
        { "{\"do\":\"trigger\",\"prio\":1}", "unknown key 'prio'" },
        { "{\"do\":\"where\"}", "clip: expected 32 hex digits" },
        { "{\"do\":\"where\",\"clip\":\"00\"}", "clip: expected 32 hex digits" },
        { "{\"do\":\"where\",\"clip\":\"zz112233445566778899aabbccddeeff\"}", "32 hex digits" },
        { "{\"do\":\"\\u0000\"}", "not JSON" },
    };
    struct control_request request;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int code = control_parse(cases[i].line, strlen(cases[i].line), &request, &err);
        assert_int_equal(code, cases[i].want ? -EBADMSG : 0);
        if (cases[i].want && !strstr(err.text, cases[i].want))
            fail_msg("case %zu: '%s' does not say '%s'", i, err.text, cases[i].want);
    }
    assert_int_equal(control_parse(cases[2].line, strlen(cases[2].line), &request, &err), 0);
    assert_int_equal(request.verb, CONTROL_TRIGGER);
    assert_int_equal(request.pre_ns, 5);
    assert_int_equal(request.post_ns, 6);
    assert_int_equal(request.priority, 3);
    assert_true(control_changes(request.verb));
    assert_false(control_changes(CONTROL_WHERE));
    assert_int_equal(control_parse(cases[3].line, strlen(cases[3].line), &request, &err), 0);
    assert_true(control_changes(request.verb));
    assert_false(request.has_clip);
    assert_int_equal(control_parse(cases[4].line, strlen(cases[4].line), &request, &err), 0);
    assert_true(request.has_clip);
    assert_int_equal(request.clip_id[1], 0x11);
}

static void test_one_line_one_answer_then_closed(void **state)
{
    struct control_request request;
    uint64_t ticket = 0;
    int fd = client();
    struct stat info;

    (void)state;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0660);
    control_run(control, 0);
    say(fd, "{\"do\":\"sta");
    control_run(control, 0);
    assert_int_equal(control_next(control, &ticket, &request), 0);
    say(fd, "tus\"}\n");
    control_run(control, 0);
    assert_int_equal(control_next(control, &ticket, &request), 1);
    assert_int_equal(request.verb, CONTROL_STATUS);
    uint64_t other = 0;
    assert_int_equal(control_next(control, &other, &request), 0); /* told once */
    control_answer(control, ticket + 256, "stale", 5, 0);         /* another serial: ignored */
    control_answer(control, ticket, "{\"state\":\"ok\"}", 14, 0);
    control_run(control, 0);
    assert_string_equal(heard(fd), "{\"state\":\"ok\"}\n");
    assert_null(heard(fd));
    control_answer(control, ticket, "late", 4, 0); /* the client is gone: ignored */
    (void)close(fd);
}

static void test_a_bad_line_gets_an_error(void **state)
{
    int fd = client();

    (void)state;
    control_run(control, 0);
    say(fd, "what?\n");
    control_run(control, 0);
    control_run(control, 0);
    assert_non_null(strstr(heard(fd), "{\"error\":\"not JSON"));
    assert_null(heard(fd));
    (void)close(fd);
}

static void test_a_line_without_end_is_cut_off(void **state)
{
    static char flood[16384];
    int fd = client();
    const char *text = "";

    (void)state;
    memset(flood, 'x', sizeof flood);
    control_run(control, 0);
    for (int i = 0; i < 20 && text && !text[0]; i++) {
        (void)send(fd, flood, sizeof flood, MSG_NOSIGNAL);
        control_run(control, 0);
        text = heard(fd);
    }
    assert_non_null(text);
    assert_non_null(strstr(text, "at most 65536 bytes"));
    (void)close(fd);
}

static void test_too_many_and_idle_clients_are_closed(void **state)
{
    int fds[CONTROL_CLIENTS_MAX + 1];
    struct control_stats stats;

    (void)state;
    for (int i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
        fds[i] = client();
        control_run(control, 0);
    }
    assert_null(heard(fds[CONTROL_CLIENTS_MAX]));
    assert_string_equal(heard(fds[0]), "");
    control_run(control, CONTROL_IDLE_NS);
    assert_string_equal(heard(fds[0]), "");
    control_run(control, CONTROL_IDLE_NS + 1);
    for (int i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
        assert_null(heard(fds[i]));
        (void)close(fds[i]);
    }
    control_stats(control, &stats);
    assert_int_equal(stats.refused, CONTROL_CLIENTS_MAX + 1);
}

static void test_a_worker_that_never_answers_becomes_an_error(void **state)
{
    struct control_request request;
    uint64_t ticket;
    int fd = client();

    (void)state;
    control_run(control, 0);
    say(fd, "{\"do\":\"reload\"}\n");
    control_run(control, 0);
    assert_int_equal(control_next(control, &ticket, &request), 1); /* we are its own user */
    control_run(control, CONTROL_ASKED_NS + 1);
    control_run(control, CONTROL_ASKED_NS + 1);
    assert_non_null(strstr(heard(fd), "no answer"));
    (void)close(fd);
}

/* As root we can become someone else for the connect; the kernel takes the credentials then. */
static void test_changing_needs_the_right(void **state)
{
    struct control_request request;
    uint64_t ticket;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(seteuid(65534), 0);
    int reader = client(), changer = client();
    assert_int_equal(seteuid(0), 0);
    control_run(control, 0);
    say(reader, "{\"do\":\"status\"}\n");
    say(changer, "{\"do\":\"reload\"}\n");
    control_run(control, 0);
    control_run(control, 0);
    assert_int_equal(control_next(control, &ticket, &request), 1);
    assert_int_equal(request.verb, CONTROL_STATUS);
    assert_int_equal(control_next(control, &ticket, &request), 0);
    assert_non_null(strstr(heard(changer), "needs root or the group"));
    (void)close(reader);
    (void)close(changer);
}

static void test_a_group_or_path_that_is_not_there_is_refused(void **state)
{
    struct control *other = NULL;
    struct err err;

    (void)state;
    assert_int_equal(control_open(&(struct control_config){ path, "nosuchgroup" }, &other, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "nosuchgroup"));
    assert_int_equal(control_open(&(struct control_config){ "/nonexistent/x", "" }, &other, &err),
                     -ENOENT);
    assert_null(other);
}

static void test_quoting_always_parses(void **state)
{
    char bytes[128];
    struct json_text text = { bytes, sizeof bytes, 0 };

    (void)state;
    json_quote(&text, "a\"\\\n\xc3\xa9\xff\xed\xa0\x80z");
    assert_string_equal(bytes, "\"a\\\"\\\\\\u000a\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                               "\xef\xbf\xbdz\"");
    text = (struct json_text){ bytes, 4, 0 };
    json_printf(&text, "12345");
    assert_true(json_full(&text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_parse_or_say_what_is_wrong),
        cmocka_unit_test_setup_teardown(test_one_line_one_answer_then_closed, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_a_bad_line_gets_an_error, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_a_line_without_end_is_cut_off, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_too_many_and_idle_clients_are_closed, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_a_worker_that_never_answers_becomes_an_error, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(test_changing_needs_the_right, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_a_group_or_path_that_is_not_there_is_refused, open_all,
                                        close_all),
        cmocka_unit_test(test_quoting_always_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
