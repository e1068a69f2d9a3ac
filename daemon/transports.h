/* transports - the transport that the configuration asks for. */
#ifndef DAEMON_TRANSPORTS_H
#define DAEMON_TRANSPORTS_H
#include "daemon/config.h"
#include "uploader/transport.h"

/* For CONFIG_TRANSPORT_KAFKA and _FILE. Returns 0, or a negative errno with *err. */
int transports_open(const struct config *config, struct transport *ret_transport, struct err *err);

#endif
