/* LD_PRELOAD: counts malloc, calloc and realloc by the name of the thread, and says so at the end.
 * For tests/e2e/daemon_allocations.sh. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define NAMES 6
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static const char *const names[NAMES] = { "capture", "pipeline", "encode", "store", "upload",
                                          "other" };
static _Atomic unsigned long counts[NAMES];
static __thread int mine = NAMES - 1; /* looked up again until the thread has its name */

static void count(void)
{
    char name[32] = "";

    if (mine == NAMES - 1) {
        (void)prctl(PR_GET_NAME, name);
        for (int i = 0; i < NAMES - 1; i++)
            if (strcmp(name, names[i]) == 0)
                mine = i;
    }
    counts[mine]++;
}

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    count();
    return __libc_realloc(old, size);
}

__attribute__((destructor)) static void say(void)
{
    for (int i = 0; i < NAMES; i++)
        (void)fprintf(stderr, "allocations %s %lu\n", names[i], counts[i]);
}
