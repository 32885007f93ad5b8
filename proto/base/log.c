/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h. */
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"

enum { MAX_LINE = 512, GUEST_LINES = 10, GUEST_WINDOW_S = 10 };

enum way {
    WAYS_WAIT, /* for room */
    WAYS_ASK,  /* whether there is room; who shares the open file may take it before we write */
    WAYS_OWN,  /* an open file of our own, which is not blocking */
    WAYS_SOCKET,
};

/* The log is the one thing every function may reach without being handed it. */
static struct {
    char name[24];
    enum log_level min;
    enum way way;
    bool to_journal;
    unsigned dropped; /* lines, since the last one that was written */
} log_state = { .min = LOG_LEVEL_INFO };

static _Thread_local struct {
    time_t window_start;
    unsigned lines, suppressed;
} guest_limit;

void log_init(const char *name, enum log_level min)
{
    snprintf(log_state.name, sizeof log_state.name, "%s", name);
    log_state.min = min;
}

/* Who was given a fifo to read as well is its reader where there is no other, and is not to lose that. */
static int own_access(const struct stat *st)
{
    int flags = fcntl(FD_LOG, F_GETFL);

    return S_ISFIFO(st->st_mode) && flags >= 0 && (flags & O_ACCMODE) == O_RDWR ? O_RDWR : O_WRONLY;
}

bool log_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(FD_LOG, &st) == 0 &&
           st.st_dev == dev && st.st_ino == ino;
}

void log_never_wait(void)
{
    struct stat st;
    int fd = -1;

    log_state.to_journal = log_is_journal();
    log_state.way = WAYS_ASK;
    if (fstat(FD_LOG, &st) < 0)
        return;
    if (S_ISSOCK(st.st_mode))
        log_state.way = WAYS_SOCKET;
    else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        fd = open("/proc/self/fd/2", own_access(&st) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (dup2(fd, FD_LOG) == FD_LOG)
        log_state.way = WAYS_OWN;
    close(fd);
}

static bool has_room(void)
{
    struct pollfd p = { .fd = FD_LOG, .events = POLLOUT };

    return log_state.way != WAYS_ASK || poll(&p, 1, 0) == 1;
}

/* False: it was not written, or not whole, and by a log that must not wait. */
static bool put(const char *line, size_t len)
{
    ssize_t n;

    if (!has_room())
        return false;
    if (log_state.way == WAYS_SOCKET)
        n = send(FD_LOG, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        n = write(FD_LOG, line, len);
    return log_state.way == WAYS_WAIT || n == (ssize_t)len;
}

static void say_dropped(void)
{
    char line[MAX_LINE];
    int n = snprintf(line, sizeof line, "%s%s: %u lines were not written: nobody reads\n",
                     log_state.to_journal ? "<4>" : "", log_state.name, log_state.dropped);

    if (put(line, (size_t)n))
        log_state.dropped = 0;
}

static void emit(enum log_level level, const char *fmt, va_list args)
{
    static const char *const marks[] = { "debug: ", "", "warning: ", "error: " };
    static const char *const priorities[] = { "<7>", "<6>", "<4>", "<3>" }; /* sd-daemon(3) */
    char line[MAX_LINE];
    int n, m;

    n = snprintf(line, sizeof line, "%s%s%s%s", log_state.to_journal ? priorities[level] : "",
                 log_state.name, log_state.name[0] ? ": " : "", marks[level]);
    m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
    if (m < 0)
        return;
    n = MIN(n + m, (int)sizeof line - 2);
    line[n++] = '\n';
    /* A full pipe drops the line: a log must never hold up a device, nor the broker. */
    if (log_state.dropped > 0)
        say_dropped();
    if (!put(line, (size_t)n))
        log_state.dropped++;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;

    if (level < log_state.min)
        return;
    va_start(args, fmt);
    emit(level, fmt, args);
    va_end(args);
}

void log_guest(const char *fmt, ...)
{
    struct timespec now;
    va_list args;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (guest_limit.window_start == 0 || now.tv_sec - guest_limit.window_start >= GUEST_WINDOW_S) {
        if (guest_limit.suppressed > 0)
            log_line(LOG_LEVEL_WARN, "guest: %u more lines in %d s not shown",
                     guest_limit.suppressed, GUEST_WINDOW_S);
        guest_limit.window_start = now.tv_sec;
        guest_limit.lines = 0;
        guest_limit.suppressed = 0;
    }
    if (guest_limit.lines >= GUEST_LINES) {
        guest_limit.suppressed++;
        return;
    }
    guest_limit.lines++;
    va_start(args, fmt);
    emit(LOG_LEVEL_WARN, fmt, args);
    va_end(args);
}
