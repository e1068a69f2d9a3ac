/* cmd_replay_to - `roadloop replay` with --to: it sends instead of running rules. For cmd_replay.c. */
#ifndef TOOLS_CMD_REPLAY_TO_H
#define TOOLS_CMD_REPLAY_TO_H
#include "tools/cmd.h"

#include <stdbool.h>

/* Whether the arguments have --to. */
bool replay_to_wanted(int argc, char **argv);
/* Parses them and plays. Returns the exit status. */
int cmd_replay_to(int argc, char **argv);

#endif
