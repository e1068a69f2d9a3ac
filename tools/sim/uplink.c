#include "tools/sim/uplink.h"

#include "uploader/scheduler.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A message's opaque travels with its port in the upper bits. All ones in the lower bits is the
 * uploader's own mark of a status, UINT64_MAX. */
#define OPAQUE_BITS 48
#define OPAQUE_MASK ((UINT64_C(1) << OPAQUE_BITS) - 1)
#define REPORTS (SCHEDULER_FLIGHT_MAX + 1) /* chunks in flight and a status */
#define PUMP_MAX 256 /* messages a call, so that other connections get their turn */

struct port {
    struct uplink *uplink;
    uint32_t number;
    char pseudonym[PSEUDONYM_MAX];
    struct transport_report reports[REPORTS]; /* ring */
    uint32_t first, count;
    struct transport_receipt receipt;
    bool has_receipt;
};

struct uplink {
    struct transport transport;
    struct port ports[UPLINK_PORTS];
    uint32_t port_count;
    struct transport_receipt held; /* its port has one already */
    bool has_held;
    uint64_t receipts_foreign;
    bool silent; /* the broker did not answer a listen: none is tried until it takes a message */
};

struct uplink *uplink_open(struct transport transport)
{
    struct uplink *uplink = calloc(1, sizeof *uplink);

    if (uplink)
        uplink->transport = transport;
    else
        transport.ops->close(transport.context, 0);
    return uplink;
}

void uplink_close(struct uplink *uplink, int flush_ms)
{
    if (!uplink)
        return;
    uplink->transport.ops->close(uplink->transport.context, flush_ms);
    free(uplink);
}

/* ---- The port's side: what an uploader calls ---- */

static int port_send(void *context, const struct transport_message *message)
{
    struct port *port = context;
    struct transport_message marked = *message;

    marked.opaque = (uint64_t)(port->number + 1) << OPAQUE_BITS | (message->opaque & OPAQUE_MASK);
    return port->uplink->transport.ops->send(port->uplink->transport.context, &marked);
}

static int port_report(void *context, int timeout_ms, struct transport_report *ret_report)
{
    struct port *port = context;

    (void)timeout_ms; /* uplink_pump has polled for all ports */
    if (!port->count)
        return 0;
    *ret_report = port->reports[port->first];
    port->first = (port->first + 1) % REPORTS;
    port->count--;
    return 1;
}

static int port_receipt(void *context, struct transport_receipt *ret_receipt)
{
    struct port *port = context;

    if (!port->has_receipt)
        return 0;
    *ret_receipt = port->receipt;
    port->has_receipt = false;
    return 1;
}

static int port_listen(void *context, const char *pseudonym,
                       int (*stored)(void *argument, int32_t partition, int64_t *ret_offset),
                       void *argument)
{
    struct uplink *uplink = ((struct port *)context)->uplink;

    if (uplink->silent) /* a listen may wait a second: not once for each vehicle */
        return -EAGAIN;
    int rc = uplink->transport.ops->listen(uplink->transport.context, pseudonym, stored, argument);
    uplink->silent = rc != 0;
    return rc;
}

static void port_stats(const void *context, struct transport_stats *ret_stats)
{
    const struct uplink *uplink = ((const struct port *)context)->uplink;

    uplink->transport.ops->stats(uplink->transport.context, ret_stats);
}

static void port_close(void *context, int flush_ms)
{
    (void)context;
    (void)flush_ms;
}

static const struct transport_ops port_ops = { .send = port_send, .poll_report = port_report,
                                               .poll_receipt = port_receipt,
                                               .listen = port_listen, .stats = port_stats,
                                               .close = port_close };

struct transport uplink_port(struct uplink *uplink, const char *pseudonym)
{
    assert(uplink->port_count < UPLINK_PORTS);
    struct port *port = &uplink->ports[uplink->port_count];

    port->uplink = uplink;
    port->number = uplink->port_count++;
    (void)snprintf(port->pseudonym, sizeof port->pseudonym, "%s", pseudonym);
    return (struct transport){ &port_ops, port };
}

/* ---- The connection's side ---- */

static void pump_reports(struct uplink *uplink)
{
    struct transport_report report;

    for (int i = 0; i < PUMP_MAX; i++) {
        if (uplink->transport.ops->poll_report(uplink->transport.context, 0, &report) != 1)
            return;
        uint64_t number = (report.opaque >> OPAQUE_BITS) - 1;
        assert(number < uplink->port_count);
        struct port *port = &uplink->ports[number];
        uplink->silent &= report.result != TRANSPORT_DONE;
        report.opaque &= OPAQUE_MASK;
        if (report.opaque == OPAQUE_MASK)
            report.opaque = UINT64_MAX;
        assert(port->count < REPORTS); /* one for each message in flight */
        port->reports[(port->first + port->count++) % REPORTS] = report;
    }
}

static struct port *port_of(struct uplink *uplink, const char *pseudonym)
{
    for (uint32_t i = 0; i < uplink->port_count; i++)
        if (!strcmp(uplink->ports[i].pseudonym, pseudonym))
            return &uplink->ports[i];
    return NULL;
}

static void pump_receipts(struct uplink *uplink)
{
    for (int i = 0; i < PUMP_MAX; i++) {
        if (!uplink->has_held &&
            uplink->transport.ops->poll_receipt(uplink->transport.context, &uplink->held) != 1)
            return;
        uplink->has_held = true;
        struct port *port = port_of(uplink, uplink->held.receipt.pseudonym);
        if (port && port->has_receipt)
            return;
        uplink->has_held = false;
        uplink->receipts_foreign += !port;
        if (!port)
            continue;
        port->receipt = uplink->held;
        port->receipt.partition = -1; /* the place in the log is the connection's, not the vehicle's */
        port->has_receipt = true;
    }
}

uint32_t uplink_pump(struct uplink *uplink)
{
    uint32_t ready = 0;

    pump_reports(uplink);
    pump_receipts(uplink);
    for (uint32_t i = 0; i < uplink->port_count; i++)
        if (uplink->ports[i].count || uplink->ports[i].has_receipt)
            ready |= UINT32_C(1) << i;
    return ready;
}

void uplink_stats(const struct uplink *uplink, struct uplink_stats *ret_stats)
{
    uplink->transport.ops->stats(uplink->transport.context, &ret_stats->transport);
    ret_stats->receipts_foreign = uplink->receipts_foreign;
}
