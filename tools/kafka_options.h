/* kafka_options - the values of --kafka KEY=VALUE of every command that speaks to a broker. */
#ifndef TOOLS_KAFKA_OPTIONS_H
#define TOOLS_KAFKA_OPTIONS_H
#include "uploader/kafka.h"

struct kafka_options {
    struct kafka_setting items[KAFKA_SETTINGS_MAX];
    uint32_t count;
};

/* Splits KEY=VALUE in place (argv is ours to change) and keeps pointers into it. 0; -EINVAL: no '=';
 * -ERANGE: too many. */
int kafka_options_add(struct kafka_options *options, char *text);

#endif
