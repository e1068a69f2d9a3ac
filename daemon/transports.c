#include "daemon/transports.h"

#include "uploader/filedrop.h"
#include "uploader/transport_kafka.h"

#include <assert.h>

static int open_kafka(const struct config *config, struct transport *ret_transport,
                      struct err *err)
{
    struct kafka_setting settings[CONFIG_SETTINGS_MAX];

    for (uint32_t i = 0; i < config->upload.setting_count; i++)
        settings[i] = (struct kafka_setting){ config->upload.settings[i].key,
                                              config->upload.settings[i].value };
    const struct transport_kafka_config kafka = {
        .kafka = { .bootstrap = config->upload.brokers, .client_id = config->shaping.vehicle,
                   .settings = settings, .setting_count = config->upload.setting_count },
        .env = config->upload.environment,
        .receipts = config->store.delete_after == CONFIG_DELETE_RECEIPT,
    };
    return transport_kafka_open(&kafka, err, ret_transport);
}

int transports_open(const struct config *config, struct transport *ret_transport, struct err *err)
{
    assert(config->upload.transport != CONFIG_TRANSPORT_NONE);
    if (config->upload.transport == CONFIG_TRANSPORT_FILE)
        return filedrop_open(config->upload.drop, err, ret_transport);
    return open_kafka(config, ret_transport, err);
}
