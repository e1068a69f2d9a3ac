/* config_schema - the rows that config.c reads by, and what config*.c share. Private to them. */
#ifndef DAEMON_CONFIG_SCHEMA_H
#define DAEMON_CONFIG_SCHEMA_H
#include "daemon/config.h"

enum config_type {
    CONFIG_NAME,     /* char[]: [A-Za-z0-9_.-]+ */
    CONFIG_WORDS,    /* char[]: printable ASCII, may be empty */
    CONFIG_FILE,     /* char[]: a path, relative to the configuration's folder */
    CONFIG_SIZE,     /* int64_t bytes */
    CONFIG_DURATION, /* int64_t ns */
    CONFIG_COUNT,    /* uint32_t */
    CONFIG_CHOICE,   /* uint32_t: index into choices */
    CONFIG_CODEC,    /* char[]: one of choices, kept as text */
    CONFIG_SWITCH,   /* bool: yes or no */
};

struct config_row {
    const char *section; /* "" at the top */
    const char *key;
    enum config_type type;
    size_t offset;           /* in struct config */
    int64_t low, high;       /* bounds of numbers; of texts the bytes with NUL in `high` */
    const char *const *choices; /* NULL-terminated */
    bool restart;            /* a reload cannot change it */
};

/* A number with one of the units behind it ("" for none): 0, -EINVAL, -ERANGE. */
struct config_unit {
    const char *name;
    int64_t factor;
};
int config_number(const char *text, const struct config_unit *units, size_t count,
                  int64_t *ret_value);

extern const struct config_row config_rows[];
extern const uint32_t config_row_count;

#endif
