/* The only file with PF_CAN in it: opening a raw CAN socket and hearing of link changes. It is
 * opened for receiving; nothing in this program calls a sending function on it. */
#include "daemon/source.h"

#include <errno.h>
#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Everything is received: FD frames where the kernel knows them (old ones say ENOPROTOOPT and give
 * classic frames only), all error classes, our own host's frames by the default loopback. */
static int set_options(int fd)
{
    const can_err_mask_t errors = CAN_ERR_MASK;
    const int on = 1;

    if (setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &on, sizeof on) < 0 && errno != ENOPROTOOPT)
        return -errno;
    if (setsockopt(fd, SOL_CAN_RAW, CAN_RAW_ERR_FILTER, &errors, sizeof errors) < 0)
        return -errno;
    return 0;
}

static int bind_interface(int fd, const char *name)
{
    struct sockaddr_can address = { .can_family = AF_CAN };
    socklen_t size = sizeof(int);
    int error;

    address.can_ifindex = (int)if_nametoindex(name);
    if (address.can_ifindex == 0)
        return -ENODEV;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    /* Of an interface that is down, bind leaves ENETDOWN behind; source_can_is_up says that better, and
     * later the old error would look like going down again. */
    (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return 0;
}

int source_can_socket(const struct source_config *config, struct err *err)
{
    int fd = socket(PF_CAN, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, CAN_RAW);

    if (fd < 0)
        return err_plain(err, -errno, "source %s: this kernel gives no CAN socket: %s",
                         config->name, strerror(errno));
    int code = set_options(fd);
    if (code == 0)
        code = bind_interface(fd, config->address);
    if (code < 0) {
        (void)close(fd);
        return err_plain(err, code, "source %s: CAN interface '%s': %s", config->name,
                         config->address, strerror(-code));
    }
    return fd;
}

/* An ioctl and no netlink: it waits for no lock that a slow driver holds. */
bool source_can_is_up(int fd, const char *name)
{
    struct ifreq request = { .ifr_flags = 0 };

    if (strlen(name) >= sizeof request.ifr_name)
        return false;
    memcpy(request.ifr_name, name, strlen(name) + 1);
    return ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP);
}

int source_link_monitor(void)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int code = -errno;
        (void)close(fd);
        return code;
    }
    return fd;
}

static bool holds_link_change(const void *bytes, size_t size)
{
    const struct nlmsghdr *header = bytes;

    for (; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size))
        if (header->nlmsg_type == RTM_NEWLINK || header->nlmsg_type == RTM_DELLINK)
            return true;
    return false;
}

bool source_link_changed(int fd)
{
    _Alignas(struct nlmsghdr) char bytes[8192];
    bool changed = false;
    ssize_t n;

    /* An overrun (ENOBUFS) lost messages: taken as a change, since looking is harmless. */
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0 || (n < 0 && errno == ENOBUFS))
        changed |= n < 0 || holds_link_change(bytes, (size_t)n);
    return changed;
}
