#include "daemon/control.h"

#include "proto/json.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define GROUPS_MAX 64
#define ERROR_MAX 1024

enum client_state { CLIENT_FREE, CLIENT_READING, CLIENT_ASKED, CLIENT_WRITING };

struct client {
    enum client_state state;
    int fd;
    bool may_change, told; /* told: control_next gave it */
    uint32_t serial;       /* of the ticket: a slot is used again, a serial is not */
    int64_t since_ns;      /* last progress */
    size_t length;
    char line[CONTROL_LINE_MAX + 1];
    struct control_request request;
    char *answer;
    size_t answer_size, sent;
};

struct control {
    int listen_fd, epoll_fd;
    gid_t group;
    bool has_group;
    char path[108];
    uint32_t next_serial;
    struct control_stats stats;
    struct client clients[CONTROL_CLIENTS_MAX];
};

/* --- requests --- */

static const struct { const char *name; enum control_verb verb; } verbs[] = {
    { "status", CONTROL_STATUS }, { "metrics", CONTROL_METRICS }, { "where", CONTROL_WHERE },
    { "reload", CONTROL_RELOAD }, { "trigger", CONTROL_TRIGGER },
    { "retry", CONTROL_RETRY },
};

bool control_changes(enum control_verb verb)
{
    return verb == CONTROL_RELOAD || verb == CONTROL_TRIGGER || verb == CONTROL_RETRY;
}

static int find_verb(const char *name, enum control_verb *ret_verb, struct err *err)
{
    const char *names[sizeof verbs / sizeof verbs[0]], *near;

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        names[i] = verbs[i].name;
        if (strcmp(verbs[i].name, name) == 0) {
            *ret_verb = verbs[i].verb;
            return 0;
        }
    }
    near = err_nearest(name, names, sizeof verbs / sizeof verbs[0]);
    return err_plain(err, -EBADMSG, "unknown request '%.40s'%s%s%s", name,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

int control_parse(const char *line, size_t size, struct control_request *ret_request,
                  struct err *err)
{
    struct control_request request = { .pre_ns = 10 * NS_PER_S, .post_ns = 10 * NS_PER_S,
                                       .priority = 5 };
    char verb[32] = "", clip[CLIP_ID_HEX] = "";
    struct json_field fields[] = {
        { .key = "do", .text = verb, .size = sizeof verb },
        { .key = "clip", .text = clip, .size = sizeof clip },
        { .key = "note", .text = request.note, .size = sizeof request.note },
        { .key = "pre", .number = &request.pre_ns },
        { .key = "post", .number = &request.post_ns },
        { .key = "priority", .number = &request.priority },
    };
    int code = json_read(line, size, fields, sizeof fields / sizeof fields[0], err);

    if (code < 0)
        return code;
    if (!fields[0].present)
        return err_plain(err, -EBADMSG, "the key 'do' is missing");
    code = find_verb(verb, &request.verb, err);
    if (code < 0)
        return code;
    request.has_clip = fields[1].present;
    if ((request.verb == CONTROL_WHERE || (request.verb == CONTROL_RETRY && request.has_clip)) &&
        (strlen(clip) != CLIP_ID_HEX - 1 || hex_to(clip, CLIP_ID_BYTES, request.clip_id) < 0))
        return err_plain(err, -EBADMSG, "clip: expected %d hex digits", CLIP_ID_HEX - 1);
    *ret_request = request;
    return 0;
}

/* --- who may --- */

static bool is_member(const struct control *control, uid_t uid, gid_t gid)
{
    gid_t groups[GROUPS_MAX];
    int count = GROUPS_MAX;
    struct passwd *user = getpwuid(uid);

    if (gid == control->group)
        return true;
    if (!user || getgrouplist(user->pw_name, gid, groups, &count) < 0)
        return false;
    for (int i = 0; i < count; i++)
        if (groups[i] == control->group)
            return true;
    return false;
}

static bool peer_may_change(const struct control *control, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    return peer.uid == 0 || peer.uid == geteuid() ||
           (control->has_group && is_member(control, peer.uid, peer.gid));
}

/* --- clients --- */

static void drop(struct client *client)
{
    (void)close(client->fd); /* leaves the epoll set by itself */
    free(client->answer);
    client->answer = NULL;
    client->state = CLIENT_FREE;
}

static void watch(struct control *control, struct client *client, int how, uint32_t events)
{
    struct epoll_event event = { .events = events };

    event.data.ptr = client;
    if (epoll_ctl(control->epoll_fd, how, client->fd, &event) < 0)
        drop(client);
}

static void accept_one(struct control *control, int fd, int64_t now_ns)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &control->clients[i];
        if (client->state != CLIENT_FREE)
            continue;
        client->state = CLIENT_READING;
        client->fd = fd;
        client->may_change = peer_may_change(control, fd);
        client->told = false;
        client->serial = ++control->next_serial;
        client->since_ns = now_ns;
        client->length = client->sent = client->answer_size = 0;
        watch(control, client, EPOLL_CTL_ADD, EPOLLIN);
        return;
    }
    control->stats.refused++;
    (void)close(fd);
}

static void accept_all(struct control *control, int64_t now_ns)
{
    int fd;

    while ((fd = accept4(control->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        accept_one(control, fd, now_ns);
}

static void answer(struct control *control, struct client *client, const char *text, size_t size,
                   int64_t now_ns)
{
    bool newline = size == 0 || text[size - 1] != '\n';

    client->answer = malloc(size + 1);
    if (!client->answer) {
        drop(client);
        return;
    }
    memcpy(client->answer, text, size);
    client->answer[size] = '\n';
    client->answer_size = size + newline;
    client->state = CLIENT_WRITING;
    client->since_ns = now_ns;
    watch(control, client, EPOLL_CTL_MOD, EPOLLOUT);
}

static void refuse(struct control *control, struct client *client, const char *why, int64_t now_ns)
{
    char bytes[ERROR_MAX];
    struct json_text text = { bytes, sizeof bytes, 0 };

    json_printf(&text, "{\"error\":");
    json_quote(&text, why);
    json_printf(&text, "}");
    control->stats.refused++;
    answer(control, client, bytes, json_full(&text) ? sizeof bytes - 1 : text.length, now_ns);
}

static void take_line(struct control *control, struct client *client, size_t size, int64_t now_ns)
{
    struct err err;

    if (control_parse(client->line, size, &client->request, &err) < 0) {
        refuse(control, client, err.text, now_ns);
    } else if (control_changes(client->request.verb) && !client->may_change) {
        refuse(control, client, "this needs root or the group that control.group names", now_ns);
    } else {
        control->stats.requests++;
        client->state = CLIENT_ASKED;
        client->since_ns = now_ns;
        watch(control, client, EPOLL_CTL_MOD, 0); /* errors and hang-ups still come */
    }
}

static void read_client(struct control *control, struct client *client, int64_t now_ns)
{
    ssize_t n = read(client->fd, client->line + client->length, sizeof client->line - client->length);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(client);
        return;
    }
    const char *end = memchr(client->line + client->length, '\n', (size_t)n);
    client->length += (size_t)n;
    if (end)
        take_line(control, client, (size_t)(end - client->line), now_ns);
    else if (client->length > CONTROL_LINE_MAX)
        refuse(control, client, "a request is one line of at most 65536 bytes", now_ns);
}

static void write_client(struct client *client, int64_t now_ns)
{
    /* MSG_NOSIGNAL: who went away must not kill the daemon. */
    ssize_t n = send(client->fd, client->answer + client->sent, client->answer_size - client->sent,
                     MSG_NOSIGNAL);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        client->sent += (size_t)n;
        client->since_ns = now_ns;
    }
    if (n <= 0 || client->sent == client->answer_size)
        drop(client);
}

static void serve(struct control *control, struct client *client, uint32_t events, int64_t now_ns)
{
    if (client->state == CLIENT_READING && (events & EPOLLIN))
        read_client(control, client, now_ns);
    else if (client->state == CLIENT_WRITING && (events & EPOLLOUT))
        write_client(client, now_ns);
    else if (events & (EPOLLHUP | EPOLLERR))
        drop(client);
}

static void expire(struct control *control, int64_t now_ns)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &control->clients[i];
        int64_t age_ns = now_ns - client->since_ns;
        if (client->state == CLIENT_ASKED && age_ns > CONTROL_ASKED_NS) {
            refuse(control, client, "no answer: the worker is busy or stuck", now_ns);
        } else if ((client->state == CLIENT_READING || client->state == CLIENT_WRITING) &&
                   age_ns > CONTROL_IDLE_NS) {
            control->stats.refused++;
            drop(client);
        }
    }
}

void control_run(struct control *control, int64_t now_ns)
{
    struct epoll_event events[CONTROL_CLIENTS_MAX + 1];
    int n = epoll_wait(control->epoll_fd, events, CONTROL_CLIENTS_MAX + 1, 0);

    for (int i = 0; i < n; i++)
        if (events[i].data.ptr != control) /* clients first: they may free a slot */
            serve(control, events[i].data.ptr, events[i].events, now_ns);
    accept_all(control, now_ns);
    expire(control, now_ns);
}

int control_next(struct control *control, uint64_t *ret_ticket, struct control_request *ret_request)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &control->clients[i];
        if (client->state != CLIENT_ASKED || client->told)
            continue;
        client->told = true;
        *ret_ticket = (uint64_t)client->serial << 8 | i;
        *ret_request = client->request;
        return 1;
    }
    return 0;
}

void control_answer(struct control *control, uint64_t ticket, const char *text, size_t size,
                    int64_t now_ns)
{
    struct client *client = &control->clients[ticket & 0xff];

    if (client->state == CLIENT_ASKED && client->serial == ticket >> 8)
        answer(control, client, text, size, now_ns);
}

void control_stats(const struct control *control, struct control_stats *ret_stats)
{
    *ret_stats = control->stats;
}

/* --- the socket --- */

static int take_group(struct control *control, const char *name, struct err *err)
{
    if (!name[0])
        return 0;
    const struct group *group = getgrnam(name);
    if (!group)
        return err_plain(err, -EINVAL, "control.group: there is no group '%s'", name);
    control->group = group->gr_gid;
    control->has_group = true;
    return 0;
}

static int listen_at(struct control *control, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat info;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (lstat(path, &info) == 0 && S_ISSOCK(info.st_mode))
        (void)unlink(path);
    control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (control->listen_fd < 0)
        return -errno;
    /* Private until the mode is set: bind makes the file by the umask. */
    mode_t before = umask(0177);
    int code = bind(control->listen_fd, (const struct sockaddr *)&address, sizeof address) < 0
                   ? -errno : 0;
    (void)umask(before);
    if (code < 0)
        return code;
    memcpy(control->path, path, strlen(path) + 1);
    if (chmod(path, 0660) < 0 || listen(control->listen_fd, CONTROL_CLIENTS_MAX) < 0)
        return -errno;
    return 0;
}

static int watch_listener(struct control *control)
{
    struct epoll_event event = { .events = EPOLLIN };

    event.data.ptr = control;
    control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (control->epoll_fd < 0 ||
        epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, control->listen_fd, &event) < 0)
        return -errno;
    return 0;
}

int control_open(const struct control_config *config, struct control **ret_control, struct err *err)
{
    struct control *control = calloc(1, sizeof *control);
    int code;

    if (!control)
        return err_plain(err, -ENOMEM, "control socket: out of memory");
    control->listen_fd = control->epoll_fd = -1;
    code = take_group(control, config->group, err);
    if (code < 0)
        goto fail;
    code = listen_at(control, config->path);
    if (code == 0)
        code = watch_listener(control);
    if (code < 0) {
        (void)err_plain(err, code, "control socket %s: %s", config->path, strerror(-code));
        goto fail;
    }
    *ret_control = control;
    return 0;
fail:
    control_close(control);
    return code;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].state != CLIENT_FREE)
            drop(&control->clients[i]);
    if (control->path[0])
        (void)unlink(control->path);
    if (control->listen_fd >= 0)
        (void)close(control->listen_fd);
    if (control->epoll_fd >= 0)
        (void)close(control->epoll_fd);
    free(control);
}

int control_fd(const struct control *control) { return control->epoll_fd; }
