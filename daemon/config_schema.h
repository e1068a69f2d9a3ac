/* config_schema - the rows that config.c reads by. Private to config*.c. */
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

extern const struct config_row config_rows[];
extern const uint32_t config_row_count;

#endif
