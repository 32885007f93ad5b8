/* SPDX-License-Identifier: Apache-2.0 */
/* closer.c - see closer.h. A thread has one descriptor at a time: its pipe brings the number, and a pipe from all of them the
 * thread's own when that is closed. What waits is kept here. The first number is for nobody: threads begin when all are made,
 * since none may be made after. */
#include "hostd/run/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/enter.h"

enum { STACK_BYTES = 65536, BEGIN = -1, NOFILE = 1024 };

struct item {
    struct item *next;
    uint64_t whose, ticket;
    int fd;
};

struct queue {
    struct item *first, **last;
    size_t n;
};

struct worker {
    const struct sandbox_filter *filter;
    int in, told, done; /* read end; write end; of done */
    uint8_t number;
    /* The main thread's: what it is at, NULL: nothing; and more of the same one's. */
    struct item *item;
    struct queue queue;
};

struct closer {
    struct closer_config config;
    struct loop_event *event;
    struct worker workers[CLOSER_THREADS];
    struct queue others; /* of those for whom there is no thread */
    size_t n, max;       /* all that is not closed */
    int done;
};

/* ---- threads ---- */

static void *work(void *arg)
{
    struct worker *w = arg;
    int fd;

    while (read(w->in, &fd, sizeof fd) == (ssize_t)sizeof fd)
        if (fd != BEGIN) {
            close(fd);
            if (write(w->done, &w->number, 1) != 1)
                break;
        } else if (w->filter && sandbox_enter_thread(w->filter) < 0) {
            log_error("a thread's sandbox: %s", err_text());
            _exit(EXIT_FAILURE);
        }
    return NULL;
}

/* Its pipe is empty: it has one at a time. */
static void tell(const struct worker *w, int fd)
{
    if (write(w->told, &fd, sizeof fd) != (ssize_t)sizeof fd)
        log_error("a thread that closes: %s", strerror(errno));
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
    for (unsigned i = 0; r == 0 && i < CLOSER_THREADS; i++) {
        closer->workers[i].filter = filter;
        r = pthread_create(&thread, &attr, work, &closer->workers[i]);
    }
    if (r != 0)
        return err_origin(-r, "a thread that closes");
    for (unsigned i = 0; i < CLOSER_THREADS; i++)
        tell(&closer->workers[i], BEGIN);
    return 0;
}

/* ---- who is next ---- */

static void append(struct queue *queue, struct item *item)
{
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
    queue->n++;
}

/* What follows *at. */
static struct item *take_out(struct queue *queue, struct item **at)
{
    struct item *item = *at;

    *at = item->next;
    if (!*at)
        queue->last = at;
    queue->n--;
    return item;
}

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){ .first = NULL };
    queue->last = &queue->first;
}

/* The one that is at another of his, else one that is at nothing; NULL: all are at others'. */
static struct worker *find_worker(struct closer *closer, uint64_t whose)
{
    struct worker *idle = NULL;

    for (unsigned i = 0; i < CLOSER_THREADS; i++) {
        struct worker *w = &closer->workers[i];

        if (w->item && w->item->whose == whose)
            return w;
        idle = w->item ? idle : w;
    }
    return idle;
}

static void give(struct worker *w, struct item *item)
{
    if (w->item) {
        append(&w->queue, item);
        return;
    }
    w->item = item;
    tell(w, item->fd);
}

/* The next one of the same, else of who has waited longest for a thread, with all that is his. */
static void go_on(struct closer *closer, struct worker *w)
{
    struct item **at = &closer->others.first;

    if (w->queue.first) {
        give(w, take_out(&w->queue, &w->queue.first));
        return;
    }
    while (*at)
        if (!w->item || (*at)->whose == w->item->whose)
            give(w, take_out(&closer->others, at));
        else
            at = &(*at)->next;
}

static void on_done(int fd, unsigned what, void *arg)
{
    struct closer *closer = arg;
    uint8_t numbers[CLOSER_THREADS];
    uint64_t tickets[CLOSER_THREADS];
    ssize_t n = read(fd, numbers, sizeof numbers);

    (void)what;
    for (ssize_t i = 0; i < n; i++) {
        struct worker *w = &closer->workers[numbers[i]];

        tickets[i] = w->item->ticket;
        free(w->item);
        w->item = NULL;
        closer->n--;
        go_on(closer, w);
    }
    for (ssize_t i = 0; i < n; i++)
        if (tickets[i] != 0)
            closer->config.on_closed(closer->config.arg, tickets[i]);
}

static void put(struct closer *closer, uint64_t whose, uint64_t ticket, int fd)
{
    struct item *item = malloc(sizeof *item);
    struct worker *w = find_worker(closer, whose);

    if (!item) {
        log_warn("no memory to close a descriptor: it stays open");
        return;
    }
    *item = (struct item){ .whose = whose, .ticket = ticket, .fd = fd };
    if (++closer->n == closer->max)
        closer->config.on_full(closer->config.arg);
    if (w)
        give(w, item);
    else
        append(&closer->others, item);
}

bool closer_has_many(const struct closer *closer, uint64_t whose)
{
    size_t n = 0;

    for (unsigned i = 0; i < CLOSER_THREADS; i++)
        if (closer->workers[i].item && closer->workers[i].item->whose == whose)
            return closer->workers[i].queue.n >= CLOSER_MANY;
    for (const struct item *i = closer->others.first; i && n < CLOSER_MANY; i = i->next)
        n += i->whose == whose;
    return n >= CLOSER_MANY;
}

/* ---- what is closed ---- */

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

bool closer_close(struct closer *closer, uint64_t whose, uint64_t ticket, int fd)
{
    if (shutdown(fd, SHUT_RDWR) == 0 || errno == ENOTCONN) {
        if (has_nothing(fd)) {
            close(fd);
            return true;
        }
    }
    put(closer, whose, ticket, fd);
    return false;
}

void closer_drop(struct closer *closer, uint64_t whose, int fd)
{
    put(closer, whose, 0, fd);
}

/* FNV-1a: two that meet wait for each other. */
uint64_t closer_of_tenant(const char *tenant)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *tenant; tenant++)
        hash = (hash ^ (uint8_t)*tenant) * UINT64_C(0x100000001b3);
    return hash | UINT64_C(1) << 63;
}

uint64_t closer_of_stranger(uint32_t uid)
{
    return uid;
}

/* ---- its life ---- */

static int make_pipes(struct closer *closer)
{
    int done[2], pipe_fds[2];

    if (pipe2(done, O_CLOEXEC) < 0)
        return -errno;
    closer->done = done[0];
    for (unsigned i = 0; i < CLOSER_THREADS; i++) {
        if (pipe2(pipe_fds, O_CLOEXEC) < 0 || fd_set_nonblock(pipe_fds[1]) < 0)
            return -errno;
        closer->workers[i] = (struct worker){
            .in = pipe_fds[0], .told = pipe_fds[1], .done = done[1], .number = (uint8_t)i
        };
        queue_init(&closer->workers[i].queue);
    }
    return fd_set_nonblock(closer->done) < 0 ? -errno : 0;
}

int closer_new(struct closer **ret_closer, const struct closer_config *config)
{
    struct closer *closer = calloc(1, sizeof *closer);
    struct rlimit files = { .rlim_cur = NOFILE };
    int r;

    if (!closer)
        return err_origin(-ENOMEM, "the closer");
    (void)getrlimit(RLIMIT_NOFILE, &files);
    closer->config = *config;
    queue_init(&closer->others);
    closer->max = (size_t)(files.rlim_cur / 2);
    r = make_pipes(closer);
    if (r < 0) { /* the process ends */
        free(closer);
        return err_origin(r, "the closer's pipes");
    }
    r = loop_add_fd(config->loop, closer->done, LOOP_READ, on_done, closer, &closer->event);
    if (r < 0) {
        free(closer);
        return err_trace(r);
    }
    *ret_closer = closer;
    return 0;
}

void closer_free(struct closer *closer)
{
    if (!closer)
        return;
    loop_event_free(closer->event);
    closer->event = NULL; /* the rest is the threads' */
}
