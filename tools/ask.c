#include "tools/ask.h"

#include "daemon/config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int ask_path(const char *socket, const char *config, char ret_path[ASK_PATH_MAX], struct err *err)
{
    static struct config loaded;
    static struct diags diags;
    const char *path = socket ? socket : ASK_SOCKET_DEFAULT;

    memset(&diags, 0, sizeof diags);
    if (!socket && config_load(config ? config : ASK_CONFIG_DEFAULT, &diags, &loaded) == 0) {
        path = loaded.control.socket;
    } else if (!socket && config) {
        *err = diags.items[0].err;
        return -EBADMSG;
    }
    (void)snprintf(ret_path, ASK_PATH_MAX, "%s", path);
    return 0;
}

static int refused(const char *path, int code, struct err *err)
{
    const char *why = code == -ENOENT || code == -ECONNREFUSED ? "no daemon listens there"
                      : code == -EACCES ? "this user is not in the socket's group"
                      : code == -EAGAIN ? "no answer in time" : strerror(-code);

    return err_plain(err, code, "%s: %s", path, why);
}

static int exchange(int fd, const char *line, char *answer)
{
    size_t length = 0;
    ssize_t n;

    if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line) ||
        send(fd, "\n", 1, MSG_NOSIGNAL) != 1)
        return -errno;
    while (length < ASK_ANSWER_MAX - 1 &&
           (n = recv(fd, answer + length, ASK_ANSWER_MAX - 1 - length, 0)) != 0) {
        if (n < 0)
            return -errno;
        length += (size_t)n;
    }
    while (length && answer[length - 1] == '\n')
        length--;
    answer[length] = 0;
    return length ? 0 : -ECONNRESET;
}

int ask(const char *path, const char *line, char answer[ASK_ANSWER_MAX], struct err *err)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const struct timeval patience = { .tv_sec = 25 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof to.sun_path) {
        int code = fd < 0 ? -errno : -ENAMETOOLONG;
        if (fd >= 0)
            (void)close(fd);
        return refused(path, code, err);
    }
    memcpy(to.sun_path, path, strlen(path) + 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int code = connect(fd, (const struct sockaddr *)&to, sizeof to) < 0
                   ? -errno : exchange(fd, line, answer);
    (void)close(fd);
    return code < 0 ? refused(path, code, err) : 0;
}
