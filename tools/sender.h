/* sender - frames put onto a CAN interface, or sent as datagrams to a daemon that takes such: the only
 * code of Roadloop that transmits, and no part of roadloopd (tests/e2e/never_sends.sh).
 * One thread; a full queue of the interface is waited for. */
#ifndef TOOLS_SENDER_H
#define TOOLS_SENDER_H
#include "proto/err.h"
#include "proto/frame.h"

#define SENDER_WAIT_NS (2 * NS_PER_S) /* a queue that stays full so long has nobody behind it */

struct sender;

/* `to`: an interface that is up, udp:A.B.C.D:PORT or unix:/PATH. Returns 0, or a negative errno with
 * *err filled. */
int sender_open(const char *to, struct sender **ret_sender, struct err *err);
void sender_close(struct sender *sender); /* takes NULL */

/* Returns 1; 0: an error frame, which a controller makes and nobody sends; or a negative errno with
 * *err filled. */
int sender_put(struct sender *sender, const struct frame *frame, struct err *err);

#endif
