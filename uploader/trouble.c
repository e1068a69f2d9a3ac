#include "uploader/trouble.h"

#include <stddef.h>
#include <string.h>

#define ROW_WORDS 8

/* The first row with a word that stands in the reason: what is more exact comes first. */
static const struct {
    const char *words[ROW_WORDS];
    struct trouble trouble;
} rows[] = {
    { { "our certificate", "certificate expired", "certificate has expired" },
      { 0, "expired certificate",
        "replace the file of ssl.certificate.location (and ssl.key.location); it is read again by "
        "itself. Is the wall clock right?" } },
    { { "certificate unknown", "unknown ca", "bad certificate", "certificate required",
        "handshake failure" },
      { 1, "wrong certificate",
        "the broker refuses our certificate: give ssl.certificate.location one that its CA signed, "
        "with the key of ssl.key.location; it is read again by itself" } },
    { { "certificate verify failed", "SSL handshake failed", "SSL routines" },
      { 2, "wrong certificate",
        "the broker's certificate does not hold: is ssl.ca.location its CA, upload.brokers the name "
        "in it, and is it in date? `openssl s_client -connect HOST:PORT -CAfile FILE` shows it" } },
    { { "invalid credentials", "SASL authentication error", "Authentication failed",
        "Authentication failure", "SASL_AUTHENTICATION_FAILED" },
      { 3, "wrong password",
        "correct sasl.username, sasl.mechanism and the file of sasl.password; the file is read again "
        "by itself" } },
    { { "Topic authorization failed", "authorization failed", "Not authorized" },
      { 4, "forbidden topic",
        "an ACL forbids it: give this user what docs/SECURITY.md lists (a car writes clip, artifact "
        "and status, and reads receipt)" } },
    { { "Unknown topic", "there is no such topic" },
      { 5, "missing topic",
        "`roadloop topics create --bootstrap HOST:PORT --env NAME`, or correct upload.environment" } },
    { { "Message size too large", "larger than the configured" },
      { 6, "message too large",
        "set max.message.bytes of the topic to 1048588 (`roadloop topics create` names what "
        "differs), then `roadloop retry --all`; or lower store.chunk" } },
    { { "Connection refused", "timed out", "No route to host", "Network is unreachable",
        "resolve", "Name or service not known", "brokers are down" },
      { 7, "broker away",
        "check upload.brokers, the network and the firewall; what is to be sent waits meanwhile" } },
};
#define ROWS (sizeof rows / sizeof rows[0])

const struct trouble *trouble_of(const char *reason)
{
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < ROW_WORDS && rows[i].words[k]; k++)
            if (strstr(reason, rows[i].words[k]))
                return &rows[i].trouble;
    return NULL;
}
