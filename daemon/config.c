#include "daemon/config.h"

#include "daemon/config_schema.h"
#include "proto/yaml.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB INT64_C(1048576)
#define NAMES_MAX 64

/* What is not a plain value: lists and the free map of librdkafka's settings. */
static const char *const list_keys[] = { "sources", "packs", "databases" };
static const char *const source_keys[] = { "name", "can", "datagram", "buffer", "stamps" };

struct reading {
    const struct yaml_tree *tree;
    struct diags *diags;
    struct config *config;
    char folder[CONFIG_PATH_MAX]; /* of the file, with its '/', or "" */
};

void config_init(struct config *config)
{
    memset(config, 0, sizeof *config);
    shaping_init(&config->shaping);
    config->reorder_ns = 5 * NS_PER_MS;
    (void)snprintf(config->store.path, sizeof config->store.path, "/var/lib/roadloop");
    config->store.quota_bytes = 2048 * MIB;
    config->store.writes_per_day_bytes = 400 * MIB;
    config->store.chunk_bytes = CHUNK_BYTES_DEFAULT;
    (void)snprintf(config->upload.environment, sizeof config->upload.environment, "dev");
    config->upload.rate_bytes = MIB;
    config->upload.burst_bytes = MIB;
    (void)snprintf(config->control.socket, sizeof config->control.socket,
                   "/run/roadloop/control.sock");
    config->metrics.every_ns = 15 * NS_PER_S;
}

/* --- complaints --- */

__attribute__((format(printf, 3, 4)))
static void complain(struct reading *reading, const struct yaml_node *node, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    diags_add(reading->diags, DIAG_ERROR, "", yaml_file(reading->tree), node->line, node->column,
              "%s", text);
}

static void unknown_key(struct reading *reading, const struct yaml_node *node, const char *where,
                        const char *const *names, size_t count)
{
    const char *near = err_nearest(node->key, names, count);

    diags_add(reading->diags, DIAG_ERROR, "", yaml_file(reading->tree), node->key_line,
              node->key_column, "unknown key '%.64s'%s%s%s%s%s", node->key,
              where[0] ? " in " : "", where,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* --- values --- */

static bool is_name(const char *text)
{
    return text[0] && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789_.-") == strlen(text);
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

static void copy_text(struct reading *reading, const struct yaml_node *node, const char *text,
                      char *to, size_t size)
{
    if (strlen(text) >= size)
        complain(reading, node, "'%.40s...' is too long: at most %zu bytes", text, size - 1);
    else
        memcpy(to, text, strlen(text) + 1);
}

static void copy_path(struct reading *reading, const struct yaml_node *node, const char *text,
                      char *to, size_t size)
{
    char path[2 * CONFIG_PATH_MAX];
    const char *folder = text[0] && text[0] != '/' ? reading->folder : "";

    if (strlen(text) >= CONFIG_PATH_MAX) {
        complain(reading, node, "path of %zu bytes: at most %d", strlen(text), CONFIG_PATH_MAX - 1);
        return;
    }
    (void)snprintf(path, sizeof path, "%s%s", folder, text);
    copy_text(reading, node, path, to, size);
}

/* "16777216 bytes (16MiB)" is what people compare with; exact units only. */
static const char *size_words(int64_t bytes, char text[32])
{
    if (bytes % MIB == 0)
        (void)snprintf(text, 32, "%" PRId64 "MiB", bytes / MIB);
    else if (bytes % 1024 == 0)
        (void)snprintf(text, 32, "%" PRId64 "KiB", bytes / 1024);
    else
        (void)snprintf(text, 32, "%" PRId64, bytes);
    return text;
}

static const char *duration_words(int64_t ns, char text[32])
{
    if (ns % NS_PER_S == 0)
        (void)snprintf(text, 32, "%" PRId64 "s", ns / NS_PER_S);
    else
        (void)snprintf(text, 32, "%" PRId64 "ms", ns / NS_PER_MS);
    return text;
}

static void take_number(struct reading *reading, const struct yaml_node *node,
                        const struct config_row *row, void *to)
{
    bool is_size = row->type == CONFIG_SIZE;
    char low[32], high[32];
    int64_t value = 0;
    int code = is_size ? config_size(node->text, &value) : config_duration(node->text, &value);

    if (code == -EINVAL) {
        complain(reading, node, "%s: found '%.40s', expected %s", row->key, node->text,
                 is_size ? "a size such as 16MiB, 128KiB or 1MB"
                         : "a duration such as 10s, 5ms or 2min");
        return;
    }
    if (code < 0 || value < row->low || value > row->high) {
        complain(reading, node, "%s: %.40s is outside %s to %s", row->key, node->text,
                 is_size ? size_words(row->low, low) : duration_words(row->low, low),
                 is_size ? size_words(row->high, high) : duration_words(row->high, high));
        return;
    }
    *(int64_t *)to = value;
}

static void take_count(struct reading *reading, const struct yaml_node *node,
                       const struct config_row *row, uint32_t *to)
{
    static const struct config_unit none[] = { { "", 1 } };
    int64_t value = 0;

    if (config_number(node->text, none, 1, &value) < 0 || value < row->low || value > row->high)
        complain(reading, node, "%s: found '%.40s', expected a number from %" PRId64 " to %" PRId64,
                 row->key, node->text, row->low, row->high);
    else
        *to = (uint32_t)value;
}

/* Returns the index, or -1 after complaining. */
static int take_choice(struct reading *reading, const struct yaml_node *node, const char *key,
                       const char *const *choices)
{
    char list[128] = "";
    size_t length = 0;
    int i;

    for (i = 0; choices[i]; i++) {
        if (strcmp(choices[i], node->text) == 0)
            return i;
        length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "",
                                   choices[i]);
    }
    complain(reading, node, "%s: found '%.40s', expected one of %s", key, node->text, list);
    return -1;
}

static void take_switch(struct reading *reading, const struct yaml_node *node, const char *key,
                        bool *to)
{
    static const char *const choices[] = { "no", "yes", NULL };
    int i = take_choice(reading, node, key, choices);

    if (i >= 0)
        *to = i == 1;
}

static void take_value(struct reading *reading, const struct yaml_node *node,
                       const struct config_row *row)
{
    char *to = (char *)reading->config + row->offset;
    size_t size = (size_t)row->high;
    int choice;

    switch (row->type) {
    case CONFIG_NAME:
        if (!is_name(node->text))
            complain(reading, node, "%s: '%.64s' is no name: letters, digits, _ . - only", row->key,
                     node->text);
        else
            copy_text(reading, node, node->text, to, size);
        break;
    case CONFIG_WORDS:
        if (!is_printable(node->text))
            complain(reading, node, "%s: only printable ASCII", row->key);
        else
            copy_text(reading, node, node->text, to, size);
        break;
    case CONFIG_FILE: copy_path(reading, node, node->text, to, size); break;
    case CONFIG_SIZE:
    case CONFIG_DURATION: take_number(reading, node, row, to); break;
    case CONFIG_COUNT: take_count(reading, node, row, (uint32_t *)(void *)to); break;
    case CONFIG_SWITCH: take_switch(reading, node, row->key, (bool *)(void *)to); break;
    case CONFIG_CHOICE:
        choice = take_choice(reading, node, row->key, row->choices);
        if (choice >= 0)
            *(uint32_t *)(void *)to = (uint32_t)choice;
        break;
    case CONFIG_CODEC:
        if (take_choice(reading, node, row->key, row->choices) >= 0)
            copy_text(reading, node, node->text, to, size);
        break;
    }
}

/* --- lists --- */

static bool is_kind(struct reading *reading, const struct yaml_node *node, enum yaml_kind kind,
                    const char *what)
{
    if (node->kind == kind)
        return true;
    complain(reading, node, "%s: found %s, expected %s", what, yaml_kind_name(node->kind),
             yaml_kind_name(kind));
    return false;
}

static void take_source_key(struct reading *reading, const struct yaml_node *node,
                            struct source_config *source, uint32_t *ret_addresses)
{
    static const char *const stamps[] = { "kernel", "hardware", NULL };
    int64_t bytes;

    if (strcmp(node->key, "name") == 0) {
        if (!is_name(node->text))
            complain(reading, node, "source name '%.40s': letters, digits, _ . - only", node->text);
        copy_text(reading, node, node->text, source->name, sizeof source->name);
    } else if (strcmp(node->key, "can") == 0 || strcmp(node->key, "datagram") == 0) {
        source->kind = node->key[0] == 'c' ? SOURCE_KIND_CAN : SOURCE_KIND_DATAGRAM;
        copy_text(reading, node, node->text, source->address,
                  source->kind == SOURCE_KIND_CAN ? 16 : sizeof source->address);
        ++*ret_addresses;
    } else if (strcmp(node->key, "buffer") == 0) {
        if (config_size(node->text, &bytes) < 0 || bytes > SOURCE_RCVBUF_MAX)
            complain(reading, node, "buffer: found '%.40s', expected a size of at most %dMiB",
                     node->text, SOURCE_RCVBUF_MAX / (int)MIB);
        else
            source->rcvbuf_bytes = (uint32_t)bytes;
    } else if (strcmp(node->key, "stamps") == 0) {
        source->hardware_stamps = take_choice(reading, node, "stamps", stamps) == 1;
    } else {
        unknown_key(reading, node, "a source", source_keys,
                    sizeof source_keys / sizeof source_keys[0]);
    }
}

static void take_source(struct reading *reading, const struct yaml_node *node)
{
    struct config *config = reading->config;
    struct source_config source = { .rcvbuf_bytes = 8 * (uint32_t)MIB };
    uint32_t addresses = 0;

    if (!is_kind(reading, node, YAML_MAP, "a source"))
        return;
    for (const struct yaml_node *child = node->first; child; child = child->next)
        if (is_kind(reading, child, YAML_TEXT, child->key))
            take_source_key(reading, child, &source, &addresses);
    if (!source.name[0])
        complain(reading, node, "a source needs a name");
    if (addresses != 1)
        complain(reading, node, "a source needs one address: can: INTERFACE, or datagram: "
                                "udp:A.B.C.D:PORT or unix:/PATH");
    for (uint32_t i = 0; i < config->source_count; i++)
        if (strcmp(config->sources[i].name, source.name) == 0)
            complain(reading, node, "source '%s' is there already", source.name);
    if (config->source_count == SOURCES_MAX) {
        complain(reading, node, "more than %d sources", SOURCES_MAX);
        return;
    }
    memcpy(config->shaping.sources[config->source_count].name, source.name, sizeof source.name);
    config->sources[config->source_count++] = source;
    config->shaping.source_count = config->source_count;
}

static void take_path(struct reading *reading, const struct yaml_node *node, bool has_bus,
                      char list[][CONFIG_PATH_MAX], uint32_t max, uint32_t *count)
{
    char path[CONFIG_PATH_MAX] = "", whole[CONFIG_PATH_MAX + SOURCE_NAME_MAX + 1];

    if (!is_kind(reading, node, YAML_TEXT, "an entry"))
        return;
    const char *file = node->text, *equals = has_bus ? strchr(file, '=') : NULL;
    size_t bus = equals ? (size_t)(equals + 1 - file) : 0;
    if (*count == max || bus > SOURCE_NAME_MAX) {
        complain(reading, node, bus > SOURCE_NAME_MAX ? "the name of the bus is too long (%.40s)"
                                                      : "'%.40s': the list is full", node->text);
        return;
    }
    copy_path(reading, node, file + bus, path, sizeof path);
    (void)snprintf(whole, sizeof whole, "%.*s%s", (int)bus, file, path);
    copy_text(reading, node, whole, list[(*count)++], CONFIG_PATH_MAX);
}

static void take_list(struct reading *reading, const struct yaml_node *node)
{
    struct config *config = reading->config;

    if (!is_kind(reading, node, YAML_LIST, node->key))
        return;
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        if (strcmp(node->key, "sources") == 0)
            take_source(reading, item);
        else if (strcmp(node->key, "packs") == 0)
            take_path(reading, item, false, config->packs, CONFIG_PACKS_MAX, &config->pack_count);
        else
            take_path(reading, item, true, config->dbcs, CONFIG_DBCS_MAX, &config->dbc_count);
    }
}

static void take_settings(struct reading *reading, const struct yaml_node *node)
{
    struct config *config = reading->config;

    if (!is_kind(reading, node, YAML_MAP, "settings"))
        return;
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        if (!is_kind(reading, item, YAML_TEXT, item->key))
            continue;
        if (config->upload.setting_count == CONFIG_SETTINGS_MAX) {
            complain(reading, item, "more than %d settings", CONFIG_SETTINGS_MAX);
            return;
        }
        struct config_setting *setting = &config->upload.settings[config->upload.setting_count++];
        copy_text(reading, item, item->key, setting->key, sizeof setting->key);
        copy_text(reading, item, item->text, setting->value, sizeof setting->value);
    }
}

/* --- the document --- */

static const struct config_row *find_row(const char *section, const char *key)
{
    for (uint32_t i = 0; i < config_row_count; i++)
        if (strcmp(config_rows[i].section, section) == 0 && strcmp(config_rows[i].key, key) == 0)
            return &config_rows[i];
    return NULL;
}

static bool has_section(const char *section)
{
    for (uint32_t i = 0; section[0] && i < config_row_count; i++)
        if (strcmp(config_rows[i].section, section) == 0)
            return true;
    return false;
}

static void add_name(const char **names, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(names[i], name) == 0)
            return;
    assert(*count < NAMES_MAX);
    names[(*count)++] = name;
}

static void unknown_here(struct reading *reading, const struct yaml_node *node, const char *section)
{
    const char *names[NAMES_MAX];
    size_t count = 0;

    for (uint32_t i = 0; i < config_row_count; i++) {
        if (strcmp(config_rows[i].section, section) == 0)
            add_name(names, &count, config_rows[i].key);
        else if (!section[0])
            add_name(names, &count, config_rows[i].section);
    }
    for (size_t i = 0; !section[0] && i < sizeof list_keys / sizeof list_keys[0]; i++)
        add_name(names, &count, list_keys[i]);
    unknown_key(reading, node, section, names, count);
}

static void take_entry(struct reading *reading, const struct yaml_node *node, const char *section)
{
    const struct config_row *row = find_row(section, node->key);

    if (!row)
        unknown_here(reading, node, section);
    else if (is_kind(reading, node, YAML_TEXT, node->key))
        take_value(reading, node, row);
}

static bool is_list_key(const char *key)
{
    for (size_t i = 0; i < sizeof list_keys / sizeof list_keys[0]; i++)
        if (strcmp(list_keys[i], key) == 0)
            return true;
    return false;
}

static void take_top(struct reading *reading, const struct yaml_node *node)
{
    if (is_list_key(node->key)) {
        take_list(reading, node);
        return;
    }
    if (!has_section(node->key)) {
        take_entry(reading, node, "");
        return;
    }
    if (!is_kind(reading, node, YAML_MAP, node->key))
        return;
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        if (strcmp(node->key, "upload") == 0 && strcmp(child->key, "settings") == 0)
            take_settings(reading, child);
        else
            take_entry(reading, child, node->key);
    }
}

/* What no single key can see. */
static void check_recording(struct reading *reading, const struct yaml_node *recording)
{
    struct config *config = reading->config;
    const struct yaml_node *wall = yaml_get(recording, "wall_start");

    if (config->recording.path[0] && config->source_count)
        complain(reading, recording,
                 "a recording and live sources exclude each other: remove one of them");
    config->recording.wall_known = config->recording.wall_start[0] != 0;
    if (config->recording.wall_known &&
        config_wall(config->recording.wall_start, &config->recording.wall_start_ns) < 0)
        complain(reading, wall, "wall_start: found '%.40s', expected UTC such as "
                                "2018-08-02T08:34:47Z", wall->text);
}

static void check_whole(struct reading *reading, const struct yaml_node *root)
{
    const struct config *config = reading->config;
    const struct yaml_node *upload = yaml_get(root, "upload");

    check_recording(reading, yaml_get(root, "recording"));
    if (config->upload.transport == CONFIG_TRANSPORT_KAFKA && !config->upload.brokers[0])
        complain(reading, upload, "transport kafka needs brokers: HOST:PORT[,HOST:PORT...]");
    if (config->upload.transport == CONFIG_TRANSPORT_FILE && !config->upload.drop[0])
        complain(reading, upload, "transport file needs drop: FOLDER");
    if (config->upload.burst_bytes < config->store.chunk_bytes)
        complain(reading, upload ? upload : root,
                 "burst (%" PRId64 " bytes) must hold one chunk (%" PRId64 " bytes)",
                 config->upload.burst_bytes, config->store.chunk_bytes);
}

static void take_folder(struct reading *reading, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash + 1 - path) : 0;

    if (length < sizeof reading->folder)
        memcpy(reading->folder, path, length);
}

static int read_tree(struct yaml_tree *tree, const char *path, struct diags *diags,
                     struct config *ret_config)
{
    struct config *config = calloc(1, sizeof *config);
    struct reading reading = { .tree = tree, .diags = diags, .config = config };
    const struct yaml_node *root = yaml_root(tree);
    uint32_t before = diags->errors;

    if (!config)
        return -ENOMEM;
    config_init(config);
    (void)snprintf(config->file, sizeof config->file, "%s", path);
    take_folder(&reading, path);
    if (is_kind(&reading, root, YAML_MAP, "the configuration")) {
        for (const struct yaml_node *node = root->first; node; node = node->next)
            take_top(&reading, node);
        check_whole(&reading, root);
    }
    int code = diags->errors == before ? 0 : -EBADMSG;
    if (code == 0)
        *ret_config = *config;
    free(config);
    return code;
}

static int finish(int code, struct yaml_tree *tree, const struct err *err, const char *path,
                  struct diags *diags, struct config *ret_config)
{
    if (code < 0) {
        diags_add(diags, DIAG_ERROR, "", err->file, err->line, err->column, "%s", err->text);
        return code;
    }
    code = read_tree(tree, path, diags, ret_config);
    yaml_close(tree);
    return code;
}

int config_load(const char *path, struct diags *diags, struct config *ret_config)
{
    struct yaml_tree *tree = NULL;
    struct err err;

    int code = yaml_open_file(path, &err, &tree);
    return finish(code, tree, &err, path, diags, ret_config);
}

int config_parse(const void *bytes, size_t size, const char *path, struct diags *diags,
                 struct config *ret_config)
{
    struct yaml_tree *tree = NULL;
    struct err err;

    int code = yaml_open(bytes, size, path, &err, &tree);
    return finish(code, tree, &err, path, diags, ret_config);
}
