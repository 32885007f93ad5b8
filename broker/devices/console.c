/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - what the serial port or the virtio console speaks to: the client's
 * terminal, a file, a unix socket, a pty, or nothing. In all modes but the socket there are two
 * descriptors, in and out. */
#include "devices/console.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include "base/fd.h"
#include "devices/backend.h"
#include "devices/cache.h"
#include "resources/open.h"

/* An open file description of our own, so that O_NONBLOCK does not reach the user's shell. A
 * regular file keeps its description, whose offset is the place to append at; what can't be
 * reopened (a socket) is shared. */
static int reopen(int fd, int access)
{
    struct stat st;
    char link[48];
    int own = -1;

    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        own = open(link, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int open_null(const char *what, int access, int *ret_fd, struct fault *f)
{
    *ret_fd = open("/dev/null", access | O_CLOEXEC);
    return *ret_fd < 0 ? fault_host(f, errno, "%s: /dev/null: %s", what, strerror(errno)) : 0;
}

static int use_tty(const char *what, const int *tty, struct backend *b, struct fault *f)
{
    if (!tty)
        return fault_input(f,
                           "%s wants a terminal but the client has none: use off, null, pty, "
                           "file=PATH or socket=PATH",
                           what);
    b->own[0] = reopen(tty[0], O_RDONLY);
    b->own[1] = reopen(tty[1], O_WRONLY);
    b->n_own = 2;
    b->cache_bytes = cache_of_log(b->own[1]);
    if (b->own[0] < 0 || b->own[1] < 0)
        return fault_host(f, errno, "%s: the terminal: %s", what, strerror(errno));
    b->keys = isatty(b->own[0]); /* not what a pipe or a file brings */
    return 0;
}

static int use_file(const struct trees *trees, const char *what, const char *path,
                    struct backend *b, struct fault *f)
{
    int r = open_null(what, O_RDONLY, &b->own[0], f);

    if (r < 0)
        return r;
    r = resources_append(trees, what, path, &b->own[1], f);
    if (r < 0)
        return r;
    b->n_own = 2;
    b->cache_bytes = cache_of_log(b->own[1]);
    return 0;
}

static int use_pty(const char *what, struct backend *b, struct fault *f)
{
    struct termios t;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (master < 0)
        return fault_host(f, errno, "%s: no pty: %s", what, strerror(errno));
    b->own[0] = master;
    b->own[1] = fcntl(master, F_DUPFD_CLOEXEC, 3);
    b->n_own = 2;
    if (b->own[1] < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
        ptsname_r(master, b->pty_path, sizeof b->pty_path) != 0)
        return fault_host(f, errno, "%s: setting up a pty: %s", what, strerror(errno));
    /* Held open, so that the master doesn't see a hangup while nobody is attached; raw, so that
     * the guest's output isn't echoed back as its input. */
    b->held[0] = open(b->pty_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (b->held[0] < 0 || tcgetattr(b->held[0], &t) < 0)
        return fault_host(f, errno, "%s: opening %s: %s", what, b->pty_path, strerror(errno));
    cfmakeraw(&t);
    tcsetattr(b->held[0], TCSANOW, &t);
    return 0;
}

static int use_null(const char *what, struct backend *b, struct fault *f)
{
    int r = open_null(what, O_RDONLY, &b->own[0], f);

    if (r == 0)
        r = open_null(what, O_WRONLY, &b->own[1], f);
    b->n_own = 2;
    return r;
}

int resources_console(const struct trees *trees, const char *what, const Bulkhead__ConsoleConfig *c,
                      const int *tty, struct backend *b, struct fault *f)
{
    int r;

    switch (c->mode) {
    case BULKHEAD__CONSOLE_MODE__CONSOLE_TTY:
        return use_tty(what, tty, b, f);
    case BULKHEAD__CONSOLE_MODE__CONSOLE_FILE:
        return use_file(trees, what, c->path, b, f);
    case BULKHEAD__CONSOLE_MODE__CONSOLE_PTY:
        return use_pty(what, b, f);
    case BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET:
        r = socket_path_listen(trees, what, c->path, SOCK_STREAM, &b->socket, &b->own[0], f);
        if (r == 0)
            b->n_own = 1;
        return r;
    case BULKHEAD__CONSOLE_MODE__CONSOLE_OFF:
    case BULKHEAD__CONSOLE_MODE__CONSOLE_NULL:
    case _BULKHEAD__CONSOLE_MODE_IS_INT_SIZE:
    default:
        return use_null(what, b, f);
    }
}
