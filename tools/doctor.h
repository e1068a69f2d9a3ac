/* doctor - what is wrong with a vehicle's set-up and what to do about it. Each check is a pure
 * function of the facts; cmd_doctor.c gathers the facts and prints. */
#ifndef TOOLS_DOCTOR_H
#define TOOLS_DOCTOR_H
#include "daemon/config.h"

#include <stdbool.h>
#include <stddef.h>

#define DOCTOR_TEXT_MAX 768
#define DOCTOR_FINDINGS_MAX 64

enum doctor_level { DOCTOR_GOOD, DOCTOR_WARNING, DOCTOR_FAULT };

struct doctor_finding {
    enum doctor_level level;
    const char *check;            /* "state", "broker", ... */
    char text[DOCTOR_TEXT_MAX];   /* what is */
    char remedy[DOCTOR_TEXT_MAX]; /* what to do; "" when good */
};

/* What the daemon says of itself; zero where none runs. */
struct doctor_daemon {
    bool running;
    int why;                      /* errno of the socket when it does not */
    bool digest_differs;          /* its packs and databases are not those on disk */
    bool degraded;
    char degraded_reason[256];
    uint64_t dropped_kernel, dropped_queue, parked, quarantined, reloads_failed;
    bool upload_connected;
    char upload_error[256], upload_refused[256]; /* in the way now; why the last clip was parked */
};

struct doctor_facts {
    bool config_read;
    char config_error[DOCTOR_TEXT_MAX];     /* first error of the configuration */
    bool generation_read;
    char generation_error[DOCTOR_TEXT_MAX]; /* first error of packs and databases */
    const struct config *config;            /* valid where config_read */
    bool interface_there[SOURCES_MAX], interface_up[SOURCES_MAX];
    uint64_t rmem_max;
    bool may_force_rcvbuf;                  /* CAP_NET_ADMIN */
    int state_errno;                        /* of making a file in the state folder; 0: it works */
    uint64_t disk_free_bytes, disk_used_bytes; /* of its file system; clips of ours */
    int broker_errno;                       /* of connecting to any; 0: one answers */
    char broker_reason[256];                /* why it does not talk to us, or a topic is not there */
    int drop_errno;
    bool clock_set;
    bool group_there;
    uint64_t memory_bytes;
    struct doctor_daemon daemon;
};

/* Runs all checks; returns the number of findings, good ones too. */
uint32_t doctor_check(const struct doctor_facts *facts,
                      struct doctor_finding findings[DOCTOR_FINDINGS_MAX]);

#endif
