/* Texts of the configuration that are numbers: sizes, durations, times. */
#include "daemon/config_schema.h"
#include "proto/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB INT64_C(1048576)

int config_number(const char *text, const struct config_unit *units, size_t count,
                  int64_t *ret_value)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno == ERANGE)
        return -ERANGE;
    for (size_t i = 0; i < count; i++)
        if (strcmp(end, units[i].name) == 0)
            return __builtin_mul_overflow((int64_t)number, units[i].factor, ret_value) ? -ERANGE
                                                                                       : 0;
    return -EINVAL;
}

int config_size(const char *text, int64_t *ret_bytes)
{
    static const struct config_unit units[] = {
        { "", 1 }, { "B", 1 }, { "KiB", 1024 }, { "MiB", MIB }, { "GiB", 1024 * MIB },
        { "kB", 1000 }, { "KB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 },
    };

    return config_number(text, units, sizeof units / sizeof units[0], ret_bytes);
}

int config_duration(const char *text, int64_t *ret_ns)
{
    static const struct config_unit units[] = {
        { "ns", 1 }, { "us", NS_PER_US }, { "ms", NS_PER_MS }, { "s", NS_PER_S },
        { "min", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
    };

    return config_number(text, units, sizeof units / sizeof units[0], ret_ns);
}

static int fraction_ns(const char *text, int64_t *ret_ns)
{
    int64_t ns = 0, unit = NS_PER_S;

    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9' && unit > 1; text++) {
            unit /= 10;
            ns += (*text - '0') * unit;
        }
    *ret_ns = ns;
    return strcmp(text, "Z") == 0 ? 0 : -EINVAL;
}

int config_wall(const char *text, int64_t *ret_utc_ns)
{
    struct tm day = { .tm_sec = 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &day);
    int64_t ns;

    if (!rest || fraction_ns(rest, &ns) < 0 || day.tm_year < 70 || day.tm_year > 200)
        return -EINVAL;
    *ret_utc_ns = (int64_t)timegm(&day) * NS_PER_S + ns;
    return 0;
}
