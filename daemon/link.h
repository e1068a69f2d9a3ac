/* link - what the kernel knows of a network interface: whether it is up, its counters (IFLA_STATS64),
 * and of a CAN controller its state, error counters and bit rate. Asked over rtnetlink; nothing here
 * touches a bus.
 * Thread: main. The kernel answers under a lock that a slow driver may hold for long, which capture
 * must not wait for. */
#ifndef DAEMON_LINK_H
#define DAEMON_LINK_H
#include "proto/clip.h"

#include <stddef.h>

#define LINK_EVERY_NS NS_PER_S
#define LINK_ANSWER_MAX 16384 /* an answer with all attributes of a CAN interface has some 1,500 bytes */

/* Returns a descriptor for link_ask, to be closed by the caller, or a negative errno. */
int link_open(void);

/* Asks for the interface `name` and waits for the answer, which the kernel makes at once. mono_ns
 * labels it. Returns 0; -ENODEV: there is none; -EBADMSG: no answer that can be read; or another
 * negative errno. *ret_interface is untouched on failure. */
int link_ask(int fd, const char *name, int64_t mono_ns, struct clip_interface *ret_interface);

/* Reads one netlink datagram with an RTM_NEWLINK (or an NLMSG_ERROR). Pure. The same returns. */
int link_parse(const void *bytes, size_t size, int64_t mono_ns,
               struct clip_interface *ret_interface);

#endif
