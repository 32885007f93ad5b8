/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.c - between a device and its skeleton; see hostile.h. The functions named __wrap_* take
 * the place of the skeleton's (ld --wrap), which are then __real_*. */
#include "hostile.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "device-procs/common/worker.h"
#include "device-procs/common/worker_main.h"
#include "device-procs/common/worker_run.h"
#include "device-procs/common/worker_say.h"
#include "device-procs/common/worker_state.h"
#include "sandbox/enter.h"
#include "sandbox/seccomp.h"

/* In the broker's care a new build is on probation first: a death within it is rolled back. */
enum { TICK_MS = 10, SERVE_FIRST_MS = 6500, SERVE_MS = 20, PATIENCE_MS = 10000, BEAT_MS = 100 };

static const struct hostile_table *const tables[] = {
    &hostile_files,    &hostile_processes, &hostile_kernel,  &hostile_ring,
    &hostile_messages, &hostile_nuisances, &hostile_exhaust,
};

int __real_worker_main(const struct worker_ops *ops, int argc, char **argv);
int __wrap_worker_main(const struct worker_ops *ops, int argc, char **argv);
int __real_worker_watch(struct worker *w);
int __wrap_worker_watch(struct worker *w);
int __real_worker_send(struct worker *w, const Bulkhead__Envelope *envelope);
int __wrap_worker_send(struct worker *w, const Bulkhead__Envelope *envelope);
int __real_sandbox_enter(const struct sandbox_filter *filter, const int *keep, unsigned n_keep,
                         const struct sandbox_limits *limits, bool insecure, unsigned *ret_missing);
int __wrap_sandbox_enter(const struct sandbox_filter *filter, const int *keep, unsigned n_keep,
                         const struct sandbox_limits *limits, bool insecure, unsigned *ret_missing);
int __real_vq_new(struct vq **ret_vq, const struct vq_config *config);
int __wrap_vq_new(struct vq **ret_vq, const struct vq_config *config);
int __real_vq_activate(struct vq *vq, const struct vq_addresses *a, uint64_t features, bool resume);
int __wrap_vq_activate(struct vq *vq, const struct vq_addresses *a, uint64_t features, bool resume);

struct worker *hostile_worker;
static struct hostile_box *box;
static const struct hostile_action *action; /* the next one; NULL: all were tried */
static uint64_t serve_until_ns;
static char hello_lie[32];
static unsigned stride = 1, phase; /* only each stride-th action, from phase on */
static char only[HOSTILE_NAME_BYTES];
static bool idle; /* there is no driver to wait for */

static void say(const char *fmt, ...)
{
    char line[160];
    va_list ap;
    int n;

    if (box->at_once)
        return;
    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0 && write(FD_LOG, line, MIN((size_t)n, sizeof line - 1)) < 0)
        return; /* a full pipe */
}

/* ---- which action ---- */

static const struct hostile_action *find(unsigned index)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        if (index < tables[i]->n)
            return &tables[i]->actions[index];
        index -= tables[i]->n;
    }
    return NULL;
}

static bool applies(unsigned index, const struct worker *w)
{
    const struct hostile_action *a = find(index);

    if (only[0] != '\0' ? strcmp(a->name, only) != 0 : a->by_name || index % stride != phase)
        return false;
    if (a->roles != 0 && !(a->roles & hostile_role(w->ops->role)))
        return false;
    return strncmp(a->name, "ring-", 5) != 0 || hostile_has_fence();
}

/* Sets action, and the box's place behind it. */
static void choose(struct worker *w)
{
    unsigned n = 0;

    for (; n < HOSTILE_MAX && find(n); n++)
        box->kinds[n] = applies(n, w) ? (uint8_t)find(n)->kind : HOSTILE_NOT_OURS;
    box->n_actions = n;
    while (box->next < n && !applies(box->next, w))
        box->next++;
    action = find(box->next);
    box->current = box->next;
    box->kind = action ? action->kind : 0;
    box->state = HOSTILE_NONE;
    box->error = 0;
    snprintf(box->name, sizeof box->name, "%s", action ? action->name : "");
}

static void announce_try(void)
{
    static const char *const kinds[] = { "call", "ring", "message", "lie", "nuisance", "control" };

    box->state = HOSTILE_TRYING;
    box->next = box->current + 1; /* whatever becomes of this life */
    say("hostile: try %u %s %s\n", box->current, kinds[action->kind], box->name);
}

static void say_all_tried(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < box->n_actions; i++)
        n += box->kinds[i] != HOSTILE_NOT_OURS;
    say("hostile: all %u tried\n", n);
}

static void judge(long r)
{
    unsigned n = box->current;

    if (action->kind == HOSTILE_NUISANCE || (action->kind == HOSTILE_CONTROL && r >= 0)) {
        box->state = HOSTILE_DONE;
        say("hostile: %u %s done\n", n, box->name);
    } else if (action->kind == HOSTILE_CONTROL) {
        box->error = (int32_t)-r;
        box->state = HOSTILE_BROKEN;
        say("hostile: %u %s BROKEN: %s\n", n, box->name, strerrorname_np((int)-r));
    } else if (r >= 0 || (action->reached != 0 && r == -action->reached)) {
        box->state = HOSTILE_SUCCEEDED;
        say("hostile: %u %s SUCCEEDED (%ld)\n", n, box->name, r);
    } else {
        box->error = (int32_t)-r;
        box->state = HOSTILE_DENIED;
        say("hostile: %u %s denied: %s\n", n, box->name, strerrorname_np((int)-r));
    }
}

/* ---- for actions ---- */

long hostile_call(long nr, const uint64_t *args)
{
    long r = syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);

    return r < 0 ? -errno : r;
}

long hostile_await_end(struct worker *w)
{
    uint64_t end = now_ns() + PATIENCE_MS * 1000000ull;
    struct pollfd p = { .fd = FD_CONTROL };

    while (now_ns() < end) {
        if (w->stats)
            __atomic_fetch_add(&w->stats->heartbeat, 1, __ATOMIC_RELAXED);
        if (poll(&p, 1, BEAT_MS) > 0 && (p.revents & (POLLHUP | POLLNVAL)) == POLLHUP)
            return -EPIPE; /* the broker hung up; SIGKILL is on its way */
        if (p.revents & POLLNVAL)
            p.fd = FD_STDIN; /* closed by ourselves */
    }
    return 0;
}

long hostile_send_raw(const void *bytes, uint64_t len, unsigned n_fds)
{
    struct iovec iov = { (void *)(uintptr_t)bytes, len };
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(256 * sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    int *fds = (int *)(void *)CMSG_DATA(&control.header);
    long r;

    if (n_fds > 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        for (unsigned i = 0; i < n_fds; i++)
            fds[i] = FD_STDIN;
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    }
    r = sendmsg(FD_CONTROL, &msg, MSG_NOSIGNAL);
    return r < 0 ? -errno : r;
}

/* ---- the way of a worker ---- */

static long run(struct worker *w)
{
    return action->run ? action->run(w, action->arg) : hostile_call(action->nr, action->args);
}

/* Tries on until something ends this process, or all were tried. */
static void on_tick(int fd, unsigned what, void *arg)
{
    struct worker *w = arg;

    (void)fd;
    (void)what;
    if (!action || (box->at_once != 1 && !w->activated && !idle) ||
        (!box->at_once && now_ns() < serve_until_ns))
        return;
    if (action->on_ready) { /* that was at the start of this life */
        judge(action->kind == HOSTILE_NUISANCE ? 0 : hostile_await_end(w));
        if (action->kind != HOSTILE_NUISANCE)
            _exit(4);
    } else {
        announce_try();
        judge(run(w));
    }
    if (box->at_once || action->kind == HOSTILE_NUISANCE || action->kind == HOSTILE_MESSAGE ||
        action->kind == HOSTILE_LIE)
        _exit(3);
    choose(w);
    if (!action)
        say_all_tried();
    else if (action->on_ready)
        _exit(3); /* needs a life of its own */
}

int __wrap_worker_watch(struct worker *w)
{
    struct loop_event *tick = NULL;
    /* The page may be one in which all others were tried. */
    const uint32_t magic = only[0] == '\0' ? HOSTILE_MAGIC : HOSTILE_MAGIC + 1;
    int r = __real_worker_watch(w);

    hostile_worker = w;
    box = (struct hostile_box *)(void *)((uint8_t *)w->stats + HOSTILE_BOX_OFFSET);
    if (w->n_queues == 0 && box->magic != HOSTILE_MAGIC)
        return r; /* the serial port is honest: the test reads there */
    if (box->magic != magic) {
        memset(box, 0, sizeof *box);
        box->magic = magic;
    }
    serve_until_ns = now_ns() + (box->lives++ == 0 ? SERVE_FIRST_MS : SERVE_MS) * 1000000ull;
    if (r == 0)
        r = hostile_fence_map();
    choose(w);
    if (!action)
        say_all_tried();
    if (r == 0)
        r = loop_add_timer(w->loop, on_tick, w, &tick);
    if (r == 0)
        r = loop_timer_arm(tick, box->at_once ? 1 : TICK_MS, true);
    return r;
}

int __wrap_sandbox_enter(const struct sandbox_filter *filter, const int *keep, unsigned n_keep,
                         const struct sandbox_limits *limits, bool insecure, unsigned *ret_missing)
{
    struct sandbox_limits roomy = *limits;

    if (!box || box->mode == HOSTILE_CAGED)
        return __real_sandbox_enter(filter, keep, n_keep, limits, insecure, ret_missing);
    *ret_missing = 0;
    if (box->mode == HOSTILE_OPEN)
        return 0;
    roomy.max_files += 64; /* it is not this limit that is looked at */
    return sandbox_enter_process(keep, n_keep, &roomy, insecure, ret_missing);
}

int __wrap_vq_new(struct vq **ret_vq, const struct vq_config *config)
{
    hostile_see_queue(config);
    return __real_vq_new(ret_vq, config);
}

int __wrap_vq_activate(struct vq *vq, const struct vq_addresses *a, uint64_t features, bool resume)
{
    hostile_see_rings(a);
    return __real_vq_activate(vq, a, features, resume);
}

/* ---- Hello and Ready ---- */

static void change_hello(Bulkhead__Hello *hello)
{
    static char noise[3000];

    if (strcmp(hello_lie, "role") == 0)
        hello->role = BULKHEAD__ROLE__ROLE_CORE;
    else if (strcmp(hello_lie, "no-role") == 0)
        hello->role = (Bulkhead__Role)77;
    else if (strcmp(hello_lie, "newer") == 0)
        hello->protocol_min = hello->protocol_max = PROTOCOL_MAX + 1;
    else if (strcmp(hello_lie, "older") == 0)
        hello->protocol_min = hello->protocol_max = 0;
    else if (strcmp(hello_lie, "build-id") == 0) {
        memset(noise, 0x1b, sizeof noise - 1);
        hello->build_id = noise;
    }
}

/* What comes instead of Hello, then the end. */
static void say_instead(struct worker *w)
{
    if (strcmp(hello_lie, "garbage") == 0)
        hostile_send_raw("\xff\xff\xff\xff", 4, 0);
    else if (strcmp(hello_lie, "ready") == 0)
        hostile_send_raw("\x62\x00", 2, 0);
    else if (strcmp(hello_lie, "fds") == 0)
        hostile_send_raw("\x52\x02\x20\x05", 4, 17);
    else if (strcmp(hello_lie, "leave") == 0)
        _exit(0);
    else if (strcmp(hello_lie, "silence") != 0)
        return;
    for (;;)
        if (hostile_await_end(w) < 0)
            _exit(1);
}

int __wrap_worker_send(struct worker *w, const Bulkhead__Envelope *envelope)
{
    Bulkhead__Envelope changed = *envelope;
    Bulkhead__Ready ready;
    long r;

    if (envelope->body_case == BULKHEAD__ENVELOPE__BODY_HELLO && hello_lie[0] != '\0') {
        Bulkhead__Hello hello = *envelope->hello;

        change_hello(&hello);
        say_instead(w);
        changed.hello = &hello;
        return __real_worker_send(w, &changed);
    }
    if (envelope->body_case != BULKHEAD__ENVELOPE__BODY_READY || !action || !action->on_ready)
        return __real_worker_send(w, envelope);
    announce_try();
    ready = *envelope->ready;
    r = action->on_ready(w, &ready, action->arg);
    if (r < 0)
        judge(r);
    changed.ready = &ready;
    return __real_worker_send(w, &changed);
}

/* Lies in Hello are asked for by name, since no page is there yet: as an argument by a test, by
 * the program's orders (/hello-role) where the broker starts it. These also
 * say which actions are its share (/share-1-of-4/), or the only one (/only-NAME/), and that no guest will
 * come (/idle/). */
static bool has_orders(int argc, char **argv)
{
    return argc >= 3 && strcmp(argv[1], "--failpoint") == 0;
}

/* One that is handed over finds no /proc in its empty root: a case writes into the copy what its path would say. */
static volatile char orders[64] = "ORDERS-GO-HERE";

static void learn_path(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 1);

    path[n > 0 ? n : 0] = '\0';
    if (orders[0] != '/')
        return;
    for (n = 0; n < (ssize_t)sizeof orders - 1 && orders[n] != '\0'; n++)
        path[n] = orders[n];
    path[n] = '\0';
}

static void learn_orders(int argc, char **argv)
{
    char path[512];
    const char *name = "", *share;

    learn_path(path, sizeof path);
    idle = strstr(path, "/idle/") != NULL;
    share = strstr(path, "/only-");
    if (share && sscanf(share, "/only-%39[^/]/", only) != 1)
        only[0] = '\0';
    share = strstr(path, "/share-");
    if (share && sscanf(share, "/share-%u-of-%u/", &phase, &stride) != 2)
        stride = 1;
    if (has_orders(argc, argv) && strncmp(argv[2], "hello-", 6) == 0)
        name = argv[2] + 6;
    else if (strstr(path, "/hello-"))
        name = strstr(path, "/hello-") + 7;
    snprintf(hello_lie, sizeof hello_lie, "%.31s", name);
}

int __wrap_worker_main(const struct worker_ops *ops, int argc, char **argv)
{
    int skip = has_orders(argc, argv) ? 2 : 0;

    learn_orders(argc, argv);
    return __real_worker_main(ops, argc - skip, argv + skip);
}
