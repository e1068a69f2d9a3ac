/* Each thing that Kafka and librdkafka say of a known fault belongs to its kind, with a remedy of its own. The texts
 * are those of librdkafka 2.0.2 and Kafka 3.9.2, as tests/e2e/kafka_errors.py meets them. */
#include "proto/cert.h"
#include "uploader/trouble.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void each_reason_has_its_kind_and_remedy(void **state)
{
    static const struct {
        const char *reason, *name, *remedy;
    } cases[] = {
        { "ssl://h:1/bootstrap: Receive failed: error:0A000416:SSL routines::sslv3 alert certificate unknown: SSL alert "
          "number 46 (after 2ms in state APIVERSION_QUERY)", "wrong certificate", "that its CA signed" },
        { "ssl://h:1/bootstrap: error:0A000086:SSL routines::certificate verify failed (after 6ms in state "
          "SSL_HANDSHAKE)", "wrong certificate", "ssl.ca.location" },
        { "our certificate /etc/car.pem ended Nov 23 00:01:55 2026 GMT", "expired certificate", "replace the file" },
        { "sasl_ssl://h:1/bootstrap: SASL authentication error: Authentication failed during authentication due to "
          "invalid credentials with SASL mechanism SCRAM-SHA-256", "wrong password", "sasl.password" },
        { "roadloop.e.clip.v1: Broker: Unknown topic or partition", "missing topic", "roadloop topics create" },
        { "roadloop.e.clip.v1: there is no such topic", "missing topic", "upload.environment" },
        { "roadloop.e.clip.v1: Broker: Topic authorization failed", "forbidden topic", "ACL" },
        { "roadloop.e.clip.v1: Broker: Message size too large", "message too large", "max.message.bytes" },
        { "h:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused", "broker away", "upload.brokers" },
        { "1/1 brokers are down", "broker away", "firewall" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct trouble *trouble = trouble_of(cases[i].reason);
        assert_non_null(trouble);
        assert_string_equal(trouble->name, cases[i].name);
        assert_non_null(strstr(trouble->remedy, cases[i].remedy));
        assert_true(trouble->index < TROUBLE_MAX);
    }
}

static void what_is_of_no_kind_is_none(void **state)
{
    (void)state;
    assert_null(trouble_of(""));
    assert_null(trouble_of("Local: Purged in queue"));
}

static void a_file_without_a_certificate_is_told_apart_from_none(void **state)
{
    char end[CERT_TIME_MAX];

    (void)state;
    assert_int_equal(cert_expired("/nonexistent", end), -ENOENT);
    assert_int_equal(cert_expired("/dev/null", end), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason_has_its_kind_and_remedy),
        cmocka_unit_test(what_is_of_no_kind_is_none),
        cmocka_unit_test(a_file_without_a_certificate_is_told_apart_from_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
