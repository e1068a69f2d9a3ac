/* dbset - the databases of a session: one for each bus, or one for all.
 * Entries are added at start, from bytes or files, then the set is immutable and safe to read from
 * any thread. The set owns the databases and the bytes that they came from (artifacts are these
 * bytes, known by their SHA-256). */
#ifndef PROTO_DBSET_H
#define PROTO_DBSET_H
#include "proto/dbc.h"
#include "proto/hash.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DBSET_ENTRIES_MAX 32
#define DBSET_NAME_MAX 128

struct dbset_entry {
    char bus[SOURCE_NAME_MAX];  /* "" serves every bus */
    char name[DBSET_NAME_MAX];  /* the file's name without its directories */
    const uint8_t *bytes;       /* the file as it was read */
    size_t size;
    uint8_t sha256[SHA256_BYTES];
    struct dbc *dbc;
};

struct dbset {
    struct dbset_entry entries[DBSET_ENTRIES_MAX];
    uint32_t count;
};

/* Returns NULL when memory is short. dbset_close takes NULL. */
struct dbset *dbset_open(void);
void dbset_close(struct dbset *set);

/* Adds a database from memory (the bytes are copied). `bus` may be "" or NULL. Returns 0; what
 * dbc_load returns; -EEXIST when the same bytes serve the same bus already; -ENOBUFS when the set is
 * full; -EINVAL for a bus name that no source can have. */
int dbset_add(struct dbset *set, const char *bus, const char *name, const void *bytes, size_t size,
              bool strict, struct diags *diags, struct err *err);

/* The same from an argument "[BUS=]FILE", or a negative errno of reading it. */
int dbset_add_file(struct dbset *set, const char *argument, bool strict, struct diags *diags,
                   struct err *err);

/* Which databases serve one source: those of its bus first, then those for all, in order of
 * adding. Resolve it once a source, not once a frame. */
struct dbset_route {
    const struct dbset *set;
    uint8_t entries[DBSET_ENTRIES_MAX];
    uint8_t count;
};

struct dbset_match {
    const struct dbc_message *message; /* NULL: no database knows the frame */
    uint32_t entry;
    uint8_t address; /* J1939 source address, else 0: what holds state keeps it per address */
};

void dbset_route_init(struct dbset_route *route, const struct dbset *set, const char *source_name);

/* `flags` are FRAME_*: remote and error frames match nothing. Returns whether one matched. */
bool dbset_find(const struct dbset_route *route, uint32_t id, uint16_t flags,
                struct dbset_match *ret_match);

/* A signal by name. A J1939 message that any source sends may be pinned to one by its address,
 * "EEC1@0x21" or "EEC1@33": states of different addresses are then different signals. */
struct dbset_signal {
    uint32_t entry;
    const struct dbc_message *message;
    const struct dbc_signal *signal; /* the first of its name; same_name leads to other branches */
    char bus[SOURCE_NAME_MAX]; /* frames of this bus carry it; "" any */
    int16_t address;           /* frames of this J1939 source carry it; DBSET_ANY_ADDRESS any */
};
#define DBSET_ANY_ADDRESS (-1)

/* `bus` NULL or "": any, but a name found in two databases is an error. Returns 0; -ENOENT unknown,
 * or refused when it was loaded (err names the nearest name or the reason); -EEXIST ambiguous;
 * -EINVAL an address for a message that does not take one. */
int dbset_signal_find(const struct dbset *set, const char *bus, const char *message,
                      const char *signal, struct dbset_signal *ret_signal, struct err *err);

/* The same from "[bus:]Message.Signal", each part in backticks where it has odd characters.
 * -EINVAL when it has not this form. */
int dbset_signal_path(const struct dbset *set, const char *path, struct dbset_signal *ret_signal,
                      struct err *err);

#endif
