#include "tools/backtest/pool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker {
    pid_t pid; /* 0: free */
    int fd;
    struct pool_job *job;
};

struct pool {
    struct worker workers[POOL_PROCESSES_MAX];
    uint32_t processes;
};

static int start(struct pool *pool, struct worker *worker, struct pool_job *job)
{
    int ends[2];

    if (pipe(ends))
        return -errno;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        int rc = -errno;
        (void)close(ends[0]);
        (void)close(ends[1]);
        return rc;
    }
    if (!pid) {
        (void)close(ends[0]);
        for (uint32_t i = 0; i < pool->processes; i++)
            if (pool->workers[i].pid)
                (void)close(pool->workers[i].fd);
        job_run(job->options, ends[1]);
        _exit(0);
    }
    (void)close(ends[1]);
    *worker = (struct worker){ pid, ends[0], job };
    return 0;
}

/* 1: more may come; 0: the end; negative errno. */
static int read_some(struct worker *worker)
{
    struct pool_job *job = worker->job;

    if (job->size == job->room) {
        size_t room = job->room ? job->room * 2 : 65536;
        uint8_t *more = realloc(job->bytes, room);
        if (!more)
            return -ENOMEM;
        job->bytes = more;
        job->room = room;
    }
    ssize_t got = read(worker->fd, job->bytes + job->size, job->room - job->size);
    if (got < 0)
        return errno == EINTR ? 1 : -errno;
    job->size += (size_t)got;
    return got > 0;
}

/* Where the last record begins, or -1 when the stream is cut. */
static int64_t last_record(const struct pool_job *job, struct job_record *ret_head)
{
    int64_t last = -1;

    for (size_t at = 0; at < job->size;) {
        if (job->size - at < sizeof *ret_head)
            return -1;
        memcpy(ret_head, job->bytes + at, sizeof *ret_head);
        if (job->size - at - sizeof *ret_head < ret_head->size)
            return -1;
        last = (int64_t)at;
        at += sizeof *ret_head + ret_head->size;
    }
    return last;
}

static void finish(struct worker *worker)
{
    struct job_record head;
    int status = 0;

    (void)close(worker->fd);
    while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR)
        ;
    worker->pid = 0;
    worker->job->failed = status != 0 || last_record(worker->job, &head) < 0 ||
                          head.kind != JOB_END;
}

static void stop_all(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->processes; i++)
        if (pool->workers[i].pid) /* its next write gets SIGPIPE */
            finish(&pool->workers[i]);
}

/* Waits for one of them to say something; returns how many ended, or a negative errno. */
static int serve(struct pool *pool)
{
    struct pollfd fds[POOL_PROCESSES_MAX];
    struct worker *of[POOL_PROCESSES_MAX];
    nfds_t count = 0;
    int ended = 0;

    for (uint32_t i = 0; i < pool->processes; i++) {
        if (!pool->workers[i].pid)
            continue;
        of[count] = &pool->workers[i];
        fds[count++] = (struct pollfd){ .fd = pool->workers[i].fd, .events = POLLIN };
    }
    if (poll(fds, count, -1) < 0)
        return errno == EINTR ? 0 : -errno;
    for (nfds_t i = 0; i < count; i++) {
        int rc = fds[i].revents ? read_some(of[i]) : 1;
        if (rc < 0)
            return rc;
        if (rc)
            continue;
        finish(of[i]);
        ended++;
    }
    return ended;
}

int pool_run(struct pool_job *jobs, uint32_t count, uint32_t processes,
             void (*progress)(void *context, uint32_t ended), void *context)
{
    struct pool pool = { .processes = processes > POOL_PROCESSES_MAX ? POOL_PROCESSES_MAX
                                                                     : processes };
    uint32_t next = 0, ended = 0;
    int rc = 0;

    while (ended < count && rc >= 0) {
        for (uint32_t i = 0; rc >= 0 && i < pool.processes && next < count; i++)
            if (!pool.workers[i].pid)
                rc = start(&pool, &pool.workers[i], &jobs[next++]);
        if (rc < 0 || (rc = serve(&pool)) < 0)
            break;
        ended += (uint32_t)rc;
        if (rc && progress)
            progress(context, ended);
    }
    stop_all(&pool);
    return rc < 0 ? rc : 0;
}

char *pool_error(const struct pool_job *job)
{
    struct job_record head;
    int64_t at = last_record(job, &head);

    if (at < 0 || head.kind != JOB_ERROR)
        return strdup("the run died before its end\n");
    return strndup((const char *)job->bytes + at + sizeof head, head.size);
}
