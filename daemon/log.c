#include "daemon/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void log_init(struct log *log, bool prefix, int64_t now_ns)
{
    *log = (struct log){ .prefix = prefix, .credit = LOG_BURST, .last_ns = now_ns };
}

static void refill(struct log *log, int64_t now_ns)
{
    int64_t more = (now_ns - log->last_ns) * LOG_PER_S / NS_PER_S;

    if (more <= 0)
        return;
    log->last_ns = now_ns;
    log->credit = log->credit + more > LOG_BURST ? LOG_BURST : log->credit + more;
}

static void put(struct log *log, enum log_level level, const char *text)
{
    log->lines++;
    if (log->prefix)
        (void)fprintf(stderr, "<%d>%s\n", (int)level, text);
    else
        (void)fprintf(stderr, "%s\n", text);
}

void log_line(struct log *log, enum log_level level, int64_t now_ns, const char *format, ...)
{
    char text[ERR_FILE_MAX + ERR_TEXT_MAX + 64];
    va_list args;

    refill(log, now_ns);
    if (log->credit <= 0 && level > LOG_ERROR) {
        log->suppressed++;
        log->owed++;
        return;
    }
    if (log->owed && log->credit > 1) {
        (void)snprintf(text, sizeof text, "%llu lines were held back",
                       (unsigned long long)log->owed);
        log->owed = 0;
        log->credit--;
        put(log, LOG_NOTICE, text);
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log->credit -= log->credit > 0;
    put(log, level, text);
}

void log_diags(struct log *log, const struct diags *diags, int64_t now_ns)
{
    char text[ERR_FILE_MAX + ERR_TEXT_MAX + 32];

    for (uint32_t i = 0; i < diags->count; i++) {
        const struct diag *item = &diags->items[i];
        (void)err_format(&item->err, text, sizeof text);
        log_line(log, item->severity == DIAG_ERROR ? LOG_ERROR : LOG_WARNING, now_ns, "%s", text);
    }
    if (diags->errors + diags->warnings > diags->count)
        log_line(log, LOG_WARNING, now_ns, "and %u more",
                 diags->errors + diags->warnings - diags->count);
}

void log_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, strlen(path));
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        to.sun_path[0] = 0; /* abstract */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to, size);
    (void)close(fd);
}
