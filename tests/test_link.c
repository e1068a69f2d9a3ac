/* Answers of rtnetlink as a 6.1 kernel gave them (tests/data/netlink: vcan0 after 123 frames, an
 * SJA1000 stopped, and active at 500 kbit/s after 77 frames, and an interface that is not there). */
#include "daemon/link.h"

#include <errno.h>
#include <linux/can/netlink.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static _Alignas(struct nlmsghdr) uint8_t bytes[LINK_ANSWER_MAX];

static size_t load(const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof path, "tests/data/netlink/%s.bin", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    return size;
}

static struct clip_interface parse(const char *name)
{
    struct clip_interface interface = { .rx_frames = 99 };

    assert_int_equal(link_parse(bytes, load(name), 5, &interface), 0);
    assert_true(interface.known);
    assert_int_equal(interface.mono_ns, 5);
    return interface;
}

static void test_a_virtual_bus_has_counters_and_no_controller(void **state)
{
    struct clip_interface vcan = parse("vcan0");

    (void)state;
    assert_true(vcan.up);
    assert_int_equal(vcan.rx_frames, 123);
    assert_int_equal(vcan.bus_state, CLIP_BUS_UNKNOWN);
    assert_int_equal(vcan.bitrate, 0);
}

static void test_a_controller_has_a_state_and_a_bit_rate(void **state)
{
    struct clip_interface active = parse("can0_active"), stopped = parse("can0_stopped");

    (void)state;
    assert_true(active.up);
    assert_int_equal(active.rx_frames, 77);
    assert_int_equal(active.bus_state, CLIP_BUS_ACTIVE);
    assert_int_equal(active.bitrate, 500000);
    assert_false(stopped.up);
    assert_int_equal(stopped.bus_state, CLIP_BUS_STOPPED);
}

static void test_an_interface_that_is_not_there(void **state)
{
    struct clip_interface interface = { .rx_frames = 99 };

    (void)state;
    assert_int_equal(link_parse(bytes, load("none"), 5, &interface), -ENODEV);
    assert_int_equal(interface.rx_frames, 99);
}

/* --- what the emulated controller never does: the recorded bytes with other values in them --- */

/* The payload of the attribute `type` in `size` bytes of attributes. */
static uint8_t *find(uint8_t *at, size_t size, unsigned type, size_t *ret_size)
{
    struct rtattr *attribute = (struct rtattr *)(void *)at;

    for (size_t left = size; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
        if (attribute->rta_type == type) {
            *ret_size = RTA_PAYLOAD(attribute);
            return RTA_DATA(attribute);
        }
    fail_msg("no attribute %u", type);
    return NULL;
}

static void test_bus_off_and_error_counters(void **state)
{
    struct can_device_stats stats = { 1, 2, 3, 4, 5, 6 };
    struct can_berr_counter errors = { .txerr = 7, .rxerr = 128 };
    uint32_t bus_off = CAN_STATE_BUS_OFF;
    size_t size = load("can0_active"), info_size, data_size, part;
    size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct ifinfomsg));
    uint8_t *info = find(bytes + head, size - head, IFLA_LINKINFO, &info_size);
    uint8_t *data = find(info, info_size, IFLA_INFO_DATA, &data_size);
    struct clip_interface interface;

    (void)state;
    memcpy(find(data, data_size, IFLA_CAN_STATE, &part), &bus_off, sizeof bus_off);
    memcpy(find(data, data_size, IFLA_CAN_BERR_COUNTER, &part), &errors, sizeof errors);
    memcpy(find(info, info_size, IFLA_INFO_XSTATS, &part), &stats, sizeof stats);
    assert_int_equal(part, sizeof stats);
    assert_int_equal(link_parse(bytes, size, 5, &interface), 0);
    assert_int_equal(interface.bus_state, CLIP_BUS_OFF);
    assert_int_equal(interface.tx_error_count, 7);
    assert_int_equal(interface.rx_error_count, 128);
    assert_int_equal(interface.bus_errors, stats.bus_error);
    assert_int_equal(interface.warnings, stats.error_warning);
    assert_int_equal(interface.passives, stats.error_passive);
    assert_int_equal(interface.bus_offs, stats.bus_off);
    assert_int_equal(interface.arbitration_lost, stats.arbitration_lost);
    assert_int_equal(interface.restarts, stats.restarts);
}

/* Cut anywhere, or with any byte changed: refused or read, never beyond the end (ASan). */
static void test_broken_answers_are_harmless(void **state)
{
    static const char *const names[] = { "vcan0", "can0_active", "can0_stopped", "none" };
    struct clip_interface interface;
    uint32_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size = load(names[i]);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *copy = malloc(cut ? cut : 1);
            memcpy(copy, bytes, cut);
            assert_true(link_parse(copy, cut, 0, &interface) < 0);
            free(copy);
        }
        for (int n = 0; n < 20000; n++) {
            uint8_t *copy = malloc(size);
            memcpy(copy, bytes, size);
            for (int k = 0; k < 3; k++) {
                seed = seed * 1664525u + 1013904223u;
                copy[(seed >> 8) % size] = (uint8_t)(seed >> 24);
            }
            if (link_parse(copy, size, 0, &interface) == 0)
                assert_true(interface.bus_state <= CLIP_BUS_SLEEPING);
            free(copy);
        }
    }
}

/* Every kernel has a loopback interface, and none of this name. */
static void test_the_kernel_answers(void **state)
{
    struct clip_interface interface = { .known = false };
    int fd = link_open();

    (void)state;
    assert_true(fd >= 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(link_ask(fd, "lo", 7, &interface), 0);
        assert_true(interface.known);
        assert_int_equal(interface.bus_state, CLIP_BUS_UNKNOWN);
        assert_int_equal(link_ask(fd, "no-such-link", 7, &interface), -ENODEV);
    }
    assert_int_equal(link_ask(fd, "a name that no interface can have", 7, &interface), -ENODEV);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_virtual_bus_has_counters_and_no_controller),
        cmocka_unit_test(test_a_controller_has_a_state_and_a_bit_rate),
        cmocka_unit_test(test_an_interface_that_is_not_there),
        cmocka_unit_test(test_bus_off_and_error_counters),
        cmocka_unit_test(test_broken_answers_are_harmless),
        cmocka_unit_test(test_the_kernel_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
