/* cmd - one function a command of `roadloop`. Adding one: tools/cmd_<name>.c with
 * `int cmd_<name>(int argc, char **argv)`, its prototype here, a line in the table of roadloop.c.
 * argv[0] is the command's own name. Returns the exit status: 0 good, 1 the answer is no, 2 bad
 * input. Errors go to standard error, with file:line:column where there is one. */
#ifndef TOOLS_CMD_H
#define TOOLS_CMD_H
#include "proto/err.h"

#define CMD_GOOD 0
#define CMD_NO 1
#define CMD_BAD 2

/* Prints "roadloop <command>: <err>" on standard error and returns CMD_BAD. */
int cmd_fail(const char *command, const struct err *err);
/* Prints the usage text on standard error, after `why` where it is not NULL; returns CMD_BAD. */
int cmd_usage(const char *command, const char *usage, const char *why);

int cmd_backtest(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_catalogue(int argc, char **argv);
int cmd_mock_broker(int argc, char **argv);
int cmd_where(int argc, char **argv);
int cmd_retry(int argc, char **argv);
int cmd_trigger(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_simulate(int argc, char **argv);
int cmd_topics(int argc, char **argv);
int cmd_sink(int argc, char **argv);

#endif
