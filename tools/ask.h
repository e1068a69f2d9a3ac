/* ask - one question to the daemon's control socket, one answer. */
#ifndef TOOLS_ASK_H
#define TOOLS_ASK_H
#include "proto/err.h"

#include <stddef.h>

#define ASK_ANSWER_MAX 262144
#define ASK_CONFIG_DEFAULT "/etc/roadloop/roadloop.yaml"
#define ASK_SOCKET_DEFAULT "/run/roadloop/control.sock"
#define ASK_PATH_MAX 256

/* Where the socket is: `socket` where given, else what the configuration `config` says, else (both
 * NULL) what the default configuration says, else the default. Returns 0, or -EBADMSG with *err. */
int ask_path(const char *socket, const char *config, char ret_path[ASK_PATH_MAX], struct err *err);

/* Sends `line` (without newline) and fills answer with what comes, NUL-terminated, without its last
 * newline. Waits at most 25 s. Returns 0; or a negative errno with *err in words for people. */
int ask(const char *path, const char *line, char answer[ASK_ANSWER_MAX], struct err *err);

#endif
