/* log - lines for the journal on standard error: "<n>text" with the priority in front, at most
 * LOG_BURST at once and LOG_PER_S a second after that; what is held back is counted and said.
 * Only main logs. A value; no clock. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H
#include "daemon/worker.h"

#define LOG_BURST 200
#define LOG_PER_S 20

struct log {
    bool prefix;        /* false on a terminal: people do not want "<6>" */
    int64_t credit, last_ns;
    uint64_t lines, suppressed, owed; /* owed: held back and not yet said */
};

void log_init(struct log *log, bool prefix, int64_t now_ns);
/* LOG_ERROR is never held back. */
void log_line(struct log *log, enum log_level level, int64_t now_ns, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Each diagnostic as a line. */
void log_diags(struct log *log, const struct diags *diags, int64_t now_ns);

/* One datagram to $NOTIFY_SOCKET ("READY=1"); nothing where there is none. */
void log_notify(const char *text);

#endif
