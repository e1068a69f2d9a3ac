/* The checks of doctor: a good set-up has no fault; each planted fact gives its fault and a remedy. */
#include "tools/doctor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct config config;
static struct doctor_facts facts;
static struct doctor_finding findings[DOCTOR_FINDINGS_MAX];

static void make_good(void)
{
    config_init(&config);
    (void)snprintf(config.file, sizeof config.file, "roadloop.yaml");
    config.source_count = 1;
    config.sources[0] = (struct source_config){ .name = "can0", .address = "can0",
                                                .kind = SOURCE_KIND_CAN, .rcvbuf_bytes = 8 << 20 };
    facts = (struct doctor_facts){ .config_read = true, .generation_read = true, .config = &config,
        .interface_there = { true }, .interface_up = { true }, .rmem_max = 8 << 20,
        .disk_free_bytes = UINT64_C(1) << 40, .clock_set = true, .group_there = true,
        .memory_bytes = 60 << 20, .daemon = { .running = true, .upload_connected = true } };
}

/* The finding of that check that is worse than good, or NULL. */
static const struct doctor_finding *fault_of(const char *check)
{
    uint32_t count = doctor_check(&facts, findings);

    for (uint32_t i = 0; i < count; i++)
        if (findings[i].level != DOCTOR_GOOD && strcmp(findings[i].check, check) == 0)
            return &findings[i];
    return NULL;
}

static void expect(const char *check, const char *text, const char *remedy)
{
    const struct doctor_finding *found = fault_of(check);

    if (!found || !strstr(found->text, text) || !strstr(found->remedy, remedy))
        fail_msg("%s: '%s' -> '%s', expected '%s' -> '%s'", check, found ? found->text : "nothing",
                 found ? found->remedy : "", text, remedy);
}

static void test_a_good_set_up_has_no_fault(void **state)
{
    (void)state;
    make_good();
    uint32_t count = doctor_check(&facts, findings);
    assert_true(count >= 8);
    for (uint32_t i = 0; i < count; i++)
        if (findings[i].level != DOCTOR_GOOD || findings[i].remedy[0])
            fail_msg("%s: %s", findings[i].check, findings[i].text);
}

static void test_configuration_and_rules(void **state)
{
    (void)state;
    make_good();
    facts.config_read = false;
    (void)snprintf(facts.config_error, sizeof facts.config_error, "a.yaml:1:1: unknown key 'x'");
    assert_int_equal(doctor_check(&facts, findings), 1); /* nothing else can be asked */
    expect("config", "a.yaml:1:1", "correct that place");
    make_good();
    facts.generation_read = false;
    (void)snprintf(facts.generation_error, sizeof facts.generation_error, "p.yaml:2:3: no signal");
    expect("rules", "p.yaml:2:3", "DBC of another vehicle line");
}

static void test_machine(void **state)
{
    (void)state;
    make_good();
    facts.interface_there[0] = false;
    expect("sources", "there is no interface 'can0'", "ip -details link");
    facts.interface_there[0] = true;
    facts.interface_up[0] = false;
    expect("sources", "is down", "listen-only on");
    config.source_count = 0;
    expect("sources", "there is no source", "sources:");
    make_good();
    facts.rmem_max = 212992;
    expect("buffers", "clips it to 212992", "net.core.rmem_max=8388608");
    facts.may_force_rcvbuf = true;
    assert_null(fault_of("buffers"));
    make_good();
    facts.clock_set = false;
    expect("clock", "not set", "NTP");
    make_good();
    facts.memory_bytes = 65 << 20;
    expect("memory", "65 MiB planned", "ring.bytes");
    make_good();
    (void)snprintf(config.control.group, sizeof config.control.group, "ops");
    facts.group_there = false;
    expect("control", "no group 'ops'", "groupadd --system ops");
}

static void test_disk(void **state)
{
    (void)state;
    make_good();
    facts.state_errno = ENOENT;
    expect("state", "is not there", "install -d");
    facts.state_errno = EACCES;
    expect("state", "Permission denied", "chown");
    facts.state_errno = EROFS;
    expect("state", "Read-only", "remount");
    make_good();
    facts.disk_free_bytes = 1 << 20;
    expect("disk", "the disk has 1 MiB", "lower store.quota");
    facts.disk_free_bytes = UINT64_C(1) << 40;
    facts.disk_used_bytes = (uint64_t)config.store.quota_bytes;
    expect("disk", "being evicted", "raise store.quota");
}

static void test_far_end(void **state)
{
    (void)state;
    make_good();
    config.upload.transport = CONFIG_TRANSPORT_KAFKA;
    (void)snprintf(config.upload.brokers, sizeof config.upload.brokers, "b:9092");
    facts.broker_errno = ECONNREFUSED;
    expect("broker", "no broker of b:9092 answers: Connection refused", "upload.brokers");
    make_good();
    config.upload.transport = CONFIG_TRANSPORT_FILE;
    facts.drop_errno = ENOENT;
    expect("drop", "cannot be written", "mount or make");
}

static void test_daemon(void **state)
{
    (void)state;
    make_good();
    facts.daemon.running = false;
    facts.daemon.why = ENOENT;
    expect("daemon", "no daemon runs there", "systemctl start");
    facts.daemon.why = EACCES;
    expect("daemon", "may not ask", "join group");
    make_good();
    facts.daemon.digest_differs = true;
    expect("hashes", "are not those", "systemctl reload");
    make_good();
    facts.daemon.degraded = true;
    (void)snprintf(facts.daemon.degraded_reason, sizeof facts.daemon.degraded_reason, "ENOSPC");
    expect("store", "degraded: ENOSPC", "recovers by itself");
    make_good();
    facts.daemon.parked = 2;
    expect("upload", "2 clips are parked", "roadloop where");
    make_good();
    facts.daemon.dropped_kernel = 3;
    expect("loss", "3 in the kernel", "buffer");
    make_good();
    facts.daemon.reloads_failed = 1;
    expect("reload", "1 reloads were refused", "roadloop status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_set_up_has_no_fault),
        cmocka_unit_test(test_configuration_and_rules),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_far_end),
        cmocka_unit_test(test_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
