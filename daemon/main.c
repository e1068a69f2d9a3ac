/* roadloopd: the options, and nothing else. */
#include "daemon/app.h"

#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_DEFAULT "/etc/roadloop/roadloop.yaml"

static const char usage[] =
    "usage: roadloopd [--config FILE] [--check-config] [--once] [--version]\n"
    "\n"
    "  --config FILE    default " CONFIG_DEFAULT "\n"
    "  --check-config   read it with its packs and databases, say what is wrong, and exit\n"
    "  --once           with a recording: exit when all its clips are sealed and delivered\n"
    "\n"
    "SIGHUP reloads packs and databases; SIGTERM stops. Exit status: 0 good, 1 failed, 2 bad input.\n";

static int check_config(const char *path)
{
    static struct config config;
    static struct diags diags;
    const char *packs[CONFIG_PACKS_MAX], *dbcs[CONFIG_DBCS_MAX];
    struct generation *generation = NULL;
    int code = config_load(path, &diags, &config);

    if (code == 0) {
        for (uint32_t i = 0; i < config.pack_count; i++)
            packs[i] = config.packs[i];
        for (uint32_t i = 0; i < config.dbc_count; i++)
            dbcs[i] = config.dbcs[i];
        const struct generation_config from = { .packs = packs, .pack_count = config.pack_count,
                                                .dbcs = dbcs, .dbc_count = config.dbc_count };
        code = generation_load(&from, &diags, &generation);
    }
    diags_print(&diags, stderr);
    if (code)
        return 2;
    (void)printf("%s: good: %u sources, %u rules, %u databases\n", path, config.source_count,
                 generation->rules ? ruleset_count(generation->rules) : 0, generation->dbc_count);
    generation_close(generation);
    return 0;
}

/* Memory stays bounded under a flood: with an arena for each thread, and a threshold that grows with
 * what is freed, blocks of the ring leave holes that nobody else fills (5 to 8 MiB). */
static void bound_heap(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

static int run(const struct app_options *options)
{
    static struct app app; /* too large for a stack; main.c may have it */
    bound_heap(); /* before there are threads */
    int status = app_open(&app, options);

    if (status == 0)
        status = app_run(&app);
    app_close(&app);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "config", required_argument, NULL, 'c' }, { "check-config", no_argument, NULL, 'k' },
        { "once", no_argument, NULL, 'o' },         { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    struct app_options options = { .config = CONFIG_DEFAULT };
    bool check = false;
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'c': options.config = optarg; break;
        case 'k': check = true; break;
        case 'o': options.once = true; break;
        case 'v': (void)printf("roadloopd %s\n", ROADLOOP_VERSION); return 0;
        case 'h': (void)fputs(usage, stdout); return 0;
        default: (void)fputs(usage, stderr); return 2;
        }
    }
    if (optind < argc) {
        (void)fputs(usage, stderr);
        return 2;
    }
    return check ? check_config(options.config) : run(&options);
}
