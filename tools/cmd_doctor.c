/* roadloop doctor: gathers the facts, prints what is wrong and what to do. It changes nothing. */
#include "daemon/clock.h"
#include "daemon/generation.h"
#include "daemon/memory.h"
#include "proto/wire.h"
#include "tools/ask.h"
#include "tools/cmd.h"
#include "tools/doctor.h"
#include "uploader/kafka_admin.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <jansson.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BROKER_WAIT_MS 2000
#define TALK_WAIT_MS 5000 /* until TLS, password and topics are known to be good */

static const char usage[] =
    "usage: roadloop doctor [--config FILE] [--json]\n"
    "\n"
    "Looks at the configuration, the machine and the daemon, and names a remedy for each fault.\n"
    "Exit status: 0 nothing is wrong, 1 there is a fault.\n";

static void first_error(const struct diags *diags, char text[DOCTOR_TEXT_MAX])
{
    for (uint32_t i = 0; i < diags->count; i++)
        if (diags->items[i].severity == DIAG_ERROR) {
            (void)err_format(&diags->items[i].err, text, DOCTOR_TEXT_MAX);
            return;
        }
}

static void gather_generation(struct doctor_facts *facts, char digest[SHA256_HEX])
{
    static struct diags diags;
    const char *packs[CONFIG_PACKS_MAX], *dbcs[CONFIG_DBCS_MAX];
    const struct config *config = facts->config;
    struct generation *generation = NULL;
    uint8_t bytes[SHA256_BYTES];

    for (uint32_t i = 0; i < config->pack_count; i++)
        packs[i] = config->packs[i];
    for (uint32_t i = 0; i < config->dbc_count; i++)
        dbcs[i] = config->dbcs[i];
    const struct generation_config from = { .packs = packs, .pack_count = config->pack_count,
                                            .dbcs = dbcs, .dbc_count = config->dbc_count };
    facts->generation_read = generation_load(&from, &diags, &generation) == 0;
    first_error(&diags, facts->generation_error);
    if (!generation)
        return;
    generation_digest(generation, bytes);
    hex_from(bytes, sizeof bytes, digest);
    generation_close(generation);
}

static void gather_interfaces(struct doctor_facts *facts)
{
    struct ifaddrs *list = NULL;

    for (uint32_t i = 0; i < facts->config->source_count; i++)
        facts->interface_there[i] = if_nametoindex(facts->config->sources[i].address) != 0;
    if (getifaddrs(&list) < 0)
        return;
    for (const struct ifaddrs *at = list; at; at = at->ifa_next)
        for (uint32_t i = 0; i < facts->config->source_count; i++)
            if (strcmp(at->ifa_name, facts->config->sources[i].address) == 0)
                facts->interface_up[i] = (at->ifa_flags & IFF_UP) != 0;
    freeifaddrs(list);
}

static uint64_t read_number(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[64] = "";

    if (file) {
        (void)!fgets(line, sizeof line, file);
        (void)fclose(file);
    }
    return strtoull(line, NULL, 10);
}

static int try_folder(const char *path)
{
    char name[CONFIG_PATH_MAX + 32];

    (void)snprintf(name, sizeof name, "%s/.doctor-XXXXXX", path);
    int fd = mkstemp(name);
    if (fd < 0)
        return errno;
    (void)close(fd);
    (void)unlink(name);
    return 0;
}

static uint64_t clips_bytes(const char *state)
{
    char path[CONFIG_PATH_MAX + 300];
    uint64_t sum = 0;
    struct stat info;

    (void)snprintf(path, sizeof path, "%s/clips", state);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        (void)snprintf(path, sizeof path, "%s/clips/%s", state, entry->d_name);
        if (lstat(path, &info) == 0 && S_ISREG(info.st_mode))
            sum += (uint64_t)info.st_size;
    }
    if (folder)
        (void)closedir(folder);
    return sum;
}

static void gather_disk(struct doctor_facts *facts)
{
    const char *path = facts->config->store.path;
    struct statvfs info;

    facts->state_errno = try_folder(path);
    if (statvfs(path, &info) == 0)
        facts->disk_free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    facts->disk_used_bytes = clips_bytes(path);
    if (facts->config->upload.transport == CONFIG_TRANSPORT_FILE)
        facts->drop_errno = try_folder(facts->config->upload.drop);
}

static int try_connect(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    int code = 0;
    socklen_t size = sizeof code;

    if (fd < 0)
        return errno;
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
        code = errno;
    else if (poll(&ready, 1, BROKER_WAIT_MS) != 1)
        code = ETIMEDOUT;
    else
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
    (void)close(fd);
    return code;
}

static int try_broker(char *broker)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char *colon = strrchr(broker, ':');
    int code = EHOSTUNREACH;

    if (colon)
        *colon = 0;
    if (getaddrinfo(broker, colon ? colon + 1 : "9092", &hints, &found) != 0)
        return EADDRNOTAVAIL;
    for (const struct addrinfo *at = found; at && code; at = at->ai_next)
        code = try_connect(at);
    freeaddrinfo(found);
    return code;
}

/* Which topics the car needs; the first that is not to be had is the reason. */
static int try_topics(struct kafka_admin *admin, const struct config *config, struct err *err)
{
    static const enum wire_topic needed[] = { WIRE_TOPIC_CLIP, WIRE_TOPIC_RECEIPT,
                                              WIRE_TOPIC_ARTIFACT, WIRE_TOPIC_STATUS };
    struct kafka_topic topic = { .config_count = 0 };
    int rc = kafka_admin_brokers(admin, TALK_WAIT_MS, err);

    rc = rc < 0 ? rc : 0;
    for (size_t i = 0; !rc && i < sizeof needed / sizeof needed[0]; i++)
        if (wire_topic_name(needed[i], config->upload.environment, topic.name) == 0)
            rc = kafka_admin_describe(admin, &topic, TALK_WAIT_MS, err);
    return rc;
}

/* A connection of our own with the configuration's settings: it works also when no daemon runs. */
static void talk(struct doctor_facts *facts)
{
    const struct config *config = facts->config;
    struct kafka_setting settings[CONFIG_SETTINGS_MAX];
    struct kafka_admin *admin;
    struct err err;

    for (uint32_t i = 0; i < config->upload.setting_count; i++)
        settings[i] = (struct kafka_setting){ config->upload.settings[i].key,
                                              config->upload.settings[i].value };
    const struct kafka_config kafka = { .bootstrap = config->upload.brokers,
                                        .client_id = "roadloop-doctor", .settings = settings,
                                        .setting_count = config->upload.setting_count };
    int rc = kafka_admin_open(&kafka, &err, &admin);
    if (!rc) {
        rc = try_topics(admin, config, &err);
        kafka_admin_close(admin);
    }
    if (rc)
        (void)snprintf(facts->broker_reason, sizeof facts->broker_reason, "%.255s", err.text);
}

static void gather_broker(struct doctor_facts *facts)
{
    char list[CONFIG_TEXT_MAX], *rest = list, *broker;

    if (facts->config->upload.transport != CONFIG_TRANSPORT_KAFKA)
        return;
    (void)snprintf(list, sizeof list, "%s", facts->config->upload.brokers);
    facts->broker_errno = EADDRNOTAVAIL;
    while (facts->broker_errno && (broker = strsep(&rest, ",")))
        facts->broker_errno = try_broker(broker);
    if (!facts->broker_errno)
        talk(facts);
}

static uint64_t sum_of(const json_t *sources, const char *key)
{
    uint64_t sum = 0;
    size_t i;
    json_t *source;

    json_array_foreach(sources, i, source)
        sum += (uint64_t)json_integer_value(json_object_get(source, key));
    return sum;
}

static void copy(char to[256], const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    (void)snprintf(to, 256, "%s", text ? text : "");
}

static void read_status(struct doctor_daemon *daemon, const json_t *root, const char *digest)
{
    const json_t *store = json_object_get(root, "store"), *upload = json_object_get(root, "upload");
    const json_t *sources = json_object_get(root, "sources");
    const char *running = json_string_value(json_object_get(root, "digest"));

    daemon->running = true;
    daemon->digest_differs = running && digest[0] && strcmp(running, digest) != 0;
    daemon->degraded = json_is_true(json_object_get(store, "degraded"));
    copy(daemon->degraded_reason, store, "reason");
    daemon->quarantined = (uint64_t)json_integer_value(json_object_get(store, "quarantined"));
    daemon->parked = (uint64_t)json_integer_value(
        json_object_get(json_object_get(root, "clips"), "parked"));
    daemon->dropped_kernel = sum_of(sources, "dropped_kernel");
    daemon->dropped_queue = sum_of(sources, "dropped_queue");
    daemon->reloads_failed = (uint64_t)json_integer_value(json_object_get(root, "reloads_failed"));
    daemon->upload_connected = json_is_true(json_object_get(upload, "connected"));
    copy(daemon->upload_error, upload, "error");
    copy(daemon->upload_refused, upload, "refused");
}

static void gather_daemon(struct doctor_facts *facts, const char *digest)
{
    static char answer[ASK_ANSWER_MAX];
    struct err err;
    int code = ask(facts->config->control.socket, "{\"do\":\"status\"}", answer, &err);
    json_t *root = code < 0 ? NULL : json_loads(answer, 0, NULL);

    facts->daemon.why = code < 0 ? -code : EPROTO;
    if (root)
        read_status(&facts->daemon, root, digest);
    json_decref(root);
}

static void gather(struct doctor_facts *facts, struct memory_row rows[MEMORY_ROWS])
{
    char digest[SHA256_HEX] = "";
    struct clock_reading now;

    clock_read(&now);
    facts->clock_set = clock_is_set(now.wall_ns);
    facts->rmem_max = read_number("/proc/sys/net/core/rmem_max");
    facts->may_force_rcvbuf = geteuid() == 0;
    facts->group_there = getgrnam(facts->config->control.group) != NULL;
    facts->memory_bytes = memory_table(facts->config, rows);
    gather_generation(facts, digest);
    gather_interfaces(facts);
    gather_disk(facts);
    gather_broker(facts);
    gather_daemon(facts, digest);
}

/* --- printing --- */

static void print_memory(const struct memory_row rows[MEMORY_ROWS], uint64_t sum)
{
    (void)printf("memory, fixed at start:\n");
    for (uint32_t i = 0; i < MEMORY_ROWS; i++)
        (void)printf("  %-28s %6.1f MiB\n", rows[i].name, (double)rows[i].bytes / 1048576.0);
    (void)printf("  %-28s %6.1f MiB of %.0f\n", "sum", (double)sum / 1048576.0,
                 (double)MEMORY_BUDGET_BYTES / 1048576.0);
}

static void print_text(const struct doctor_finding *findings, uint32_t count)
{
    static const char *const levels[] = { "good   ", "warning", "FAULT  " };

    for (uint32_t i = 0; i < count; i++) {
        (void)printf("%s  %-8s  %s\n", levels[findings[i].level], findings[i].check,
                     findings[i].text);
        if (findings[i].remedy[0])
            (void)printf("                   do: %s\n", findings[i].remedy);
    }
}

static void print_json(const struct doctor_finding *findings, uint32_t count)
{
    static const char *const levels[] = { "good", "warning", "fault" };

    for (uint32_t i = 0; i < count; i++) {
        json_t *line = json_pack("{ssssssss}", "level", levels[findings[i].level], "check",
                                 findings[i].check, "text", findings[i].text, "remedy",
                                 findings[i].remedy);
        char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
        (void)printf("%s\n", text ? text : "{}");
        free(text);
        json_decref(line);
    }
}

static int examine(const char *path, bool json)
{
    static struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    static struct doctor_facts facts;
    static struct config config;
    static struct diags diags;
    struct memory_row rows[MEMORY_ROWS];
    int status = CMD_GOOD;

    facts.config = &config;
    facts.config_read = config_load(path, &diags, &config) == 0;
    first_error(&diags, facts.config_error);
    if (facts.config_read)
        gather(&facts, rows);
    uint32_t count = doctor_check(&facts, findings);
    if (json)
        print_json(findings, count);
    else
        print_text(findings, count);
    if (facts.config_read && !json)
        print_memory(rows, facts.memory_bytes);
    for (uint32_t i = 0; i < count; i++)
        if (findings[i].level == DOCTOR_FAULT)
            status = CMD_NO;
    return status;
}

int cmd_doctor(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    const char *config = ASK_CONFIG_DEFAULT;
    bool json = false;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c': config = optarg; break;
        case 'j': json = true; break;
        case 'h': (void)fputs(usage, stdout); return CMD_GOOD;
        default: return cmd_usage("doctor", usage, NULL);
        }
    }
    if (optind < argc)
        return cmd_usage("doctor", usage, "it takes no arguments");
    return examine(config, json);
}
