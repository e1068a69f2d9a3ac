#include "tools/sender.h"

#include "daemon/source.h"

#include <errno.h>
#include <linux/can.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct sender {
    char to[SOURCE_ADDRESS_MAX];
    int fd;
    bool is_can;
};

/* --- opening --- */

static int refuse(const char *to, const char *what, int code, struct err *err)
{
    return err_plain(err, code, "--to %s: %s: %s", to, what, strerror(-code));
}

static int open_can(const char *to, struct err *err)
{
    struct sockaddr_can address = { .can_family = AF_CAN };
    const int on = 1;

    if (strlen(to) >= IFNAMSIZ || strpbrk(to, "/: "))
        return err_plain(err, -EINVAL, "--to %s: expected a CAN interface, udp:A.B.C.D:PORT or "
                         "unix:/PATH", to);
    int fd = socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC, CAN_RAW);
    if (fd < 0)
        return refuse(to, "this kernel gives no CAN socket", -errno, err);
    address.can_ifindex = (int)if_nametoindex(to);
    if (!address.can_ifindex ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int code = address.can_ifindex ? -errno : -ENODEV;
        (void)close(fd);
        return refuse(to, "CAN interface", code, err);
    }
    /* An old kernel without CAN FD refuses the frames themselves. No filter: it only sends. */
    (void)setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &on, sizeof on);
    (void)setsockopt(fd, SOL_CAN_RAW, CAN_RAW_FILTER, NULL, 0);
    return fd;
}

static int open_datagram(const char *to, const struct sockaddr_storage *address, int length,
                         struct err *err)
{
    int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, (socklen_t)length) == 0)
        return fd;
    int code = -errno;
    if (fd >= 0)
        (void)close(fd);
    return refuse(to, "connect", code, err);
}

int sender_open(const char *to, struct sender **ret_sender, struct err *err)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    int length = source_datagram_address(to, &address);

    if (strlen(to) >= SOURCE_ADDRESS_MAX)
        return err_plain(err, -EINVAL, "--to: an address has at most %d bytes",
                         SOURCE_ADDRESS_MAX - 1);
    int fd = length > 0 ? open_datagram(to, &address, length, err) : open_can(to, err);
    if (fd < 0)
        return fd;
    struct sender *sender = calloc(1, sizeof *sender);
    if (!sender) {
        (void)close(fd);
        return err_plain(err, -ENOMEM, "out of memory");
    }
    (void)memcpy(sender->to, to, strlen(to) + 1);
    sender->fd = fd;
    sender->is_can = length < 0;
    *ret_sender = sender;
    return 0;
}

void sender_close(struct sender *sender)
{
    if (!sender)
        return;
    (void)close(sender->fd);
    free(sender);
}

/* --- sending --- */

static canid_t can_id(const struct frame *frame)
{
    return frame->id | (frame->flags & FRAME_EFF ? CAN_EFF_FLAG : 0) |
           (frame->flags & FRAME_RTR ? CAN_RTR_FLAG : 0);
}

static size_t make_classic(const struct frame *frame, void *bytes)
{
    struct can_frame can = { .can_id = can_id(frame), .len = frame->len };

    if (frame->flags & FRAME_RTR)
        can.len = frame->dlc > CAN_MAX_DLEN ? CAN_MAX_DLEN : frame->dlc;
    else if (frame->dlc > CAN_MAX_DLEN)
        can.len8_dlc = frame->dlc;
    memcpy(can.data, frame->data, frame->len);
    memcpy(bytes, &can, sizeof can);
    return sizeof can;
}

static size_t make_fd(const struct frame *frame, void *bytes)
{
    struct canfd_frame can = { .can_id = can_id(frame), .len = frame->len };

    can.flags = (uint8_t)((frame->flags & FRAME_BRS ? CANFD_BRS : 0) |
                          (frame->flags & FRAME_ESI ? CANFD_ESI : 0));
    memcpy(can.data, frame->data, frame->len);
    memcpy(bytes, &can, sizeof can);
    return sizeof can;
}

static int put_failed(const struct sender *sender, const struct frame *frame, int code,
                      struct err *err)
{
    if (code == -ENOBUFS)
        return err_plain(err, code, "--to %s: its queue stays full: no other node acknowledges, or "
                         "its bit rate is another", sender->to);
    if (code == -EINVAL && sender->is_can && (frame->flags & FRAME_FD))
        return err_plain(err, code, "--to %s: the recording has CAN FD frames and the interface "
                         "takes none (ip link: type can fd on; a vcan: mtu 72)", sender->to);
    return err_plain(err, code, "--to %s: %s", sender->to, strerror(-code));
}

int sender_put(struct sender *sender, const struct frame *frame, struct err *err)
{
    const struct timespec turn = { .tv_nsec = NS_PER_MS };
    uint8_t bytes[CANFD_MTU];

    if (frame->flags & FRAME_ERR)
        return 0;
    size_t size = frame->flags & FRAME_FD ? make_fd(frame, bytes) : make_classic(frame, bytes);
    for (int64_t waited_ns = 0;; waited_ns += turn.tv_nsec) {
        if (send(sender->fd, bytes, size, 0) == (ssize_t)size)
            return 1;
        if (errno != ENOBUFS || waited_ns >= SENDER_WAIT_NS)
            return put_failed(sender, frame, -errno, err);
        (void)nanosleep(&turn, NULL);
    }
}
