#include "tools/kafka_options.h"

#include <errno.h>
#include <string.h>

int kafka_options_add(struct kafka_options *options, char *text)
{
    char *equals = strchr(text, '=');

    if (!equals || equals == text)
        return -EINVAL;
    if (options->count == KAFKA_SETTINGS_MAX)
        return -ERANGE;
    *equals = '\0';
    options->items[options->count++] = (struct kafka_setting){ text, equals + 1 };
    return 0;
}
