/* The command line: looks up the command and hands over. All commands: tools/cmd_<name>.c. */
#include "tools/cmd.h"

#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("roadloop %s\n", ROADLOOP_VERSION);
    return CMD_GOOD;
}

static const struct command commands[] = {
    { "backtest", cmd_backtest, "what packs would have sent from recorded drives" },
    { "catalogue", cmd_catalogue, "an SQLite index of a dataset" },
    { "check", cmd_check, "compile packs and databases; what each rule costs and promises" },
    { "test", cmd_test, "run files of tests for rules, and mutants of the rules" },
    { "replay", cmd_replay, "run rules over recordings or clips: events, and clips with --out" },
    { "convert", cmd_convert, "turn a recording into another format, or cut it" },
    { "inspect", cmd_inspect, "show what a clip holds, and check every byte of it" },
    { "mock-broker", cmd_mock_broker, "a Kafka cluster in memory, for demos and tests" },
    { "simulate", cmd_simulate, "a fleet in one process, for the load of brokers and sinks" },
    { "sink", cmd_sink, "the receiving end: run, status, reexport" },
    { "topics", cmd_topics, "make the Kafka topics of an environment, or say how they differ" },
    { "status", cmd_status, "what the daemon does now" },
    { "doctor", cmd_doctor, "what is wrong with this vehicle, and what to do" },
    { "where", cmd_where, "the state of a clip in this vehicle, and why it was not sent" },
    { "retry", cmd_retry, "send parked clips once more" },
    { "trigger", cmd_trigger, "cut a clip by hand, around now" },
    { "reload", cmd_reload, "take over changed packs and databases" },
    { "version", cmd_version, "print the version" },
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void usage(FILE *to)
{
    (void)fprintf(to, "usage: roadloop COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].help);
    (void)fprintf(to, "\n`roadloop COMMAND --help` says more. Exit status: 0 good, 1 the answer is "
                      "no, 2 bad input.\n");
}

static int unknown(const char *name)
{
    const char *names[COMMAND_COUNT];

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    const char *nearest = err_nearest(name, names, COMMAND_COUNT);
    (void)fprintf(stderr, "roadloop: no command '%s'%s%s%s\n", name,
                  nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return CMD_BAD;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return CMD_BAD;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return CMD_GOOD;
    }
    if (!strcmp(argv[1], "--version"))
        return cmd_version(argc - 1, argv + 1);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return unknown(argv[1]);
}
