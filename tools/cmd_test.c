/* roadloop test: files of tests for rules. */
#include "tools/cmd.h"
#include "tools/rulestest/mutate.h"
#include "tools/rulestest/testfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 256
#define DBCS_MAX 16
#define VERDICT_BYTES 65536

static const char usage[] =
    "usage: roadloop test FILE... [--dbc [BUS=]FILE]... [--mutate] [--junit FILE] [--quiet]\n"
    "\n"
    "Runs the cases of each file: samples of signals (or a recorded log) through the rules, once as\n"
    "`replay` and once as the car with a clock that moves by itself, and compares what comes with what\n"
    "the case expects. docs/RULES.md says how a file looks. --mutate then changes the packs in small\n"
    "ways, one at a time, and lists the changes that no test notices. Exit status: 0 all passed, 1 a\n"
    "case failed or a mutant survived, 2 bad input.\n";

struct run {
    const char *files[FILES_MAX], *dbcs[DBCS_MAX];
    uint32_t file_count, dbc_count;
    bool mutate, quiet;
    const char *junit_path;
    FILE *junit;
    uint32_t passed, failed, mutants, killed;
    char *text; /* VERDICT_BYTES */
};

/* --- the JUnit form --- */

static void xml_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        const char *name = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;"
                           : *text == '"' ? "&quot;" : NULL;
        if (name)
            (void)fputs(name, to);
        else if ((unsigned char)*text >= ' ' || *text == '\n')
            (void)fputc(*text, to);
    }
}

static void junit_case(struct run *run, const char *file, const char *name,
                       const struct verdict *verdict)
{
    if (!run->junit)
        return;
    (void)fputs("  <testcase classname=\"", run->junit);
    xml_text(run->junit, file);
    (void)fputs("\" name=\"", run->junit);
    xml_text(run->junit, name);
    if (verdict->failures) {
        (void)fputs("\"><failure>", run->junit);
        xml_text(run->junit, verdict->text);
        (void)fputs("</failure></testcase>\n", run->junit);
    } else {
        (void)fputs("\"/>\n", run->junit);
    }
}

/* --- one file --- */

static int report_case(struct run *run, const char *file, const char *name,
                       const struct verdict *verdict)
{
    junit_case(run, file, name, verdict);
    if (!verdict->failures) {
        run->passed++;
        if (!run->quiet)
            (void)printf("ok    %s: %s\n", file, name);
    } else {
        run->failed++;
        (void)printf("FAIL  %s: %s\n%s", file, name, verdict->text);
    }
    return 0;
}

static int run_cases(struct run *run, const char *path, struct testfile *file,
                     const struct ruleset_pack *packs, struct diags *diags, struct err *err)
{
    for (uint32_t i = 0; i < file->case_count; i++) {
        struct verdict verdict = { run->text, VERDICT_BYTES, 0, 0 };
        run->text[0] = '\0';
        int rc = testfile_run(file, i, packs, diags, &verdict, err);
        if (rc)
            return rc;
        (void)report_case(run, path, testfile_name(file, i), &verdict);
    }
    return 0;
}

/* --- mutants --- */

enum fate { MUTANT_KILLED, MUTANT_SURVIVES, MUTANT_REFUSED };

static enum fate fate_of(struct run *run, struct testfile *file, const struct ruleset_pack *packs)
{
    static struct diags diags;
    struct err err = { 0 };

    for (uint32_t i = 0; i < file->case_count; i++) {
        struct verdict verdict = { run->text, VERDICT_BYTES, 0, 0 };
        memset(&diags, 0, sizeof diags);
        if (testfile_run(file, i, packs, &diags, &verdict, &err))
            return diags.errors ? MUTANT_REFUSED : MUTANT_KILLED;
        if (verdict.failures)
            return MUTANT_KILLED;
    }
    return MUTANT_SURVIVES;
}

static int mutate_pack(struct run *run, struct testfile *file, const struct ruleset_pack *packs,
                       uint32_t which)
{
    struct ruleset_pack changed[TESTFILE_LIST_MAX];
    struct mutant mutant = { .bytes = NULL };
    int rc;

    memcpy(changed, packs, file->pack_count * sizeof *packs);
    for (uint32_t i = 0; (rc = mutant_make(file->pack_trees[which], packs[which].bytes,
                                           packs[which].size, i, &mutant)) == 1; i++) {
        changed[which].bytes = mutant.bytes;
        changed[which].size = mutant.size;
        enum fate fate = fate_of(run, file, changed);
        run->mutants += fate != MUTANT_REFUSED; /* one that does not load says nothing of the tests */
        run->killed += fate == MUTANT_KILLED;
        if (fate == MUTANT_SURVIVES)
            (void)printf("survives  %s:%u:%u: %s\n", packs[which].name, mutant.line, mutant.column,
                         mutant.what);
        mutant_deinit(&mutant);
    }
    return rc;
}

static int run_file(struct run *run, const char *path, struct diags *diags, struct err *err)
{
    struct ruleset_pack packs[TESTFILE_LIST_MAX];
    struct testfile file;
    struct texts *texts = NULL;
    uint32_t failed = run->failed;
    int rc = testfile_open(path, run->dbcs, run->dbc_count, &file, diags, err);

    if (!rc && texts_open(&texts))
        rc = err_plain(err, -ENOMEM, "no memory");
    if (!rc)
        rc = texts_packs(texts, file.packs, file.pack_count, NULL, 0, packs, NULL, err);
    if (!rc)
        rc = run_cases(run, path, &file, packs, diags, err);
    for (uint32_t i = 0; !rc && run->mutate && run->failed == failed && i < file.pack_count; i++)
        rc = mutate_pack(run, &file, packs, i);
    texts_close(texts);
    testfile_close(&file);
    return rc;
}

/* --- the command --- */

static int take(struct run *run, int argc, char **argv, int *i)
{
    const char *name = argv[*i], *value = *i + 1 < argc ? argv[*i + 1] : NULL;

    if (!strcmp(name, "--mutate"))
        return run->mutate = true, 0;
    if (!strcmp(name, "--quiet"))
        return run->quiet = true, 0;
    if (name[0] != '-') {
        if (run->file_count == FILES_MAX)
            return -ENOSPC;
        return run->files[run->file_count++] = name, 0;
    }
    ++*i;
    if (!strcmp(name, "--junit") && value)
        return run->junit_path = value, 0;
    if (strcmp(name, "--dbc") != 0 || !value || run->dbc_count == DBCS_MAX)
        return -EINVAL;
    return run->dbcs[run->dbc_count++] = value, 0;
}

static int parse_arguments(int argc, char **argv, struct run *run)
{
    char why[128];

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (!take(run, argc, argv, &i))
            continue;
        (void)snprintf(why, sizeof why, "cannot take %.80s", name);
        return cmd_usage("test", usage, why);
    }
    return run->file_count ? 0 : cmd_usage("test", usage, "needs a file of tests");
}

static int run_files(struct run *run)
{
    static struct diags diags;
    struct err err = { 0 };

    for (uint32_t i = 0; i < run->file_count; i++) {
        memset(&diags, 0, sizeof diags);
        int rc = run_file(run, run->files[i], &diags, &err);
        if (!rc)
            continue;
        (void)printf("cannot run %s\n", run->files[i]);
        diags_print(&diags, stderr);
        return err.text[0] ? cmd_fail("test", &err) : CMD_BAD;
    }
    (void)printf("%u passed, %u failed\n", run->passed, run->failed);
    if (run->mutate)
        (void)printf("%u of %u mutants killed (%.0f %%)\n", run->killed, run->mutants,
                     run->mutants ? 100.0 * run->killed / run->mutants : 100.0);
    return run->failed || run->killed < run->mutants ? CMD_NO : CMD_GOOD;
}

int cmd_test(int argc, char **argv)
{
    static struct run run;

    if (argc > 1 && !strcmp(argv[1], "--help"))
        return (void)fputs(usage, stdout), CMD_GOOD;
    if (parse_arguments(argc, argv, &run))
        return CMD_BAD;
    run.text = malloc(VERDICT_BYTES);
    run.junit = run.junit_path ? fopen(run.junit_path, "w") : NULL;
    if (!run.text || (run.junit_path && !run.junit)) {
        (void)fprintf(stderr, "roadloop test: %s: %s\n", run.junit_path ? run.junit_path : "memory",
                      strerror(errno));
        free(run.text);
        return CMD_BAD;
    }
    if (run.junit)
        (void)fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"roadloop\">\n",
                    run.junit);
    int rc = run_files(&run);
    if (run.junit && (fputs("</testsuite>\n", run.junit) < 0 || fclose(run.junit)))
        rc = CMD_BAD;
    free(run.text);
    return rc;
}
