/* End to end: whole processes over the drive, from its text to sealed clips; the controls are the
 * same programs doing less, so that the ratio says what rules, ring and clips cost. And the bytes
 * of the clips against what else could have been sent. */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ROUNDS 5
#define COMMAND_MAX 4096

static double seconds_of(const char *command)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin_ns = bench_now_ns();
        int status = system(command);
        if (status != 0) {
            fprintf(stderr, "bench: exit status %d from: %s\n", WEXITSTATUS(status), command);
            exit(1);
        }
        double took = (double)(bench_now_ns() - begin_ns) * 1e-9;
        best = took < best ? took : best;
    }
    return best;
}

static double number_from(const char *command)
{
    double value = 0;
    FILE *pipe = popen(command, "r");

    if (!pipe || fscanf(pipe, "%lf", &value) != 1) {
        fprintf(stderr, "bench: no number from: %s\n", command);
        exit(1);
    }
    (void)pclose(pipe);
    return value;
}

static double size_of(const char *command)
{
    char counted[COMMAND_MAX + 16];

    (void)snprintf(counted, sizeof counted, "{ %s; } | wc -c", command);
    return number_from(counted);
}

static void sizes(const char *roadloop, const struct bench_log *log)
{
    char command[COMMAND_MAX];

    (void)snprintf(command, sizeof command, "cat build/bench/clips/*.rlc");
    double rlc = size_of(command);
    (void)snprintf(command, sizeof command,
                   "for c in build/bench/clips/*.rlc; do %s convert $c - --out candump | zstd -3 -c; done",
                   roadloop);
    double text = size_of(command);
    (void)snprintf(command, sizeof command,
                   "for c in build/bench/clips/*.rlc; do %s convert $c $c.mcap >/dev/null && cat $c.mcap; done",
                   roadloop);
    double mcap = size_of(command);
    (void)snprintf(command, sizeof command,
                   "for c in build/bench/clips/*.rlc; do %s convert $c - --out candump; done | wc -l",
                   roadloop);
    double frames = number_from(command);
    printf("clips of the demo drive: %.0f frames (of %s)\n", frames, log->path);
    printf("  .rlc, everything in it   %9.0f bytes  %6.2f B/frame\n", rlc, rlc / frames);
    printf("  candump text + zstd -3   %9.0f bytes  %6.2f B/frame   %.2f times ours\n", text,
           text / frames, text / rlc);
    printf("  MCAP chunks + zstd -3    %9.0f bytes  %6.2f B/frame   %.2f times ours\n", mcap,
           mcap / frames, mcap / rlc);
}

void bench_replay(const struct bench_log *log)
{
    const char *roadloop = "build/release/roadloop";
    char replay[COMMAND_MAX], rows[COMMAND_MAX], text[COMMAND_MAX], dbcs[COMMAND_MAX] = "";

    for (int i = 0; log->dbc[i]; i++) {
        strncat(dbcs, " --dbc ", sizeof dbcs - strlen(dbcs) - 1);
        strncat(dbcs, log->dbc[i], sizeof dbcs - strlen(dbcs) - 1);
    }
    (void)snprintf(replay, sizeof replay,
                   "rm -rf build/bench/clips && mkdir -p build/bench && %s replay %s --rules %s%s --out "
                   "build/bench/clips >/dev/null", roadloop, log->path, log->pack, dbcs);
    (void)snprintf(rows, sizeof rows, "%s convert %s build/bench/all.rlc --codec rows", roadloop,
                   log->path);
    (void)snprintf(text, sizeof text, "%s convert %s - --out candump >/dev/null", roadloop,
                   log->path);
    (void)snprintf(dbcs, sizeof dbcs, "wc -l <%s", log->path);
    double frames = number_from(dbcs);
    double ours = seconds_of(replay), plain = seconds_of(rows), parse = seconds_of(text);
    printf("%-34s %9.3f M frames/s   text to text: %.3f M   ratio %.2f\n",
           "end to end: replay to sealed clips", frames / ours / 1e6, frames / parse / 1e6,
           parse / ours);
    printf("%-34s %9.3f M frames/s   text to text: %.3f M   ratio %.2f\n",
           "convert to .rlc, plain rows", frames / plain / 1e6, frames / parse / 1e6,
           parse / plain);
    sizes(roadloop, log);
}
