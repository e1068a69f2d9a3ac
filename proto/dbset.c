#include "proto/dbset.h"

#include "proto/frame.h"
#include "proto/j1939.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dbset *dbset_open(void)
{
    return calloc(1, sizeof(struct dbset));
}

void dbset_close(struct dbset *set)
{
    if (!set)
        return;
    for (uint32_t i = 0; i < set->count; i++) {
        dbc_close(set->entries[i].dbc);
        free((void *)(uintptr_t)set->entries[i].bytes);
    }
    free(set);
}

static bool is_bus_name(const char *bus)
{
    size_t size = strlen(bus);

    return size < SOURCE_NAME_MAX &&
           strspn(bus, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == size;
}

static bool has(const struct dbset *set, const struct dbset_entry *entry)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (!strcmp(set->entries[i].bus, entry->bus) &&
            !memcmp(set->entries[i].sha256, entry->sha256, SHA256_BYTES))
            return true;
    return false;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* `bytes` are the set's from here on, whatever happens. */
static int add_owned(struct dbset *set, const char *bus, const char *name, uint8_t *bytes,
                     size_t size, bool strict, struct diags *diags, struct err *err)
{
    struct dbset_entry entry = { .bytes = bytes, .size = size };

    (void)snprintf(entry.bus, sizeof entry.bus, "%s", bus);
    (void)snprintf(entry.name, sizeof entry.name, "%s", base_name(name));
    sha256_of(bytes, size, entry.sha256);
    int status = 0;
    if (has(set, &entry))
        status = err_at(err, -EEXIST, name, 0, 0, "this database is given twice for %s%s",
                        *bus ? "bus " : "every bus", bus);
    else
        status = dbc_load(bytes, size, name, strict, diags, err, &entry.dbc);
    if (status) {
        free(bytes);
        return status;
    }
    set->entries[set->count++] = entry;
    return 0;
}

static int judge_request(const struct dbset *set, const char *bus, const char *name,
                         struct err *err)
{
    if (!is_bus_name(bus))
        return err_at(err, -EINVAL, name, 0, 0,
                      "'%s' is no bus: expected at most %d of A-Z a-z 0-9 _ . -", bus,
                      SOURCE_NAME_MAX - 1);
    if (set->count == DBSET_ENTRIES_MAX)
        return err_at(err, -ENOBUFS, name, 0, 0, "more than %d databases", DBSET_ENTRIES_MAX);
    return 0;
}

int dbset_add(struct dbset *set, const char *bus, const char *name, const void *bytes, size_t size,
              bool strict, struct diags *diags, struct err *err)
{
    int status = judge_request(set, bus ? bus : "", name, err);

    if (status)
        return status;
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return err_at(err, -ENOMEM, name, 0, 0, "out of memory");
    if (size)
        memcpy(copy, bytes, size);
    return add_owned(set, bus ? bus : "", name, copy, size, strict, diags, err);
}

/* Reads at most one byte more than a DBC may have, so that dbc_load sees that it is too large. */
static int read_file(const char *path, uint8_t **ret_bytes, size_t *ret_size, struct err *err)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = file ? malloc(DBC_FILE_BYTES_MAX + 1) : NULL;
    int status = file ? -ENOMEM : -errno;

    if (bytes) {
        *ret_size = fread(bytes, 1, DBC_FILE_BYTES_MAX + 1, file);
        status = ferror(file) ? (errno ? -errno : -EIO) : 0;
    }
    if (file)
        (void)fclose(file);
    if (status) {
        free(bytes);
        return err_at(err, status, path, 0, 0, "cannot read the database: %s", strerror(-status));
    }
    uint8_t *fitted = realloc(bytes, *ret_size ? *ret_size : 1);
    if (fitted)
        bytes = fitted;
    *ret_bytes = bytes;
    return 0;
}

int dbset_add_file(struct dbset *set, const char *argument, bool strict, struct diags *diags,
                   struct err *err)
{
    char bus[SOURCE_NAME_MAX] = "";
    const char *equals = strchr(argument, '='), *path = argument;
    uint8_t *bytes = NULL;
    size_t size = 0;

    /* "can0=x.dbc", but "./a=b.dbc" and "dir/a=b.dbc" are files. */
    if (equals && !memchr(argument, '/', (size_t)(equals - argument)) &&
        (size_t)(equals - argument) < sizeof bus) {
        memcpy(bus, argument, (size_t)(equals - argument));
        path = equals + 1;
    }
    int status = judge_request(set, bus, path, err);
    if (!status)
        status = read_file(path, &bytes, &size, err);
    return status ? status : add_owned(set, bus, path, bytes, size, strict, diags, err);
}

/* --- frames --- */

void dbset_route_init(struct dbset_route *route, const struct dbset *set, const char *source_name)
{
    *route = (struct dbset_route){ .set = set };
    if (!set)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->entries[i].bus[0] && !strcmp(set->entries[i].bus, source_name))
            route->entries[route->count++] = (uint8_t)i;
    for (uint32_t i = 0; i < set->count; i++)
        if (!set->entries[i].bus[0])
            route->entries[route->count++] = (uint8_t)i;
}

bool dbset_find(const struct dbset_route *route, uint32_t id, uint16_t flags,
                struct dbset_match *ret_match)
{
    *ret_match = (struct dbset_match){ .message = NULL };
    if (flags & (FRAME_RTR | FRAME_ERR))
        return false;
    for (uint32_t i = 0; i < route->count; i++) {
        const struct dbset_entry *entry = &route->set->entries[route->entries[i]];
        const struct dbc_message *message = dbc_find(entry->dbc, id, flags & FRAME_EFF);
        if (!message)
            continue;
        ret_match->message = message;
        ret_match->entry = route->entries[i];
        ret_match->address = message->is_j1939 ? j1939_source(id) : 0;
        return true;
    }
    return false;
}

/* --- names --- */

static bool serves(const struct dbset_entry *entry, const char *bus)
{
    return !*bus || !entry->bus[0] || !strcmp(entry->bus, bus);
}

static int ambiguous(const struct dbset *set, const struct dbset_signal *first, uint32_t second,
                     const char *message, const char *signal, struct err *err)
{
    const struct dbset_entry *a = &set->entries[first->entry], *b = &set->entries[second];

    return err_plain(err, -EEXIST,
                     "'%s.%s' stands in %s (%s%s) and in %s (%s%s); write bus:%s.%s", message,
                     signal, a->name, a->bus[0] ? "bus " : "every bus", a->bus, b->name,
                     b->bus[0] ? "bus " : "every bus", b->bus, message, signal);
}

/* The reason why a row was left out when the database was loaded, or NULL. */
static const struct dbc_refused *refusal(const struct dbc *dbc, const char *message,
                                         const char *signal)
{
    for (uint32_t i = 0; i < dbc->refused_count; i++) {
        const struct dbc_refused *refused = &dbc->refused[i];
        if (!strcmp(refused->message, message) &&
            (!refused->signal[0] || !strcmp(refused->signal, signal)))
            return refused;
    }
    return NULL;
}

struct nearest {
    const char *kind, *found;
    const char **names;
    uint32_t count;
};

static int report_unknown(const struct nearest *nearest, const char *where, struct err *err)
{
    const char *near = NULL;

    if (nearest->names)
        near = err_nearest(nearest->found, nearest->names, nearest->count);
    return err_plain(err, -ENOENT, "unknown %s '%s'%s%s%s%s", nearest->kind, nearest->found, where,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int unknown_message(const struct dbset *set, const char *bus, const char *message,
                           struct err *err)
{
    struct nearest nearest = { .kind = "message", .found = message };
    uint32_t total = 0;

    for (uint32_t i = 0; i < set->count; i++)
        total += set->entries[i].dbc->message_count;
    nearest.names = malloc((total ? total : 1) * sizeof *nearest.names);
    for (uint32_t i = 0; nearest.names && i < set->count; i++) {
        const struct dbc *dbc = set->entries[i].dbc;
        for (uint32_t k = 0; serves(&set->entries[i], bus) && k < dbc->message_count; k++)
            nearest.names[nearest.count++] = dbc->messages[k].name;
    }
    char where[SOURCE_NAME_MAX + 32] = "";
    if (!set->count)
        (void)snprintf(where, sizeof where, " (no database is given)");
    else if (*bus)
        (void)snprintf(where, sizeof where, " on bus %s", bus);
    int status = report_unknown(&nearest, where, err);
    free(nearest.names);
    return status;
}

static int unknown_signal(const struct dbset *set, const struct dbc_message *message,
                          uint32_t entry, const char *signal, struct err *err)
{
    struct nearest nearest = { .kind = "signal", .found = signal };
    char where[2 * DBC_NAME_MAX + 64];

    nearest.names = malloc((message->signal_count ? message->signal_count : 1) *
                           sizeof *nearest.names);
    for (uint32_t i = 0; nearest.names && i < message->signal_count; i++)
        nearest.names[nearest.count++] = message->signals[i].name;
    (void)snprintf(where, sizeof where, " in message %s of %s", message->name,
                   set->entries[entry].name);
    int status = report_unknown(&nearest, where, err);
    free(nearest.names);
    return status;
}

static int not_found(const struct dbset *set, const char *bus, const char *message,
                     const char *signal, struct err *err)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct dbset_entry *entry = &set->entries[i];
        const struct dbc_refused *refused =
            serves(entry, bus) ? refusal(entry->dbc, message, signal) : NULL;
        if (refused)
            return err_plain(err, -ENOENT, "'%s.%s' was refused when %s:%u was read: %s", message,
                             signal, entry->dbc->name, refused->line, refused->reason);
    }
    for (uint32_t i = 0; i < set->count; i++) {
        const struct dbc_message *known = dbc_message_by_name(set->entries[i].dbc, message);
        if (serves(&set->entries[i], bus) && known)
            return unknown_signal(set, known, i, signal, err);
    }
    return unknown_message(set, bus, message, err);
}

/* A database of the bus hides one for all, as in dbset_route. */
static bool takes_over(const struct dbset *set, uint32_t first, uint32_t second, const char *bus)
{
    return *bus && !set->entries[first].bus[0] && set->entries[second].bus[0];
}

/* Finds the one database that has both names. Returns 0, -ENOENT with *err untouched, -EEXIST. */
static int search(const struct dbset *set, const char *bus, const char *message,
                  const char *signal, struct dbset_signal *ret_signal, struct err *err)
{
    struct dbset_signal found = { .address = DBSET_ANY_ADDRESS };

    for (uint32_t i = 0; i < set->count; i++) {
        const struct dbset_entry *entry = &set->entries[i];
        const struct dbc_message *m =
            serves(entry, bus) ? dbc_message_by_name(entry->dbc, message) : NULL;
        const struct dbc_signal *s = m ? dbc_signal_by_name(entry->dbc, m, signal) : NULL;
        if (!s || (found.signal && takes_over(set, i, found.entry, bus)))
            continue;
        if (found.signal && !takes_over(set, found.entry, i, bus))
            return ambiguous(set, &found, i, message, signal, err);
        found.entry = i;
        found.message = m;
        found.signal = s;
        (void)snprintf(found.bus, sizeof found.bus, "%s", *bus ? bus : entry->bus);
    }
    if (!found.signal)
        return -ENOENT;
    *ret_signal = found;
    return 0;
}

/* "EEC1@0x21" as "EEC1" and 0x21. False when it has not this form. */
static bool split_address(const char *message, char base[DBC_NAME_MAX + 1], int16_t *ret_address)
{
    const char *at = strrchr(message, '@');
    char *end;

    if (!at || at == message || at - message > DBC_NAME_MAX || at[1] < '0' || at[1] > '9')
        return false;
    unsigned long address = strtoul(at + 1, &end, at[1] == '0' && at[2] == 'x' ? 16 : 10);
    if (*end || address >= J1939_ADDRESS_NULL)
        return false;
    (void)snprintf(base, DBC_NAME_MAX + 1, "%.*s", (int)(at - message), message);
    *ret_address = (int16_t)address;
    return true;
}

int dbset_signal_find(const struct dbset *set, const char *bus, const char *message,
                      const char *signal, struct dbset_signal *ret_signal, struct err *err)
{
    char base[DBC_NAME_MAX + 1];
    int16_t address = DBSET_ANY_ADDRESS;
    struct dbset_signal found = { .message = NULL };

    bus = bus ? bus : "";
    int status = search(set, bus, message, signal, &found, err);
    if (status == -ENOENT && split_address(message, base, &address)) {
        message = base;
        status = search(set, bus, message, signal, &found, err);
    }
    if (status == -ENOENT)
        return not_found(set, bus, message, signal, err);
    if (status || !found.message)
        return status;
    if (address != DBSET_ANY_ADDRESS && !found.message->any_source)
        return err_plain(err, -EINVAL, "'%s' takes no source address: it is no J1939 message that "
                         "any source sends", message);
    found.address = address;
    *ret_signal = found;
    return 0;
}

/* Takes a part of a path up to one of `ends`, out of backticks if it stands in them. */
static bool take_part(const char **path, const char *ends, char *part, size_t size)
{
    bool quoted = **path == '`';
    const char *from = *path + quoted;
    size_t length = quoted ? strcspn(from, "`") : strcspn(from, ends);

    if (length == 0 || length >= size || (quoted && from[length] != '`'))
        return false;
    memcpy(part, from, length);
    part[length] = '\0';
    *path = from + length + quoted;
    return true;
}

int dbset_signal_path(const struct dbset *set, const char *path, struct dbset_signal *ret_signal,
                      struct err *err)
{
    char bus[SOURCE_NAME_MAX] = "", message[DBC_NAME_MAX + 1], signal[DBC_NAME_MAX + 1];
    const char *at = path;

    bool good = take_part(&at, ":.", message, sizeof message);
    if (good && *at == ':') {
        good = strlen(message) < sizeof bus;
        (void)snprintf(bus, sizeof bus, "%.*s", (int)sizeof bus - 1, message);
        at++;
        good = good && take_part(&at, ".", message, sizeof message);
    }
    good = good && *at++ == '.' && take_part(&at, "", signal, sizeof signal) && !*at;
    if (!good)
        return err_plain(err, -EINVAL, "'%s' is no signal: expected [bus:]Message.Signal", path);
    return dbset_signal_find(set, bus, message, signal, ret_signal, err);
}
