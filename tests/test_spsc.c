#include "daemon/spsc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct item {
    uint64_t number, inverse; /* a torn slot shows as number != ~inverse */
};

static struct spsc *open_queue(uint32_t slots, uint32_t reserved)
{
    struct spsc *queue = NULL;

    assert_int_equal(spsc_open(&queue, &(struct spsc_config){ .slot_count = slots,
                     .slot_bytes = sizeof(struct item), .reserved = reserved }), 0);
    return queue;
}

static bool put(struct spsc *queue, enum spsc_class class, uint64_t number)
{
    struct item *item = spsc_room(queue, class);

    if (!item)
        return false;
    *item = (struct item){ number, ~number };
    spsc_put(queue);
    return true;
}

static void test_limits_are_refused(void **state)
{
    static const struct spsc_config bad[] = {
        { 0, 8, 0 }, { 1, 8, 0 }, { 3, 8, 0 }, { 2 * SPSC_SLOTS_MAX, 8, 0 },
        { 4, 0, 0 }, { 4, SPSC_SLOT_BYTES_MAX + 1, 0 }, { 4, 8, 4 },
    };
    struct spsc *queue = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(spsc_open(&queue, &bad[i]), -EINVAL);
    assert_null(queue);
    spsc_close(NULL);
}

static void test_full_refuses_rows_first_and_commands_last(void **state)
{
    struct spsc *queue = open_queue(8, 3);
    uint64_t n = 0;

    (void)state;
    while (put(queue, SPSC_ROW, n))
        n++;
    assert_int_equal(n, 5);
    while (put(queue, SPSC_COMMAND, n))
        n++;
    assert_int_equal(n, 8);
    assert_false(put(queue, SPSC_COMMAND, n));
    assert_int_equal(spsc_count(queue), 8);
    for (uint64_t i = 0; i < 8; i++) {
        struct item *item = spsc_peek(queue);
        assert_non_null(item);
        assert_int_equal(item->number, i);
        spsc_pop(queue);
        /* Rows come back only when three slots are free beside theirs. */
        assert_int_equal(spsc_room(queue, SPSC_ROW) != NULL, 8 - (i + 1) < 5);
    }
    assert_null(spsc_peek(queue));
    spsc_close(queue);
}

static bool rings(int fd)
{
    struct pollfd bell = { .fd = fd, .events = POLLIN };

    return poll(&bell, 1, 0) == 1;
}

static void test_only_an_armed_bell_rings(void **state)
{
    struct spsc *queue = open_queue(2, 0);

    (void)state;
    assert_true(put(queue, SPSC_ROW, 0));
    assert_false(rings(spsc_fd(queue)));
    assert_true(spsc_arm(queue)); /* something is there: no sleep */
    assert_non_null(spsc_peek(queue));
    spsc_pop(queue);
    assert_false(spsc_arm(queue));
    assert_true(put(queue, SPSC_ROW, 1));
    assert_true(rings(spsc_fd(queue)));
    spsc_quiet(spsc_fd(queue));
    assert_true(put(queue, SPSC_ROW, 2)); /* the bell was spent: no second ring */
    assert_false(rings(spsc_fd(queue)));
    assert_false(spsc_arm_room(queue, SPSC_ROW));
    assert_non_null(spsc_peek(queue));
    spsc_pop(queue);
    assert_true(rings(spsc_room_fd(queue)));
    assert_true(spsc_arm_room(queue, SPSC_ROW));
    assert_non_null(spsc_peek(queue));
    spsc_pop(queue);
    assert_null(spsc_wait(queue, 0)); /* gives up instead of sleeping for ever */
    spsc_close(queue);
}

struct stress {
    struct spsc *queue;
    uint64_t count;
};

static void *stress_producer(void *arg)
{
    const struct stress *stress = arg;
    struct spsc *queue = stress->queue;

    for (uint64_t n = 0; n < stress->count; n++) {
        /* Sometimes as a row, sometimes as a command; both wait. */
        struct item *item = spsc_wait_room(queue, n % 7 ? SPSC_ROW : SPSC_COMMAND, -1);
        *item = (struct item){ n, ~n };
        spsc_put(queue);
    }
    return NULL;
}

/* Sizes from tiny (both sides sleep all the time) to larger than a time slice. A lost wake-up hangs
 * here, a torn or repeated slot fails. */
static void test_stress_keeps_order_and_loses_nothing(void **state)
{
    static const struct { uint32_t slots, reserved; uint64_t count; } cases[] = {
        { 2, 0, 20000 }, { 2, 1, 20000 }, { 64, 8, 200000 }, { 4096, 16, 1000000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct spsc *queue = open_queue(cases[i].slots, cases[i].reserved);
        struct stress stress = { queue, cases[i].count };
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, stress_producer, &stress), 0);
        for (uint64_t n = 0; n < stress.count; n++) {
            const struct item *item = spsc_wait(queue, -1);
            if (item->number != n || item->inverse != ~n)
                fail_msg("slot %llu holds %llu", (unsigned long long)n,
                         (unsigned long long)item->number);
            spsc_pop(queue);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_null(spsc_peek(queue));
        spsc_close(queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_are_refused),
        cmocka_unit_test(test_full_refuses_rows_first_and_commands_last),
        cmocka_unit_test(test_only_an_armed_bell_rings),
        cmocka_unit_test(test_stress_keeps_order_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
