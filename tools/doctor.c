#include "tools/doctor.h"

#include "daemon/memory.h"
#include "uploader/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MIB UINT64_C(1048576)

struct list {
    struct doctor_finding *items;
    uint32_t count;
};

__attribute__((format(printf, 4, 5)))
static struct doctor_finding *add(struct list *list, enum doctor_level level, const char *check,
                                  const char *format, ...)
{
    static struct doctor_finding beyond; /* more than fit are not shown */
    struct doctor_finding *item = list->count < DOCTOR_FINDINGS_MAX ? &list->items[list->count++]
                                                                    : &beyond;
    va_list args;

    item->level = level;
    item->check = check;
    item->remedy[0] = 0;
    va_start(args, format);
    (void)vsnprintf(item->text, sizeof item->text, format, args);
    va_end(args);
    return item;
}

__attribute__((format(printf, 2, 3)))
static void remedy(struct doctor_finding *item, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(item->remedy, sizeof item->remedy, format, args);
    va_end(args);
}

/* What a broker says, with the remedy of its kind where it is of one (uploader/trouble.h). */
static void trouble(struct list *list, enum doctor_level level, const char *check,
                    const char *reason, const char *otherwise)
{
    const struct trouble *kind = trouble_of(reason);

    remedy(add(list, level, check, "%s%s%s", kind ? kind->name : "", kind ? ": " : "", reason), "%s",
           kind ? kind->remedy : otherwise);
}

static void check_config(const struct doctor_facts *facts, struct list *list)
{
    if (facts->config_read)
        (void)add(list, DOCTOR_GOOD, "config", "%s reads well", facts->config->file);
    else
        remedy(add(list, DOCTOR_FAULT, "config", "%s", facts->config_error),
               "correct that place; `roadloopd --check-config --config FILE` says when it is good");
}

static void check_rules(const struct doctor_facts *facts, struct list *list)
{
    if (facts->generation_read)
        (void)add(list, DOCTOR_GOOD, "rules", "%u packs and %u databases read well",
                  facts->config->pack_count, facts->config->dbc_count);
    else
        remedy(add(list, DOCTOR_FAULT, "rules", "%s", facts->generation_error),
               "put the file there or correct `databases` and `packs`; a signal that no database "
               "has often means the DBC of another vehicle line");
}

static void check_interfaces(const struct doctor_facts *facts, struct list *list)
{
    const struct config *config = facts->config;

    if (!config->source_count && !config->recording.path[0])
        remedy(add(list, DOCTOR_WARNING, "sources", "there is no source"),
               "add `sources:` (can: can0), or a `recording:`");
    for (uint32_t i = 0; i < config->source_count; i++) {
        const struct source_config *source = &config->sources[i];
        if (source->kind != SOURCE_KIND_CAN)
            continue;
        if (!facts->interface_there[i])
            remedy(add(list, DOCTOR_FAULT, "sources", "source %s: there is no interface '%s'",
                       source->name, source->address),
                   "`ip -details link show type can` lists what is there; load the driver, or "
                   "correct `can: %s`", source->address);
        else if (!facts->interface_up[i])
            remedy(add(list, DOCTOR_FAULT, "sources", "source %s: interface '%s' is down",
                       source->name, source->address),
                   "`ip link set %s up type can bitrate 500000 listen-only on` (systemd-networkd "
                   "does it at boot)", source->address);
        else
            (void)add(list, DOCTOR_GOOD, "sources", "source %s: interface '%s' is up",
                      source->name, source->address);
    }
}

static void check_buffers(const struct doctor_facts *facts, struct list *list)
{
    for (uint32_t i = 0; i < facts->config->source_count; i++) {
        const struct source_config *source = &facts->config->sources[i];
        if (facts->may_force_rcvbuf || source->rcvbuf_bytes <= facts->rmem_max)
            continue;
        remedy(add(list, DOCTOR_FAULT, "buffers",
                   "source %s asks for a receive buffer of %u bytes; net.core.rmem_max clips it to "
                   "%" PRIu64, source->name, source->rcvbuf_bytes, facts->rmem_max),
               "install config/sysctl-roadloop.conf in /etc/sysctl.d, or "
               "`sysctl -w net.core.rmem_max=%u`", source->rcvbuf_bytes);
        return;
    }
    (void)add(list, DOCTOR_GOOD, "buffers", "the kernel gives the receive buffers asked for");
}

static void check_state(const struct doctor_facts *facts, struct list *list)
{
    const char *path = facts->config->store.path;

    if (facts->state_errno == 0)
        (void)add(list, DOCTOR_GOOD, "state", "%s can be written", path);
    else if (facts->state_errno == ENOENT)
        remedy(add(list, DOCTOR_FAULT, "state", "%s is not there", path),
               "`install -d -m 0700 -o roadloop %s`; systemd's StateDirectory= does it", path);
    else
        remedy(add(list, DOCTOR_FAULT, "state", "%s cannot be written: %s", path,
                   strerror(facts->state_errno)),
               facts->state_errno == EROFS ? "remount it read-write; a file system that turned "
                                             "read-only has had errors: `dmesg`"
                                           : "`chown roadloop %s`", path);
}

static void check_disk(const struct doctor_facts *facts, struct list *list)
{
    uint64_t quota = (uint64_t)facts->config->store.quota_bytes;
    uint64_t room = facts->disk_free_bytes + facts->disk_used_bytes;

    if (facts->state_errno)
        return;
    if (room < quota)
        remedy(add(list, DOCTOR_FAULT, "disk",
                   "store.quota is %" PRIu64 " MiB, but the disk has %" PRIu64 " MiB for it",
                   quota / MIB, room / MIB),
               "lower store.quota below %" PRIu64 "MiB, or free space", room / MIB);
    else if (facts->disk_used_bytes > quota / 100 * 95)
        remedy(add(list, DOCTOR_WARNING, "disk", "clips use %" PRIu64 " of %" PRIu64 " MiB: the "
                   "least important are being evicted", facts->disk_used_bytes / MIB, quota / MIB),
               "check the upload, or raise store.quota");
    else
        (void)add(list, DOCTOR_GOOD, "disk", "clips use %" PRIu64 " of %" PRIu64 " MiB",
                  facts->disk_used_bytes / MIB, quota / MIB);
}

static void check_far_end(const struct doctor_facts *facts, struct list *list)
{
    const struct config *config = facts->config;

    if (config->upload.transport == CONFIG_TRANSPORT_KAFKA && facts->broker_errno)
        remedy(add(list, DOCTOR_FAULT, "broker", "no broker of %s answers: %s",
                   config->upload.brokers, strerror(facts->broker_errno)),
               "check upload.brokers, name resolution, and the firewall; clips wait on disk "
               "meanwhile");
    else if (config->upload.transport == CONFIG_TRANSPORT_KAFKA && facts->broker_reason[0])
        trouble(list, DOCTOR_FAULT, "broker", facts->broker_reason,
                "check upload.brokers and upload.settings; clips wait on disk meanwhile");
    else if (config->upload.transport == CONFIG_TRANSPORT_KAFKA)
        (void)add(list, DOCTOR_GOOD, "broker", "%s answers", config->upload.brokers);
    else if (config->upload.transport == CONFIG_TRANSPORT_FILE && facts->drop_errno)
        remedy(add(list, DOCTOR_FAULT, "drop", "upload.drop %s cannot be written: %s",
                   config->upload.drop, strerror(facts->drop_errno)),
               "mount or make the folder and give it to user roadloop");
    else if (config->upload.transport == CONFIG_TRANSPORT_NONE)
        (void)add(list, DOCTOR_GOOD, "broker", "transport none: clips stay in the vehicle");
}

static void check_clock(const struct doctor_facts *facts, struct list *list)
{
    if (facts->clock_set)
        (void)add(list, DOCTOR_GOOD, "clock", "the wall clock is set");
    else
        remedy(add(list, DOCTOR_FAULT, "clock", "the wall clock is not set: clips get no date"),
               "set it by GNSS, NTP or PTP (`timedatectl`); capture does not wait for it");
}

static void check_group(const struct doctor_facts *facts, struct list *list)
{
    if (facts->config->control.group[0] && !facts->group_there)
        remedy(add(list, DOCTOR_FAULT, "control", "control.group: there is no group '%s'",
                   facts->config->control.group),
               "`groupadd --system %s`, or correct control.group", facts->config->control.group);
}

static void check_memory(const struct doctor_facts *facts, struct list *list)
{
    if (facts->memory_bytes <= MEMORY_BUDGET_BYTES)
        (void)add(list, DOCTOR_GOOD, "memory", "%" PRIu64 " MiB planned of %" PRIu64 " MiB",
                  facts->memory_bytes / MIB, MEMORY_BUDGET_BYTES / MIB);
    else
        remedy(add(list, DOCTOR_FAULT, "memory", "%" PRIu64 " MiB planned, the budget is %" PRIu64
                   " MiB", facts->memory_bytes / MIB, MEMORY_BUDGET_BYTES / MIB),
               "lower ring.bytes, ring.open or ring.pins, or give the unit a larger MemoryHigh=");
}

static void check_data(const struct doctor_daemon *daemon, struct list *list)
{
    if (daemon->degraded)
        remedy(add(list, DOCTOR_FAULT, "store", "the store is degraded: %s",
                   daemon->degraded_reason),
               "free space or repair the disk; it recovers by itself");
    if (daemon->quarantined)
        remedy(add(list, DOCTOR_WARNING, "store", "%" PRIu64 " segments are damaged (*.bad)",
                   daemon->quarantined), "check the flash; `roadloop inspect --verify FILE`");
    if (daemon->parked)
        remedy(add(list, DOCTOR_WARNING, "upload", "%" PRIu64 " clips are parked", daemon->parked),
               "`roadloop where CLIP` says why; `roadloop retry CLIP` sends it again");
    if (daemon->parked && daemon->upload_refused[0])
        trouble(list, DOCTOR_WARNING, "upload", daemon->upload_refused,
                "`roadloop where CLIP` says more");
    if (daemon->dropped_kernel || daemon->dropped_queue)
        remedy(add(list, DOCTOR_WARNING, "loss", "frames were lost: %" PRIu64 " in the kernel, %"
                   PRIu64 " in queues", daemon->dropped_kernel, daemon->dropped_queue),
               "raise `buffer` and net.core.rmem_max, or give the unit more CPU");
    if (daemon->upload_error[0])
        trouble(list, DOCTOR_WARNING, "upload", daemon->upload_error,
                "check the network, the brokers and upload.settings");
}

static void check_daemon(const struct doctor_facts *facts, struct list *list)
{
    const struct doctor_daemon *daemon = &facts->daemon;

    if (!daemon->running) {
        remedy(add(list, DOCTOR_FAULT, "daemon", "%s: %s", facts->config->control.socket,
                   daemon->why == EACCES ? "this user may not ask the daemon"
                                         : "no daemon runs there"),
               daemon->why == EACCES ? "join group roadloop, or use sudo"
                                     : "`systemctl start roadloopd`; `journalctl -u roadloopd` "
                                       "says why it ended");
        return;
    }
    (void)add(list, DOCTOR_GOOD, "daemon", "roadloopd answers");
    if (daemon->digest_differs)
        remedy(add(list, DOCTOR_FAULT, "hashes", "packs or databases on disk are not those that "
                   "the daemon runs with (their SHA-256 differ)"),
               "`systemctl reload roadloopd`, or put the right files back");
    if (daemon->reloads_failed)
        remedy(add(list, DOCTOR_WARNING, "reload", "%" PRIu64 " reloads were refused",
                   daemon->reloads_failed), "`roadloop status` shows the last reason");
    check_data(daemon, list);
}

uint32_t doctor_check(const struct doctor_facts *facts,
                      struct doctor_finding findings[DOCTOR_FINDINGS_MAX])
{
    static void (*const checks[])(const struct doctor_facts *, struct list *) = {
        check_rules, check_interfaces, check_buffers, check_state, check_disk, check_far_end,
        check_clock, check_group, check_memory, check_daemon,
    };
    struct list list = { findings, 0 };

    check_config(facts, &list);
    for (size_t i = 0; facts->config_read && i < sizeof checks / sizeof checks[0]; i++)
        checks[i](facts, &list);
    return list.count;
}
