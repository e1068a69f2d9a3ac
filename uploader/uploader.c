#include "uploader/uploader.h"

#include "uploader/backoff.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 512
#define FILES (SCHEDULER_OPEN_MAX + 2)
#define PSEUDONYMS 4         /* of open clips: a vehicle has one, two after it was changed */
#define RECEIPTS_PER_TURN 64 /* so that sending gets its turn after a long absence */
#define SENDS_PER_TURN 64
#define STATUS_OPAQUE UINT64_MAX /* of a status's report: the scheduler's tokens have 32 bits */
#define LISTEN_RETRY_NS (5 * NS_PER_S)
#define VERIFY_BYTES 65536
/* Without anything in flight nobody would notice that the link is back: after this long it counts
 * as connected, and the next question finds out. */
#define PROBE_NS (60 * NS_PER_S)

static const struct backoff_config backoff_config = { NS_PER_S, 60 * NS_PER_S };

/* A sealed segment that was read through once and found to be what the outbox says. */
struct file {
    int fd; /* -1: free */
    uint8_t clip_id[CLIP_ID_BYTES];
    uint8_t segment;
    uint64_t used; /* for least recently used */
};

struct listening {
    char pseudonym[PSEUDONYM_MAX];
    bool done, late; /* late: a first try failed, and clips may have been answered unheard */
    int64_t retry_ns;
};

struct uploader {
    struct uploader_config config;
    char clips_dir[PATH_BYTES], artifacts_dir[PATH_BYTES];
    struct transport transport;
    struct scheduler *scheduler;
    struct rate rate;
    struct backoff backoff;
    int64_t blocked_until_ns;
    int64_t connected_ns; /* when the transport last said that it is */
    uint64_t random;
    struct file files[FILES];
    uint64_t file_uses;
    struct listening listening[PSEUDONYMS];
    struct wire_status status; /* the latest */
    bool status_due, status_in_flight;
    uint8_t *value; /* WIRE_ARTIFACT_VALUE_MAX */
    struct uploader_stats stats;
};

/* ---- Open and close ---- */

int uploader_open(const struct uploader_config *config, struct transport transport, int64_t now_ns,
                  struct err *err, struct uploader **ret_uploader)
{
    const struct scheduler_config scheduler = { .bytes_per_s = config->rate.bytes_per_s,
                                                .ask_first_ns = config->ask_first_ns,
                                                .receipts = config->receipts,
                                                .ship_artifacts = config->ship_artifacts };
    struct uploader *u = calloc(1, sizeof *u);
    int rc = -ENOMEM;

    if (!u) {
        transport.ops->close(transport.context, 0);
        return err_plain(err, rc, "no memory for the uploader");
    }
    u->config = *config;
    u->transport = transport;
    u->random = config->seed;
    for (unsigned i = 0; i < FILES; i++)
        u->files[i].fd = -1;
    (void)snprintf(u->clips_dir, PATH_BYTES, "%s", config->clips_dir);
    (void)snprintf(u->artifacts_dir, PATH_BYTES, "%s", config->artifacts_dir);
    u->value = malloc(WIRE_ARTIFACT_VALUE_MAX);
    u->scheduler = scheduler_open(&scheduler);
    (void)backoff_init(&u->backoff, &backoff_config);
    if (!u->value || !u->scheduler)
        (void)err_plain(err, rc, "no memory for the uploader");
    else if ((rc = rate_init(&u->rate, &config->rate, now_ns)) != 0)
        (void)err_plain(err, rc, "rate: found %lld bytes/s, burst %lld; expected 1 to %lld and %lld",
                        (long long)config->rate.bytes_per_s, (long long)config->rate.burst_bytes,
                        (long long)RATE_BYTES_PER_S_MAX, (long long)RATE_BURST_BYTES_MAX);
    if (rc) {
        uploader_close(u, 0);
        return rc;
    }
    scheduler_connected(u->scheduler, true, now_ns);
    u->connected_ns = now_ns;
    *ret_uploader = u;
    return 0;
}

void uploader_close(struct uploader *u, int flush_ms)
{
    if (!u)
        return;
    u->transport.ops->close(u->transport.context, flush_ms);
    for (unsigned i = 0; i < FILES; i++)
        if (u->files[i].fd >= 0)
            (void)close(u->files[i].fd);
    scheduler_close(u->scheduler);
    free(u->value);
    free(u);
}

/* ---- Segments ---- */

static int verify(int fd, const struct wire_segment *segment)
{
    struct sha256 *sha = sha256_open();
    uint8_t buffer[VERIFY_BYTES], digest[SHA256_BYTES];
    struct stat st;
    uint64_t done = 0;

    if (!sha)
        return -ENOMEM;
    int rc = fstat(fd, &st) != 0 ? -errno : st.st_size != (off_t)segment->bytes ? -EBADMSG : 0;
    while (!rc && done < segment->bytes) {
        ssize_t n = pread(fd, buffer, sizeof buffer, (off_t)done);
        if (n <= 0)
            rc = n < 0 ? -errno : -EBADMSG;
        else
            sha256_put(sha, buffer, (size_t)n);
        done += n > 0 ? (uint64_t)n : 0;
    }
    sha256_take(sha, digest);
    sha256_close(sha);
    return rc ? rc : memcmp(digest, segment->sha256, SHA256_BYTES) ? -EBADMSG : 0;
}

static struct file *place_for_file(struct uploader *u)
{
    struct file *oldest = &u->files[0];

    for (unsigned i = 0; i < FILES; i++) {
        if (u->files[i].fd < 0)
            return &u->files[i];
        if (u->files[i].used < oldest->used)
            oldest = &u->files[i];
    }
    (void)close(oldest->fd);
    oldest->fd = -1;
    return oldest;
}

/* The descriptor of a verified segment, or a negative errno: -EBADMSG when its bytes are not those
 * that were sealed, so that bit rot never travels as a valid clip. */
static int file_of(struct uploader *u, const struct wire_final *final, uint8_t segment)
{
    const uint8_t *clip_id = final->about.clip_id;
    char name[JOB_NAME_MAX], path[PATH_BYTES + JOB_NAME_MAX];

    for (unsigned i = 0; i < FILES; i++) {
        struct file *file = &u->files[i];
        if (file->fd >= 0 && file->segment == segment &&
            !memcmp(file->clip_id, clip_id, CLIP_ID_BYTES)) {
            file->used = ++u->file_uses;
            return file->fd;
        }
    }
    job_segment_name(clip_id, segment, name);
    (void)snprintf(path, sizeof path, "%s/%s", u->clips_dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    int rc = verify(fd, &final->segments[segment]);
    if (rc) {
        (void)close(fd);
        return rc;
    }
    struct file *file = place_for_file(u);
    *file = (struct file){ .fd = fd, .segment = segment, .used = ++u->file_uses };
    memcpy(file->clip_id, clip_id, CLIP_ID_BYTES);
    return fd;
}

/* ---- Values ---- */

static int fill_chunk(struct uploader *u, const struct scheduler_action *action,
                      struct wire_value *value)
{
    const struct wire_segment *segment = &action->final->segments[action->segment];
    struct wire_chunk *chunk = &value->chunk;

    int fd = file_of(u, action->final, action->segment);
    if (fd < 0)
        return fd;
    *chunk = (struct wire_chunk){ .segment = action->segment, .index = action->index,
                                  .count = wire_chunk_count(segment),
                                  .chunk_bytes = segment->chunk_bytes,
                                  .segment_bytes = segment->bytes,
                                  .size = wire_chunk_size(segment, action->index),
                                  .payload = u->value + WIRE_CHUNK_HEADER_BYTES };
    memcpy(chunk->clip_id, action->final->about.clip_id, CLIP_ID_BYTES);
    memcpy(chunk->sha256, segment->sha256, SHA256_BYTES);
    ssize_t n = pread(fd, u->value + WIRE_CHUNK_HEADER_BYTES, chunk->size,
                      (off_t)action->index * segment->chunk_bytes);
    return n == (ssize_t)chunk->size ? 0 : n < 0 ? -errno : -EBADMSG;
}

/* The artifact's file holds the encoded value. Returns its bytes. */
static int read_artifact(struct uploader *u, const uint8_t sha256[SHA256_BYTES],
                         struct wire_value *value)
{
    char hex[SHA256_HEX], path[PATH_BYTES + SHA256_HEX + 8];

    hex_from(sha256, SHA256_BYTES, hex);
    (void)snprintf(path, sizeof path, "%s/%s.art", u->artifacts_dir, hex);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ssize_t n = pread(fd, u->value, WIRE_ARTIFACT_VALUE_MAX, 0);
    (void)close(fd);
    if (n < 0)
        return -errno;
    int rc = wire_decode(u->value, (size_t)n, NULL, value);
    if (!rc && (value->kind != WIRE_ARTIFACT || memcmp(value->artifact.sha256, sha256, SHA256_BYTES)))
        rc = -EBADMSG;
    return rc ? rc : (int)n;
}

/* Encodes into u->value. Returns the bytes, or a negative errno that refuses the action. */
static int build(struct uploader *u, const struct scheduler_action *action,
                 struct wire_value *value)
{
    int rc = 0;

    memset(value, 0, sizeof *value);
    switch (action->what) {
    case SCHEDULER_ARTIFACT: return read_artifact(u, action->sha256, value);
    case SCHEDULER_OPEN:
        value->kind = WIRE_OPEN;
        value->open = action->final->about;
        rc = file_of(u, action->final, 0); /* not even opened when its bytes are not right */
        break;
    case SCHEDULER_CHUNK:
        value->kind = WIRE_CHUNK;
        rc = fill_chunk(u, action, value);
        break;
    case SCHEDULER_FINAL:
        value->kind = WIRE_FINAL;
        value->final = *action->final;
        break;
    case SCHEDULER_QUESTION:
        value->kind = WIRE_QUESTION;
        value->question.ask = action->ask;
        value->question.final = *action->final;
        break;
    case SCHEDULER_GONE:
        value->kind = WIRE_GONE;
        value->gone = action->gone;
        break;
    }
    return rc < 0 ? rc : wire_encode(value, u->value, WIRE_ARTIFACT_VALUE_MAX, NULL);
}

static void count(struct uploader *u, const struct scheduler_action *action, size_t size)
{
    u->stats.bytes_sent += size;
    u->stats.chunks_sent += action->what == SCHEDULER_CHUNK;
    u->stats.chunks_again += action->what == SCHEDULER_CHUNK && action->again;
    u->stats.artifacts_sent += action->what == SCHEDULER_ARTIFACT;
    u->stats.questions += action->what == SCHEDULER_QUESTION;
    u->stats.gones += action->what == SCHEDULER_GONE;
}

static int post(struct uploader *u, const struct scheduler_action *action,
                const struct wire_value *value, size_t size)
{
    struct wire_headers headers;
    char source[PSEUDONYM_MAX + 16], key[SHA256_HEX];
    const char *pseudonym = action->final                   ? action->final->about.pseudonym
                            : action->what == SCHEDULER_GONE ? action->gone.pseudonym
                                                             : u->listening[0].pseudonym;

    (void)snprintf(source, sizeof source, "/vehicle/%s", pseudonym);
    (void)snprintf(key, sizeof key, "%s", pseudonym);
    if (action->what == SCHEDULER_ARTIFACT)
        hex_from(action->sha256, SHA256_BYTES, key);
    wire_headers_of(value, source, &headers);
    const struct transport_message message = {
        .topic = action->what == SCHEDULER_ARTIFACT ? WIRE_TOPIC_ARTIFACT : WIRE_TOPIC_CLIP,
        .key = key, .value = u->value, .size = size, .headers = &headers, .decoded = value,
        .opaque = action->token };
    return u->transport.ops->send(u->transport.context, &message);
}

/* ---- Turns ---- */

static void back_off(struct uploader *u, int64_t now_ns)
{
    u->random = u->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    u->blocked_until_ns = now_ns + backoff_next(&u->backoff, u->random >> 16);
    u->stats.backoffs++;
}

/* What passes without a person: the clip waits. Everything else is the clip's own fault. */
static bool is_passing(int rc)
{
    return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -EINTR;
}

/* 0: go on; 1: stop sending in this turn. */
static int perform(struct uploader *u, const struct scheduler_action *action, int64_t now_ns)
{
    struct wire_value value;
    char reason[JOB_REASON_MAX];

    int size = build(u, action, &value);
    if (size < 0 && is_passing(size)) {
        back_off(u, now_ns);
        return 1;
    }
    if (size < 0) {
        (void)snprintf(reason, sizeof reason, "%s: %s",
                       action->what == SCHEDULER_ARTIFACT ? "artifact" : "segment file",
                       size == -EBADMSG ? "its bytes are not those that were sealed"
                                        : strerror(-size));
        u->stats.parked += action->what != SCHEDULER_ARTIFACT;
        scheduler_refuse(u->scheduler, action, reason);
        return 0;
    }
    int rc = post(u, action, &value, (size_t)size);
    if (rc == 0) {
        scheduler_sent(u->scheduler, action, now_ns);
        count(u, action, (size_t)size);
        return 0;
    }
    if (rc == -EMSGSIZE || rc == -EINVAL) {
        (void)snprintf(reason, sizeof reason, "refused by the transport: %s", strerror(-rc));
        u->stats.parked++;
        scheduler_refuse(u->scheduler, action, reason);
        return 0;
    }
    if (rc != -EAGAIN)
        back_off(u, now_ns);
    return 1;
}

void uploader_status(struct uploader *u, const struct wire_status *status)
{
    u->status = *status;
    u->status_due = true;
}

static int post_status(struct uploader *u)
{
    struct wire_value value = { .kind = WIRE_STATUS, .status = u->status };
    struct wire_headers headers;
    char source[PSEUDONYM_MAX + 16];

    int size = wire_encode(&value, u->value, WIRE_ARTIFACT_VALUE_MAX, NULL);
    if (size < 0)
        return -EINVAL;
    (void)snprintf(source, sizeof source, "/vehicle/%s", u->status.pseudonym);
    wire_headers_of(&value, source, &headers);
    const struct transport_message message = {
        .topic = WIRE_TOPIC_STATUS, .key = u->status.pseudonym, .value = u->value,
        .size = (size_t)size, .headers = &headers, .decoded = &value, .opaque = STATUS_OPAQUE };
    return u->transport.ops->send(u->transport.context, &message);
}

static void send_status(struct uploader *u, int64_t now_ns)
{
    if (!u->status_due || u->status_in_flight || now_ns < u->blocked_until_ns ||
        rate_pay(&u->rate, WIRE_STATUS_MAX, now_ns) > 0)
        return;
    int rc = post_status(u);
    u->status_in_flight = rc == 0;
    u->status_due = rc != 0 && rc != -EINVAL && rc != -EMSGSIZE; /* refused for good: the next one */
    u->stats.statuses += rc == 0;
    if (u->status_due && rc != -EAGAIN)
        back_off(u, now_ns);
}

/* Returns when sending may go on, or INT64_MAX when there is nothing to send. */
static int64_t send_some(struct uploader *u, int64_t now_ns)
{
    struct scheduler_action action;

    for (unsigned i = 0; i < SENDS_PER_TURN; i++) {
        if (now_ns < u->blocked_until_ns)
            return u->blocked_until_ns;
        if (!scheduler_next(u->scheduler, now_ns, &action))
            return INT64_MAX;
        /* Larger than the burst could never be paid: it takes the whole bucket instead. */
        int64_t bytes = action.bytes < u->config.rate.burst_bytes ? action.bytes
                                                                  : u->config.rate.burst_bytes;
        int64_t wait_ns = rate_pay(&u->rate, bytes, now_ns);
        if (wait_ns > 0)
            return now_ns + wait_ns;
        if (perform(u, &action, now_ns))
            return now_ns + NS_PER_MS * 10;
    }
    return now_ns;
}

static void take_reports(struct uploader *u, int wait_ms, int64_t now_ns)
{
    static const enum scheduler_result results[] = { [TRANSPORT_DONE] = SCHEDULER_DONE,
                                                     [TRANSPORT_RETRY] = SCHEDULER_RETRY,
                                                     [TRANSPORT_POISON] = SCHEDULER_POISON };
    struct transport_report report;

    while (u->transport.ops->poll_report(u->transport.context, wait_ms, &report) == 1) {
        wait_ms = 0;
        if (report.opaque == STATUS_OPAQUE) {
            u->status_in_flight = false;
            u->status_due |= report.result == TRANSPORT_RETRY;
        } else {
            scheduler_report(u->scheduler, (uint32_t)report.opaque, results[report.result],
                             report.reason, now_ns);
        }
        if (report.result == TRANSPORT_RETRY)
            back_off(u, now_ns);
        else if (report.result == TRANSPORT_DONE)
            backoff_reset(&u->backoff);
        u->stats.parked += report.result == TRANSPORT_POISON && report.opaque != STATUS_OPAQUE;
    }
}

static bool is_ours(const struct uploader *u, const char *pseudonym)
{
    for (unsigned i = 0; i < PSEUDONYMS; i++)
        if (u->listening[i].pseudonym[0] && !strcmp(u->listening[i].pseudonym, pseudonym))
            return true;
    return false;
}

static void take_receipts(struct uploader *u, int64_t now_ns)
{
    struct transport_receipt receipt = { .partition = -1 };
    struct outcome offset = { .kind = OUTCOME_OFFSET, .partition = -1 };

    for (unsigned i = 0; i < RECEIPTS_PER_TURN; i++) {
        if (u->transport.ops->poll_receipt(u->transport.context, &receipt) != 1)
            break;
        if (is_ours(u, receipt.receipt.pseudonym))
            scheduler_receipt(u->scheduler, &receipt.receipt, now_ns);
        else
            u->stats.receipts_foreign++;
        offset.partition = receipt.partition;
        offset.offset = receipt.next;
    }
    if (offset.partition >= 0)
        (void)scheduler_tell(u->scheduler, &offset); /* lost: read again, harmless */
}

static void listen_all(struct uploader *u, int64_t now_ns)
{
    for (unsigned i = 0; i < PSEUDONYMS; i++) {
        struct listening *l = &u->listening[i];
        if (!l->pseudonym[0] || l->done || now_ns < l->retry_ns)
            continue;
        l->done = u->transport.ops->listen(u->transport.context, l->pseudonym,
                                           u->config.stored_offset, u->config.argument) == 0;
        l->retry_ns = now_ns + LISTEN_RETRY_NS;
        if (l->done && l->late)
            scheduler_hears(u->scheduler, now_ns);
        l->late = !l->done;
    }
}

static void want_pseudonym(struct uploader *u, const char *pseudonym)
{
    if (!u->config.receipts || !pseudonym[0] || is_ours(u, pseudonym))
        return;
    for (unsigned i = 0; i < PSEUDONYMS; i++) {
        if (u->listening[i].pseudonym[0])
            continue;
        (void)snprintf(u->listening[i].pseudonym, PSEUDONYM_MAX, "%s", pseudonym);
        return;
    }
}

/* What the outbox says of the clip cannot be told to a sink, now or later. */
static int park_job(struct uploader *u, const struct job *job)
{
    struct outcome outcome = { .kind = OUTCOME_PARKED };

    memcpy(outcome.clip_id, job->final.about.clip_id, CLIP_ID_BYTES);
    (void)snprintf(outcome.reason, sizeof outcome.reason,
                   "the outbox's row makes no legal manifest (%u of %u segments sealed)",
                   job->sealed, job->final.about.segments);
    if (scheduler_tell(u->scheduler, &outcome))
        return -EAGAIN;
    u->stats.parked++;
    return 0;
}

/* All of it is at the far end, or will never be sent: an open descriptor would keep the bytes of a
 * deleted segment on the disk. Asked for again, it is opened and verified again. */
static void close_files(struct uploader *u, const uint8_t clip_id[CLIP_ID_BYTES])
{
    for (unsigned i = 0; i < FILES; i++) {
        struct file *file = &u->files[i];
        if (file->fd < 0 || memcmp(file->clip_id, clip_id, CLIP_ID_BYTES))
            continue;
        (void)close(file->fd);
        file->fd = -1;
    }
}

int uploader_put(struct uploader *u, const struct job *job, int64_t now_ns)
{
    int rc = scheduler_put(u->scheduler, job, now_ns);

    if (rc == -ENOBUFS)
        return -EAGAIN;
    if (rc == -EINVAL)
        return park_job(u, job);
    if (job->kind == JOB_CANCEL)
        close_files(u, job->final.about.clip_id);
    if (rc == 0 && job->kind != JOB_CANCEL)
        want_pseudonym(u, job->final.about.pseudonym);
    return rc;
}

static void note_connection(struct uploader *u, int64_t now_ns)
{
    struct transport_stats transport;
    struct scheduler_stats scheduler;

    u->transport.ops->stats(u->transport.context, &transport);
    scheduler_stats(u->scheduler, &scheduler);
    if (transport.connected)
        u->connected_ns = now_ns;
    bool probe = scheduler.in_flight == 0 && now_ns - u->connected_ns >= PROBE_NS;
    scheduler_connected(u->scheduler, transport.connected || probe, now_ns);
}

int64_t uploader_turn(struct uploader *u, int wait_ms, int64_t now_ns)
{
    listen_all(u, now_ns);
    take_reports(u, wait_ms, now_ns);
    note_connection(u, now_ns);
    if (u->config.receipts)
        take_receipts(u, now_ns);
    send_status(u, now_ns);
    int64_t send_ns = send_some(u, now_ns);
    int64_t wake_ns = scheduler_wake(u->scheduler, now_ns);
    return send_ns < wake_ns ? send_ns : wake_ns;
}

int uploader_take(struct uploader *u, struct outcome *ret_outcome)
{
    int rc = scheduler_take(u->scheduler, ret_outcome);

    if (rc == 1 && (ret_outcome->kind == OUTCOME_ACKED || ret_outcome->kind == OUTCOME_RECEIPTED ||
                    ret_outcome->kind == OUTCOME_PARKED))
        close_files(u, ret_outcome->clip_id);
    return rc;
}

void uploader_stats(const struct uploader *u, struct uploader_stats *ret_stats)
{
    *ret_stats = u->stats;
    scheduler_stats(u->scheduler, &ret_stats->scheduler);
    u->transport.ops->stats(u->transport.context, &ret_stats->transport);
    ret_stats->receipts_stale = ret_stats->scheduler.receipts_stale;
    ret_stats->receipts_wrong_hash = ret_stats->scheduler.receipts_wrong_hash;
}
