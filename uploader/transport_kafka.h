/* transport_kafka - the table of transport.h over kafka.h: values to the topics of one environment,
 * receipts by assign() of exactly the partitions of our pseudonyms. No group is ever joined. */
#ifndef UPLOADER_TRANSPORT_KAFKA_H
#define UPLOADER_TRANSPORT_KAFKA_H
#include "uploader/kafka.h"
#include "uploader/transport.h"

#define TRANSPORT_KAFKA_BEHIND_MAX 10000 /* receipts; further behind it goes to the end and asks */

struct transport_kafka_config {
    struct kafka_config kafka; /* client_id: the pseudonym */
    const char *env;           /* of the topics' names */
    bool receipts;             /* false: no consumer is made */
};

/* The broker need not be there yet. 0, or a negative errno with *err. */
int transport_kafka_open(const struct transport_kafka_config *config, struct err *err,
                         struct transport *ret_transport);

#endif
