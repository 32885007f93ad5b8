/* SPDX-License-Identifier: Apache-2.0 */
/* rotated.c - see rotated.h. */
#include "console/rotated.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"

enum { PIECE_BYTES = 16384 };

/* The bytes at `at`, as many as there are and fit; 0 at the end, and where they can't be read. */
static size_t read_at(int fd, uint8_t *dst, size_t size, uint64_t at)
{
    ssize_t n;

    do
        n = pread(fd, dst, size, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? 0 : (size_t)n;
}

/* How many of them the file took. */
static size_t append(int fd, const uint8_t *bytes, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, bytes + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static void empty(int fd)
{
    while (ftruncate(fd, 0) < 0 && errno == EINTR)
        ;
}

static void lose(struct rotated *log, size_t len)
{
    log->lost_bytes += len;
    if (!log->failing && len > 0)
        log_warn("the %s log can't be written: %s: what comes is lost", log->name, strerror(errno));
    log->failing |= len > 0;
}

/* Whoever is killed in here leaves both as they were, or the older one as a copy of the beginning of the current one. */
static void rotate(struct rotated *log)
{
    uint64_t at = log->size_bytes > log->limit_bytes ? log->size_bytes - log->limit_bytes : 0;
    uint8_t piece[PIECE_BYTES];
    size_t n;

    empty(log->old_fd);
    while ((n = read_at(log->fd, piece, sizeof piece, at)) > 0) {
        at += n;
        lose(log, n - append(log->old_fd, piece, n));
    }
    empty(log->fd);
    log->size_bytes = 0;
}

static bool is_copy_of_beginning(const struct rotated *log, uint64_t old_bytes)
{
    uint8_t a[PIECE_BYTES], b[PIECE_BYTES];
    uint64_t at = 0;

    if (old_bytes > log->size_bytes)
        return false;
    while (at < old_bytes) {
        size_t n = read_at(log->old_fd, a, sizeof a, at);

        if (n == 0 || read_at(log->fd, b, n, at) != n || memcmp(a, b, n) != 0)
            return false;
        at += n;
    }
    return old_bytes > 0;
}

int rotated_init(struct rotated *log, const char *name, int fd, int old_fd, uint64_t limit_bytes)
{
    struct stat now, before;

    if (fstat(fd, &now) < 0 || fstat(old_fd, &before) < 0)
        return err_origin(-errno, "the %s log", name);
    *log = (struct rotated){ .fd = fd,
                             .old_fd = old_fd,
                             .name = name,
                             .limit_bytes = limit_bytes,
                             .size_bytes = (uint64_t)now.st_size };
    if (is_copy_of_beginning(log, (uint64_t)before.st_size))
        empty(old_fd);
    return 0;
}

void rotated_write(struct rotated *log, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;

    while (len > 0) {
        size_t n = MIN(len, (size_t)log->limit_bytes), done;

        if (log->size_bytes > 0 && log->size_bytes + n > log->limit_bytes)
            rotate(log);
        done = append(log->fd, from, n);
        log->size_bytes += done;
        if (done == n && log->failing) {
            log->failing = false;
            log_warn("the %s log is written again; %llu bytes were lost", log->name,
                     (unsigned long long)log->lost_bytes);
            log->lost_bytes = 0;
        }
        lose(log, n - done);
        from += n;
        len -= n;
    }
}
