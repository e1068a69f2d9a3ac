#include "uploader/filedrop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 640
#define DIR_MAX 512
#define REPORTS 1024
#define COPY_BYTES 65536

struct context {
    char dir[DIR_MAX];
    struct transport_report reports[REPORTS]; /* ring: what happened, to be polled */
    uint32_t first, count;
    struct transport_stats stats;
};

/* DIR/NAME<extension> with NAME the hex of an id. */
static void path_of(const struct context *c, const uint8_t *id, size_t id_size,
                    const char *extension, char path[PATH_BYTES])
{
    char hex[SHA256_HEX];

    hex_from(id, id_size, hex);
    (void)snprintf(path, PATH_BYTES, "%s/%s%s", c->dir, hex, extension);
}

static void part_path(const struct context *c, const uint8_t *clip_id, unsigned segment,
                      char path[PATH_BYTES])
{
    char extension[16];

    (void)snprintf(extension, sizeof extension, "-%u.part", segment & 0xff);
    path_of(c, clip_id, CLIP_ID_BYTES, extension, path);
}

static int write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const char *at = bytes;

    while (size) {
        ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int sync_and_close(int fd, int rc)
{
    if (rc == 0 && fdatasync(fd) != 0)
        rc = -errno;
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    return rc;
}

static int sync_dir(const struct context *c)
{
    int fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return rc;
}

/* A whole file under its name, durable. */
static int put_file(const struct context *c, const char *path, const void *bytes, size_t size)
{
    char temporary[PATH_BYTES + 8];

    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int rc = sync_and_close(fd, write_all(fd, bytes, size, 0));
    if (!rc && rename(temporary, path) != 0)
        rc = -errno;
    return rc ? rc : sync_dir(c);
}

static int put_chunk(const struct context *c, const struct wire_chunk *chunk)
{
    char path[PATH_BYTES];

    part_path(c, chunk->clip_id, chunk->segment, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int rc = write_all(fd, chunk->payload, chunk->size,
                       (uint64_t)chunk->index * chunk->chunk_bytes);
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    return rc;
}

/* Appends exactly the bytes of a segment and checks its hash on the way. */
static int append_part(const struct context *c, const struct wire_final *final, unsigned segment,
                       int to, uint64_t *offset)
{
    char path[PATH_BYTES];
    uint8_t buffer[COPY_BYTES], digest[SHA256_BYTES];
    uint64_t done = 0, bytes = final->segments[segment].bytes;
    struct sha256 *sha = sha256_open();
    int rc = sha ? 0 : -ENOMEM;

    part_path(c, final->about.clip_id, segment, path);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        rc = -errno;
    while (!rc && done < bytes) {
        size_t want = bytes - done < COPY_BYTES ? (size_t)(bytes - done) : COPY_BYTES;
        ssize_t n = pread(fd, buffer, want, (off_t)done);
        if (n <= 0) {
            rc = n < 0 ? -errno : -EBADMSG;
            break;
        }
        sha256_put(sha, buffer, (size_t)n);
        rc = write_all(to, buffer, (size_t)n, *offset + done);
        done += (uint64_t)n;
    }
    if (sha)
        sha256_take(sha, digest);
    sha256_close(sha);
    if (fd >= 0)
        (void)close(fd);
    *offset += bytes;
    if (!rc && memcmp(digest, final->segments[segment].sha256, SHA256_BYTES))
        rc = -EBADMSG;
    return rc;
}

/* Parts become CLIP.rlc, once; a question finds it there. */
static int join(const struct context *c, const struct wire_final *final)
{
    char path[PATH_BYTES], temporary[PATH_BYTES], part[PATH_BYTES];
    uint64_t offset = 0;
    int rc = 0;

    path_of(c, final->about.clip_id, CLIP_ID_BYTES, ".rlc", path);
    path_of(c, final->about.clip_id, CLIP_ID_BYTES, ".rlc.new", temporary);
    if (access(path, F_OK) == 0)
        return 0;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    for (unsigned i = 0; !rc && i < final->about.segments; i++)
        rc = append_part(c, final, i, fd, &offset);
    rc = sync_and_close(fd, rc);
    if (!rc && rename(temporary, path) != 0)
        rc = -errno;
    if (!rc)
        rc = sync_dir(c);
    for (unsigned i = 0; !rc && i < final->about.segments; i++) {
        part_path(c, final->about.clip_id, i, part);
        (void)unlink(part);
    }
    return rc;
}

static int put_final(const struct context *c, const struct wire_final *final,
                     const struct transport_message *message)
{
    char path[PATH_BYTES];

    int rc = join(c, final);
    if (rc)
        return rc;
    path_of(c, final->about.clip_id, CLIP_ID_BYTES, ".manifest", path);
    return put_file(c, path, message->value, message->size);
}

static int put_value(const struct context *c, const struct transport_message *message)
{
    const struct wire_value *value = message->decoded;
    char path[PATH_BYTES];

    switch (value->kind) {
    case WIRE_OPEN: return 0; /* the folder needs no announcement */
    case WIRE_CHUNK: return put_chunk(c, &value->chunk);
    case WIRE_FINAL: return put_final(c, &value->final, message);
    case WIRE_QUESTION: return put_final(c, &value->question.final, message);
    case WIRE_GONE:
        path_of(c, value->gone.clip_id, CLIP_ID_BYTES, ".gone", path);
        return put_file(c, path, message->value, message->size);
    case WIRE_ARTIFACT:
        path_of(c, value->artifact.sha256, SHA256_BYTES, ".artifact", path);
        return put_file(c, path, message->value, message->size);
    case WIRE_STATUS: return 0; /* it has no reader in a folder */
    default: return -EINVAL;
    }
}

static int send_message(void *opaque, const struct transport_message *message)
{
    struct context *c = opaque;

    if (c->count == REPORTS)
        return -EAGAIN;
    int rc = put_value(c, message);
    c->stats.connected = rc == 0;
    if (rc) {
        (void)snprintf(c->stats.last_error, sizeof c->stats.last_error, "%s", strerror(-rc));
        c->stats.retried++;
        return rc == -EINVAL || rc == -EMSGSIZE ? rc : -EIO;
    }
    c->stats.sent++;
    c->stats.done++;
    c->reports[(c->first + c->count++) % REPORTS] =
        (struct transport_report){ .opaque = message->opaque, .result = TRANSPORT_DONE };
    return 0;
}

static int poll_report(void *opaque, int timeout_ms, struct transport_report *ret_report)
{
    struct context *c = opaque;

    (void)timeout_ms; /* reports are there as soon as a send returned */
    if (c->count == 0)
        return 0;
    *ret_report = c->reports[c->first];
    c->first = (c->first + 1) % REPORTS;
    c->count--;
    return 1;
}

static bool is_receipt(const char *name)
{
    size_t size = strlen(name);
    return size == CLIP_ID_HEX - 1 + strlen(".receipt") &&
           !strcmp(name + CLIP_ID_HEX - 1, ".receipt");
}

/* Reads one receipt and removes it: it was the answer, and the clip asks again if it is lost. */
static int take_file(struct context *c, const char *name, struct transport_receipt *ret_receipt)
{
    char path[PATH_BYTES];
    uint8_t bytes[WIRE_RECEIPT_MAX + 1];
    struct wire_value value;

    (void)snprintf(path, sizeof path, "%s/%s", c->dir, name);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    (void)unlink(path);
    if (n < 0 || wire_decode(bytes, (size_t)n, NULL, &value) != 0 || value.kind != WIRE_RECEIPT) {
        c->stats.receipts_bad++;
        return 0;
    }
    c->stats.receipts++;
    ret_receipt->receipt = value.receipt;
    ret_receipt->partition = -1;
    ret_receipt->next = 0;
    return 1;
}

static int poll_receipt(void *opaque, struct transport_receipt *ret_receipt)
{
    struct context *c = opaque;
    struct dirent *entry;
    int got = 0;

    DIR *dir = opendir(c->dir);
    while (dir && !got && (entry = readdir(dir)))
        if (is_receipt(entry->d_name))
            got = take_file(c, entry->d_name, ret_receipt);
    if (dir)
        (void)closedir(dir);
    return got;
}

static int listen_to(void *opaque, const char *pseudonym,
                     int (*stored)(void *argument, int32_t partition, int64_t *ret_offset),
                     void *argument)
{
    (void)opaque;
    (void)pseudonym;
    (void)stored;
    (void)argument;
    return 0; /* receipts lie in the same folder */
}

static void stats(const void *opaque, struct transport_stats *ret_stats)
{
    *ret_stats = ((const struct context *)opaque)->stats;
}

static void close_context(void *opaque, int flush_ms)
{
    (void)flush_ms;
    free(opaque);
}

static const struct transport_ops ops = { .send = send_message, .poll_report = poll_report,
                                          .poll_receipt = poll_receipt, .listen = listen_to,
                                          .stats = stats, .close = close_context };

int filedrop_open(const char *dir, struct err *err, struct transport *ret_transport)
{
    struct stat st;

    if (strlen(dir) >= DIR_MAX)
        return err_plain(err, -ERANGE, "drop folder: path longer than %d bytes", DIR_MAX - 1);
    if (stat(dir, &st) != 0)
        return err_at(err, -errno, dir, 0, 0, "drop folder: %s", strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_at(err, -ENOTDIR, dir, 0, 0, "drop folder: not a folder");
    struct context *c = calloc(1, sizeof *c);
    if (!c)
        return err_plain(err, -ENOMEM, "drop folder: no memory");
    (void)snprintf(c->dir, sizeof c->dir, "%s", dir);
    c->stats.connected = true;
    ret_transport->ops = &ops;
    ret_transport->context = c;
    return 0;
}
