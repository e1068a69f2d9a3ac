/* A datagram socket that carries struct can_frame or canfd_frame, one a datagram: the stand-in for
 * a bus where a kernel has no CAN, and the far end of `replay --to udp:`. */
#include "daemon/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int refuse(const struct source_config *config, struct err *err)
{
    return err_plain(err, -EINVAL,
                     "source %s: address '%s': expected udp:A.B.C.D:PORT or unix:/PATH",
                     config->name, config->address);
}

static int parse_udp(const char *text, struct sockaddr_in *ret_address)
{
    char host[INET_ADDRSTRLEN], *end;
    const char *colon = strrchr(text, ':');

    if (!colon || colon == text || (size_t)(colon - text) >= sizeof host || !colon[1])
        return -EINVAL;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    *ret_address = (struct sockaddr_in){ .sin_family = AF_INET };
    if (*end || port > 65535 || inet_pton(AF_INET, host, &ret_address->sin_addr) != 1)
        return -EINVAL;
    ret_address->sin_port = htons((uint16_t)port);
    return 0;
}

static int parse_unix(const char *text, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (text[0] != '/' || strlen(text) >= sizeof ret_address->sun_path)
        return -EINVAL;
    memcpy(ret_address->sun_path, text, strlen(text) + 1);
    return 0;
}

/* What an earlier run left behind; anything but a socket stays and makes bind fail. */
static void remove_stale(const char *path)
{
    struct stat info;

    if (lstat(path, &info) == 0 && S_ISSOCK(info.st_mode))
        (void)unlink(path);
}

static int bind_socket(const struct source_config *config, const struct sockaddr *address,
                       socklen_t length, struct err *err)
{
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, address, length) == 0)
        return fd;
    int code = -errno;
    if (fd >= 0)
        (void)close(fd);
    return err_plain(err, code, "source %s: bind %s: %s", config->name, config->address,
                     strerror(-code));
}

int source_datagram_address(const char *text, struct sockaddr_storage *ret_address)
{
    if (strncmp(text, "udp:", 4) == 0 &&
        parse_udp(text + 4, (struct sockaddr_in *)(void *)ret_address) == 0)
        return sizeof(struct sockaddr_in);
    if (strncmp(text, "unix:", 5) == 0 &&
        parse_unix(text + 5, (struct sockaddr_un *)(void *)ret_address) == 0)
        return sizeof(struct sockaddr_un);
    return -EINVAL;
}

int source_datagram_socket(const struct source_config *config, struct err *err)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    int length = source_datagram_address(config->address, &address);

    if (length < 0)
        return refuse(config, err);
    if (address.ss_family == AF_UNIX)
        remove_stale(((const struct sockaddr_un *)(const void *)&address)->sun_path);
    return bind_socket(config, (const struct sockaddr *)&address, (socklen_t)length, err);
}
