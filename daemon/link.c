#include "daemon/link.h"

#include <errno.h>
#include <linux/can/netlink.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- attributes --- */

/* Bytes of `at` that hold attributes; *at moves to the next. NULL at the end, or at what cannot be. */
static const struct rtattr *next_attribute(const uint8_t **at, size_t *left)
{
    struct rtattr head;

    if (*left < sizeof head)
        return NULL;
    memcpy(&head, *at, sizeof head);
    if (head.rta_len < sizeof head || head.rta_len > *left)
        return NULL;
    const struct rtattr *attribute = (const void *)*at;
    size_t step = RTA_ALIGN(head.rta_len);
    step = step > *left ? *left : step;
    *at += step;
    *left -= step;
    return attribute;
}

static const uint8_t *payload(const struct rtattr *attribute, size_t *ret_size)
{
    *ret_size = attribute->rta_len - sizeof *attribute;
    return (const uint8_t *)attribute + sizeof *attribute;
}

/* Copies what is there of a kernel struct; an older kernel's may be shorter: the rest stays zero. */
static void copy_struct(const struct rtattr *attribute, void *to, size_t room)
{
    size_t size;
    const uint8_t *from = payload(attribute, &size);

    memcpy(to, from, size < room ? size : room);
}

static void take_stats(const struct rtattr *attribute, struct clip_interface *to)
{
    struct rtnl_link_stats64 stats = { 0 };

    copy_struct(attribute, &stats, sizeof stats);
    to->rx_frames = stats.rx_packets;
    to->rx_errors = stats.rx_errors;
    to->rx_dropped = stats.rx_dropped;
    to->rx_overruns = stats.rx_over_errors;
    to->rx_missed = stats.rx_missed_errors;
}

static void take_can_data(const struct rtattr *data, struct clip_interface *to)
{
    struct can_berr_counter errors = { 0 };
    struct can_bittiming timing = { 0 };
    uint32_t state = UINT32_MAX;
    const struct rtattr *attribute;
    size_t left;
    const uint8_t *at = payload(data, &left);

    while ((attribute = next_attribute(&at, &left))) {
        if (attribute->rta_type == IFLA_CAN_STATE)
            copy_struct(attribute, &state, sizeof state);
        else if (attribute->rta_type == IFLA_CAN_BERR_COUNTER)
            copy_struct(attribute, &errors, sizeof errors);
        else if (attribute->rta_type == IFLA_CAN_BITTIMING)
            copy_struct(attribute, &timing, sizeof timing);
    }
    if (state < CLIP_BUS_SLEEPING)
        to->bus_state = (uint8_t)(state + 1);
    to->tx_error_count = errors.txerr;
    to->rx_error_count = errors.rxerr;
    to->bitrate = timing.bitrate;
}

static void take_can_stats(const struct rtattr *attribute, struct clip_interface *to)
{
    struct can_device_stats stats = { 0 };

    copy_struct(attribute, &stats, sizeof stats);
    to->restarts = stats.restarts;
    to->bus_errors = stats.bus_error;
    to->arbitration_lost = stats.arbitration_lost;
    to->warnings = stats.error_warning;
    to->passives = stats.error_passive;
    to->bus_offs = stats.bus_off;
}

/* Data and statistics mean what the kind says: only those of "can" are read. */
static void take_link_info(const struct rtattr *info, struct clip_interface *to)
{
    const struct rtattr *attribute, *data = NULL, *stats = NULL;
    bool is_can = false;
    size_t left, size;
    const uint8_t *at = payload(info, &left);

    while ((attribute = next_attribute(&at, &left))) {
        const uint8_t *bytes = payload(attribute, &size);
        if (attribute->rta_type == IFLA_INFO_KIND)
            is_can = size == sizeof "can" && memcmp(bytes, "can", sizeof "can") == 0;
        else if (attribute->rta_type == IFLA_INFO_DATA)
            data = attribute;
        else if (attribute->rta_type == IFLA_INFO_XSTATS)
            stats = attribute;
    }
    if (is_can && data)
        take_can_data(data, to);
    if (is_can && stats)
        take_can_stats(stats, to);
}

/* --- messages --- */

static int take_link(const uint8_t *at, size_t left, struct clip_interface *to)
{
    const struct rtattr *attribute;
    struct ifinfomsg info;

    if (left < NLMSG_ALIGN(sizeof info))
        return -EBADMSG;
    memcpy(&info, at, sizeof info);
    to->known = true;
    to->up = (info.ifi_flags & IFF_UP) != 0;
    at += NLMSG_ALIGN(sizeof info);
    left -= NLMSG_ALIGN(sizeof info);
    while ((attribute = next_attribute(&at, &left))) {
        if (attribute->rta_type == IFLA_STATS64)
            take_stats(attribute, to);
        else if (attribute->rta_type == IFLA_LINKINFO)
            take_link_info(attribute, to);
    }
    return 0;
}

int link_parse(const void *bytes, size_t size, int64_t mono_ns,
               struct clip_interface *ret_interface)
{
    struct clip_interface interface = { .mono_ns = mono_ns };
    struct nlmsghdr header;
    struct nlmsgerr error;

    if (size < sizeof header)
        return -EBADMSG;
    memcpy(&header, bytes, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > size)
        return -EBADMSG;
    const uint8_t *at = (const uint8_t *)bytes + NLMSG_HDRLEN;
    size_t left = header.nlmsg_len - NLMSG_HDRLEN;
    if (header.nlmsg_type == NLMSG_ERROR && left >= sizeof error) {
        memcpy(&error, at, sizeof error);
        return error.error < 0 ? error.error : -EBADMSG;
    }
    int code = header.nlmsg_type == RTM_NEWLINK ? take_link(at, left, &interface) : -EBADMSG;
    if (code == 0)
        *ret_interface = interface;
    return code;
}

/* --- asking --- */

int link_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

    return fd < 0 ? -errno : fd;
}

static int send_question(int fd, const char *name)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
        struct rtattr attribute;
        char name[IFNAMSIZ];
    } question = { .header = { .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST } };
    size_t length = strlen(name) + 1;

    if (length > sizeof question.name)
        return -ENODEV;
    memcpy(question.name, name, length);
    question.attribute.rta_type = IFLA_IFNAME;
    question.attribute.rta_len = (unsigned short)RTA_LENGTH(length);
    question.header.nlmsg_len = (uint32_t)(offsetof(__typeof__(question), name) + RTA_ALIGN(length));
    return send(fd, &question, question.header.nlmsg_len, 0) < 0 ? -errno : 0;
}

int link_ask(int fd, const char *name, int64_t mono_ns, struct clip_interface *ret_interface)
{
    _Alignas(struct nlmsghdr) uint8_t answer[LINK_ANSWER_MAX];

    /* An answer to a question that failed half-way would be taken for this one's. */
    while (recv(fd, answer, sizeof answer, 0) > 0)
        ;
    int code = send_question(fd, name);
    if (code < 0)
        return code;
    ssize_t size = recv(fd, answer, sizeof answer, 0);
    if (size < 0)
        return errno == EAGAIN ? -EBADMSG : -errno;
    return link_parse(answer, (size_t)size, mono_ns, ret_interface);
}
