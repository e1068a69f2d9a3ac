#include "tools/cmd.h"

#include <stdio.h>

int cmd_fail(const char *command, const struct err *err)
{
    char text[ERR_FILE_MAX + ERR_TEXT_MAX + 64];

    (void)err_format(err, text, sizeof text);
    (void)fprintf(stderr, "roadloop %s: %s\n", command, text);
    return CMD_BAD;
}

int cmd_usage(const char *command, const char *usage, const char *why)
{
    if (why)
        (void)fprintf(stderr, "roadloop %s: %s\n", command, why);
    (void)fprintf(stderr, "%s", usage);
    return CMD_BAD;
}
