/* SPDX-License-Identifier: Apache-2.0 */
/* closer.c - see closer.h. A pipe to each thread brings numbers of descriptors; one from them brings a byte for each that
 * is closed. The first number is for nobody: threads begin when all are made, since none may be made after. */
#include "hostd/run/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/enter.h"

enum { STACK_BYTES = 65536, BEGIN = -1 };

struct worker {
    const struct sandbox_filter *filter;
    int in, told, done; /* read end; write end; of done */
    enum closer_of of;
};

struct closer {
    struct loop_event *event;
    void (*on_closed)(void *arg, unsigned n);
    void *arg;
    struct worker workers[CLOSER__MAX];
    int done;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    char byte = 0;
    int fd;

    while (read(w->in, &fd, sizeof fd) == (ssize_t)sizeof fd)
        if (fd != BEGIN) {
            close(fd);
            if (w->of == CLOSER_OF_TENANTS && write(w->done, &byte, 1) != 1)
                break;
        } else if (w->filter && sandbox_enter_thread(w->filter) < 0) {
            log_error("a thread's sandbox: %s", err_text());
            _exit(EXIT_FAILURE);
        }
    return NULL;
}

static void on_done(int fd, unsigned what, void *arg)
{
    struct closer *closer = arg;
    char bytes[256];
    ssize_t n = read(fd, bytes, sizeof bytes);

    (void)what;
    if (n > 0)
        closer->on_closed(closer->arg, (unsigned)n);
}

int closer_new(struct closer **ret_closer, struct loop *loop,
               void (*on_closed)(void *arg, unsigned n), void *arg)
{
    struct closer *closer = calloc(1, sizeof *closer);
    int done[2], pipe_fds[2];

    if (!closer)
        return err_origin(-ENOMEM, "the closer");
    if (pipe2(done, O_CLOEXEC) < 0)
        goto fail;
    closer->done = done[0];
    closer->on_closed = on_closed;
    closer->arg = arg;
    for (unsigned i = 0; i < CLOSER__MAX; i++) {
        if (pipe2(pipe_fds, O_CLOEXEC) < 0 || fd_set_nonblock(pipe_fds[1]) < 0)
            goto fail;
        closer->workers[i] = (struct worker){
            .in = pipe_fds[0], .told = pipe_fds[1], .done = done[1], .of = (enum closer_of)i
        };
    }
    if (fd_set_nonblock(closer->done) < 0 ||
        loop_add_fd(loop, closer->done, LOOP_READ, on_done, closer, &closer->event) < 0)
        goto fail;
    *ret_closer = closer;
    return 0;
fail: /* the process ends */
    free(closer);
    return err_origin(-errno, "the closer's pipes");
}

static void tell(struct closer *closer, enum closer_of of, int fd)
{
    /* A pipe that is full: its thread waits, and has for long. The descriptor stays open. */
    if (write(closer->workers[of].told, &fd, sizeof fd) != (ssize_t)sizeof fd)
        log_warn("a descriptor can't be closed: closing another one takes too long");
}

int closer_start(struct closer *closer, const struct sandbox_filter *filter)
{
    pthread_attr_t attr;
    pthread_t thread;
    int r = pthread_attr_init(&attr);

    if (r == 0)
        r = pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (r == 0)
        r = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (unsigned i = 0; r == 0 && i < CLOSER__MAX; i++) {
        closer->workers[i].filter = filter;
        r = pthread_create(&thread, &attr, work, &closer->workers[i]);
    }
    if (r != 0)
        return err_origin(-r, "a thread that closes");
    for (unsigned i = 0; i < CLOSER__MAX; i++)
        tell(closer, (enum closer_of)i, BEGIN);
    return 0;
}

/* An empty message reads as an end; but a message comes with its sender's credentials, and an end doesn't. */
static bool has_nothing(int fd)
{
    int on = 1;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct msghdr msg = { .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };

    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return false;
    return recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 0 &&
           msg.msg_controllen == 0;
}

bool closer_close(struct closer *closer, enum closer_of of, int fd)
{
    if (shutdown(fd, SHUT_RDWR) == 0 || errno == ENOTCONN) {
        if (has_nothing(fd)) {
            close(fd);
            return true;
        }
    }
    tell(closer, of, fd);
    return false;
}

void closer_drop(struct closer *closer, enum closer_of of, int fd)
{
    tell(closer, of, fd);
}

void closer_free(struct closer *closer)
{
    if (!closer)
        return;
    loop_event_free(closer->event);
    closer->event = NULL; /* the rest is the threads' */
}
