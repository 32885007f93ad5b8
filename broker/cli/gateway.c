// SPDX-License-Identifier: Apache-2.0
// gateway.c - see gateway.h.
#include "gateway.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "client.h"
#include "client/gateway.h"
#include "client/rundir.h"
#include "options/device_flags.h"
#include "output.h"
#include "sandbox/namespaces.h"
#include "sandbox/spawn.h"
#include "sandbox/stranger.h"

/* ---- the socket ---- */

static int listen_at(struct gateway *g, const char *path)
{
    const size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    struct fault f = { 0 };

    if (strlen(path) > max)
        return say_error(EXIT_BAD_INPUT,
                         "--api-socket %s: longer than %zu bytes: use a shorter path", path, max);
    if (socket_path_listen(NULL, "--api-socket", path, SOCK_STREAM, &g->socket, &g->listen_fd, &f) <
        0)
        return say_error(f.bad_input ? EXIT_BAD_INPUT : EXIT_HOST, "%s", f.text);
    return EXIT_OK;
}

static int take_listening(struct gateway *g, int fd)
{
    int on = 0;
    socklen_t len = sizeof on;

    if (fd_type(fd) != FD_TYPE_STREAM || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) < 0 ||
        !on)
        return say_error(EXIT_BAD_INPUT, "--api-socket fd=%d: is not a listening stream socket",
                         fd);
    g->listen_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return g->listen_fd < 0 ? say_error(EXIT_HOST, "--api-socket fd=%d: %s", fd, strerror(errno))
                            : EXIT_OK;
}

void gateway_init(struct gateway *g)
{
    *g = (struct gateway){ .listen_fd = -1, .log_fd = -1 };
    socket_path_init(&g->socket);
}

int gateway_open(struct gateway *g, const char *vm, const char *path, int listen_fd, int log_fd,
                 bool insecure)
{
    int r;

    gateway_init(g);
    g->vm = vm;
    g->insecure = insecure;
    if (!path && listen_fd < 0)
        return EXIT_OK;
    r = path ? listen_at(g, path) : take_listening(g, listen_fd);
    if (r == EXIT_OK) {
        g->log_fd = fcntl(log_fd, F_DUPFD_CLOEXEC, 3);
        if (g->log_fd < 0)
            r = say_error(EXIT_HOST, "the API's log: %s", strerror(errno));
    }
    return r;
}

/* ---- the process ---- */

/* For list and plan. One that doesn't listen is told again when the next gateway asks for a connection. */
static void tell(const struct gateway *g, pid_t pid)
{
    Bulkhead__GatewayRuns runs = BULKHEAD__GATEWAY_RUNS__INIT;
    CLIENT_ENVELOPE(e, GATEWAY_RUNS, gateway_runs, &runs);

    runs.pid = pid;
    runs.uid = g->uid;
    runs.gid = g->gid;
    if (g->broker && channel_send_raw(g->broker, &e.base, NULL, 0, false) < 0)
        return;
}

void gateway_tell(const struct gateway *g)
{
    if (g->link)
        tell(g, g->pid);
}

static void forget(struct gateway *g)
{
    channel_end(&g->link);
    g->failed = true;
}

static int say_what_to_serve(struct gateway *g)
{
    Bulkhead__ServeVm serve = BULKHEAD__SERVE_VM__INIT;
    CLIENT_ENVELOPE(e, SERVE_VM, serve_vm, &serve);
    char dir[PATH_MAX] = "", run_dir[RUNDIR_PATH_BYTES] = "";

    serve.vm = (char *)(uintptr_t)g->vm;
    serve.pid = getpid();
    serve.dir = getcwd(dir, sizeof dir) ? dir : (char *)(uintptr_t) "";
    if (rundir_path(run_dir, sizeof run_dir, g->vm) == 0)
        serve.run_dir = run_dir;
    serve.makes_taps = vm_net_makes_taps();
    serve.idle_s = GATEWAY_IDLE_S;
    return channel_send_raw(g->link, &e.base, NULL, 0, false);
}

static int spawn(struct gateway *g, int starter_fd, int null_fd)
{
    char program[PATH_MAX], name[] = "bulkhead-gateway", flag[] = "--insecure";
    char *const argv[] = { name, g->insecure ? flag : NULL, NULL };
    const int fds[GATEWAY_FDS] = { null_fd, null_fd, g->log_fd, starter_fd, g->listen_fd };
    struct sandbox_spawn order = {
        .program = program, .argv = argv, .fds = fds, .n_fds = GATEWAY_FDS, .cgroup_fd = -1
    };
    cleanup_(fd_closep) int pidfd = -1;
    unsigned missing = 0;
    int r = client_find_program(name, program, sizeof program);

    if (r < 0)
        return err_trace(r);
    order.uid = order.gid = stranger_uid();
    g->uid = order.uid ? order.uid : geteuid();
    g->gid = order.uid ? order.gid : getegid();
    order.no_userns = order.uid != 0 && sandbox_try_userns() < 0;
    return sandbox_spawn(&order, &g->pid, &pidfd, &missing);
}

static void start(struct gateway *g)
{
    cleanup_(fd_closep) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int pair[2] = { -1, -1 }, r;

    r = null_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0
            ? err_origin(-errno, "its socket")
            : spawn(g, pair[1], null_fd);
    fd_closep(&pair[1]);
    if (r == 0)
        r = channel_new(&g->link, pair[0], CHANNEL_ARENA_CHILD);
    if (r < 0) {
        fd_closep(&pair[0]);
        g->failed = true;
    } else {
        channel_refuse_fds(g->link); /* it has none for us */
        r = say_what_to_serve(g);
    }
    if (r < 0)
        say_error(0, "the API's process can't be started: %s", err_text());
}

/* ---- what it asks for ---- */

static int connect_broker(const struct gateway *g, int *ret_fd)
{
    /* Never waiting: a broker that takes nobody is asked again by whoever wants it. */
    cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : rundir_connect(g->vm, fd);

    if (r < 0)
        return err_origin(r, "the VM's broker can't be reached now: ask again");
    *ret_fd = fd_take(&fd);
    return 0;
}

static int start_opener(struct gateway *g, int *ret_fd)
{
    struct client opener = { 0 };
    pid_t *place = NULL;
    int r;

    for (unsigned i = 0; i < GATEWAY_MAX_OPENERS && !place; i++)
        if (g->openers[i] == 0)
            place = &g->openers[i];
    if (!place)
        return err_origin(-EAGAIN, "too many devices were added: remove one first");
    r = client_start_opener(&opener);
    if (opener.broker > 0)
        *place = opener.broker;
    if (r < 0)
        return err_trace(r);
    *ret_fd = fcntl(channel_fd(opener.channel), F_DUPFD_CLOEXEC, 3);
    r = *ret_fd < 0 ? err_origin(-errno, "the opener's socket") : 0;
    channel_freep(&opener.channel);
    return r;
}

static void take_request(struct gateway *g, const Bulkhead__ClientEnvelope *request)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);
    cleanup_(fd_closep) int fd = -1;
    int r = request->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_CONNECT
                ? err_origin(-EBADMSG, "this is not known here")
            : request->connect->opener ? start_opener(g, &fd)
                                       : connect_broker(g, &fd);

    gateway_tell(g); /* who asks is in its sandbox */
    e.id = request->id;
    reply.error = -r;
    if (r < 0)
        reply.text = (char *)(uintptr_t)err_text();
    if (channel_send_raw(g->link, &e.base, &fd, fd >= 0 ? 1 : 0, false) < 0)
        forget(g);
}

static void hear(struct gateway *g)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;
    int r = channel_receive_raw(g->link, false, &bulkhead__client_envelope__descriptor, &msg, &fds,
                                &n_fds);

    if (r == CHANNEL_EMPTY)
        return;
    if (r != 0)
        forget(g);
    else
        take_request(g, (const Bulkhead__ClientEnvelope *)msg);
}

struct pollfd gateway_wanted(const struct gateway *g)
{
    int fd = g->link ? channel_fd(g->link) : g->failed || g->pid > 0 ? -1 : g->listen_fd;

    return (struct pollfd){ .fd = fd, .events = POLLIN };
}

void gateway_act(struct gateway *g, const struct pollfd *p)
{
    if (p->revents == 0 || p->fd != gateway_wanted(g).fd)
        return;
    if (g->link)
        hear(g);
    else
        start(g);
}

void gateway_again(struct gateway *g)
{
    g->failed = false;
}

void gateway_reap(struct gateway *g)
{
    int status = 0;

    for (unsigned i = 0; i < GATEWAY_MAX_OPENERS; i++)
        if (g->openers[i] > 0 && waitpid(g->openers[i], NULL, WNOHANG) == g->openers[i])
            g->openers[i] = 0;
    if (g->pid <= 0 || waitpid(g->pid, &status, WNOHANG) != g->pid)
        return;
    g->pid = 0;
    forget(g);
    tell(g, 0);
    g->failed = status != 0; /* else nobody had been there for a while */
}

void gateway_close(struct gateway *g)
{
    channel_end(&g->link);
    if (g->pid > 0)
        kill(g->pid, SIGKILL);
    /* While it listens nobody takes the name for one left behind: it is ours until it is gone. */
    socket_path_remove(&g->socket);
    fd_closep(&g->listen_fd);
    fd_closep(&g->log_fd);
}
