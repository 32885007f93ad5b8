// SPDX-License-Identifier: Apache-2.0
// client.c - the command line's side of the command socket.
#include "client.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "client/rundir.h"
#include "host_client.h"
#include "in_child.h"
#include "options/nearest.h"
#include "output.h"
#include "terminal.h"

enum {
    LEAVES_MS = 10000, /* a broker whose client has left */
    NEAREST_MS = 2000, /* for a better message */
};

int client_find_program(const char *name, char *dst, size_t size)
{
    static const char *const places[] = { "", "../libexec/bulkhead/" };
    char self[1024];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (n < 0)
        return err_origin(-errno, "reading /proc/self/exe");
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (!slash)
        return err_origin(-ENOENT, "finding this program's folder");
    slash[1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (snprintf(dst, size, "%s%s%s", self, places[i], name) < (int)size &&
            access(dst, X_OK) == 0)
            return 0;
    }
    return err_origin(-ENOENT, "%s is neither in %s nor in its ../libexec/bulkhead", name, self);
}

/* In the child: descriptor 3 is the socket, nothing else but the standard three is passed on. The log, were it to our
 * terminal, is not for reading. */
static _Noreturn void exec_broker(const char *program, char *arg, int sock, int log_fd)
{
    char *argv[] = { (char[]){ "bulkhead-broker" }, arg, NULL };
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    /* What it may have of our terminal is sent with the request; its log goes to our stderr. */
    if (log_fd < 0)
        log_fd = terminal_share(STDERR_FILENO, O_WRONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || (log_fd >= 0 && dup2(log_fd, 2) < 0))
        _exit(127);
    if (sock == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(sock, 3) < 0)
        _exit(127);
    close_range(4, ~0u, 0);
    execv(program, argv);
    _exit(127);
}

/* arg: its argument, or NULL. */
static int start_program(struct client *ret_client, char *arg, int log_fd)
{
    char program[1100];
    int pair[2] = { -1, -1 };
    pid_t pid;
    int r = client_find_program("bulkhead-broker", program, sizeof(program));

    if (r < 0)
        return err_trace(r);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_origin(-errno, "making the broker's socket");
    pid = fork();
    if (pid == 0)
        exec_broker(program, arg, pair[1], log_fd);
    r = pid < 0 ? err_origin(-errno, "starting the broker") : 0;
    fd_closep(&pair[1]);
    *ret_client = (struct client){ .broker = pid };
    if (r == 0)
        r = channel_new(&ret_client->channel, pair[0], CHANNEL_ARENA_CLIENT);
    if (r < 0)
        fd_closep(&pair[0]);
    return r;
}

int client_start_broker(struct client *ret_client, int log_fd)
{
    int r = start_program(ret_client, NULL, log_fd);

    if (r == 0)
        channel_refuse_fds(ret_client->channel);
    return r;
}

int client_start_opener(struct client *ret_client)
{
    return start_program(ret_client, (char[]){ "--open" }, -1);
}

struct near_vm {
    struct nearest nearest;
    char name[HOST_NAME_BYTES]; /* of the nearest one of the service's */
    size_t n;
};

static bool try_service_vm(void *arg, const Bulkhead__VmStatus *status)
{
    struct near_vm *near = arg;
    char whole[HOST_NAME_BYTES];

    near->n++;
    snprintf(whole, sizeof(whole), "%s/%s", status->tenant, status->name);
    nearest_try(&near->nearest, strchr(near->nearest.word, '/') ? whole : status->name);
    if (near->nearest.best == status->name || near->nearest.best == whole) {
        snprintf(near->name, sizeof(near->name), "%s", near->nearest.best);
        near->nearest.best = near->name;
    }
    return true;
}

/* Returns how many VMs of `run` there are. */
static size_t try_running(struct nearest *near)
{
    static char names[RUNDIR_MAX_VMS][RUNDIR_NAME_BYTES];
    size_t n = rundir_list(names, RUNDIR_MAX_VMS);

    for (size_t i = 0; i < n; i++)
        nearest_try(near, names[i]);
    return n;
}

const char *client_nearest(const char *vm)
{
    struct nearest near = nearest_to(vm);

    (void)try_running(&near);
    return nearest_found(&near);
}

static int no_such_vm(const char *vm)
{
    struct near_vm near = { .nearest = nearest_to(vm) };
    struct host host = { 0 };
    const char *found;
    bool service;

    near.n = try_running(&near.nearest);
    service = host_connect(&host) == 0 &&
              host_each_vm(&host, NULL, 0, NEAREST_MS, try_service_vm, &near) == 0;
    host_close(&host);
    found = nearest_found(&near.nearest);
    if (near.n == 0)
        return err_origin(
            -ENOENT, service ? "no VM '%s': there is none" : "no VM '%s': none is running", vm);
    if (found)
        return err_origin(-ENOENT, "no VM '%s' (the nearest %s is '%s')", vm,
                          found == near.name ? "one" : "running one", found);
    return err_origin(-ENOENT, "no VM '%s' (see bulkhead %s)", vm, service ? "ls" : "ps");
}

bool client_is_private(const char *vm)
{
    char dir[RUNDIR_PATH_BYTES], path[RUNDIR_PATH_BYTES + sizeof RUNDIR_SOCKET];

    if (*vm == '\0' || *vm == '.' || strchr(vm, '/') || rundir_path(dir, sizeof(dir), vm) < 0)
        return false;
    snprintf(path, sizeof(path), "%s/" RUNDIR_SOCKET, dir);
    return access(path, F_OK) == 0;
}

/* The session that the service hands out; whose it is matters to root alone (kin.h). */
static int connect_service(struct client *ret_client, const char *vm, int *ret_fd)
{
    int r =
        host_is_name(vm) ? host_open_vm(vm, BULKHEAD__VM_CHANNEL__VM_COMMAND, ret_fd, 1) : -ENOENT;

    if (r == -ENOENT || (host_is_none(r) && !strchr(vm, '/')))
        return no_such_vm(vm);
    if (r > 0 && geteuid() == 0 &&
        host_find_rundir(vm, ret_client->run_dir, sizeof(ret_client->run_dir)) < 0)
        ret_client->run_dir[0] = '\0';
    return r < 0 ? r : 0;
}

static int connect_private(const char *vm, int *ret_fd)
{
    /* With who takes nobody. */
    const struct timeval patience = { .tv_sec = CLIENT_TIMEOUT_MS / 1000 };
    cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return err_origin(-errno, "making a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    r = rundir_connect(vm, fd);
    if (r == -ENOENT || r == -ENOTDIR) /* it has ended since */
        return no_such_vm(vm);
    if (r == -ECONNREFUSED)
        return err_origin(
            r,
            "the broker of '%s' is gone, and no other takes over: if its guest runs on, "
            "its process bulkhead-spawn ends it on SIGTERM",
            vm);
    if (r < 0)
        return err_origin(r, "connecting to '%s'", vm);
    *ret_fd = fd_take(&fd);
    return 0;
}

int client_connect(struct client *ret_client, const char *vm)
{
    char dir[RUNDIR_PATH_BYTES];
    cleanup_(fd_closep) int fd = -1;
    int r;

    *ret_client = (struct client){ 0 };
    if (client_is_private(vm)) {
        r = rundir_path(dir, sizeof(dir), vm);
        r = r < 0 ? err_origin(r, "the path of %s's run directory", vm) : connect_private(vm, &fd);
        snprintf(ret_client->run_dir, sizeof(ret_client->run_dir), "%s", dir);
    } else {
        r = connect_service(ret_client, vm, &fd);
    }
    if (r == 0)
        r = channel_new(&ret_client->channel, fd, CHANNEL_ARENA_CLIENT);
    if (r < 0)
        return r;
    /* A broker has none to give, and one could hold us up. */
    channel_refuse_fds(ret_client->channel);
    fd_take(&fd);
    return 0;
}

void client_close(struct client *client)
{
    client_close_unless(client, -1);
}

void client_close_unless(struct client *client, int stop_fd)
{
    channel_end(&client->channel);
    if (client->broker > 0) /* one that stays is ended, and followed by the spawner */
        (void)in_child_reap(client->broker, LEAVES_MS, stop_fd);
    client->broker = 0;
}

void client_leave(struct client *client, int patience_ms)
{
    struct pollfd ended = { .fd = -1, .events = POLLIN };

    channel_end(&client->channel);
    if (client->broker > 0 && patience_ms > 0)
        ended.fd = (int)syscall(SYS_pidfd_open, client->broker, 0);
    if (ended.fd >= 0)
        (void)poll(&ended, 1, patience_ms);
    fd_closep(&ended.fd);
    client->broker = 0;
}

void client_await_end(struct client *client, int stop_fd)
{
    struct client_answer unused;
    const int64_t start = clock_ms(CLOCK_MONOTONIC);
    int64_t spent = 0;

    while (client->channel && spent < CLIENT_TIMEOUT_MS) {
        struct pollfd p[] = { { .fd = channel_fd(client->channel), .events = POLLIN },
                              { .fd = stop_fd, .events = POLLIN } };

        if (poll(p, ARRAY_SIZE(p), (int)(CLIENT_TIMEOUT_MS - spent)) > 0 &&
            (p[1].revents || client_receive(client, 0, &unused) != 0))
            return;
        spent = clock_ms(CLOCK_MONOTONIC) - start;
    }
}

int client_send(struct client *client, Bulkhead__ClientEnvelope *request, const int *fds,
                size_t n_fds)
{
    int r;

    request->id = ++client->last_id;
    r = channel_send_raw(client->channel, &request->base, fds, n_fds, true);
    if (r == -EPIPE || r == -ECONNRESET || r == -ESHUTDOWN)
        return err_origin(r, "the broker has closed the connection: if the VM runs, ask again");
    return r < 0 ? err_trace(r) : 0;
}

int client_receive(struct client *client, int timeout_ms, struct client_answer *ret_answer)
{
    struct pollfd p = { .fd = channel_fd(client->channel), .events = POLLIN };
    ProtobufCMessage *msg = NULL;
    int r;

    do
        r = poll(&p, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return err_origin(-errno, "waiting for the broker");
    if (r == 0)
        return err_origin(-ETIMEDOUT, "the broker doesn't answer");
    r = channel_receive_raw(client->channel, true, &bulkhead__client_envelope__descriptor, &msg,
                            &ret_answer->fds, &ret_answer->n_fds);
    if (r == CHANNEL_CLOSED || r == CHANNEL_EMPTY)
        return err_origin(-EPIPE,
                          "the broker has closed the connection: if the VM runs, ask again");
    if (r < 0)
        return err_trace(r);
    ret_answer->envelope = (const Bulkhead__ClientEnvelope *)msg;
    return 0;
}

int client_call_with(struct client *client, Bulkhead__ClientEnvelope *request, const int *fds,
                     size_t n_fds, struct client_answer *ret_answer)
{
    const int limit_ms = client->timeout_ms ? client->timeout_ms : CLIENT_TIMEOUT_MS;
    int r = client_send(client, request, fds, n_fds);
    const int64_t start = clock_ms(CLOCK_MONOTONIC);
    int64_t spent = 0;

    while (r == 0 && spent < limit_ms) {
        r = client_receive(client, (int)(limit_ms - spent), ret_answer);
        if (r == 0 && ret_answer->envelope->id == request->id)
            return 0;
        spent = clock_ms(CLOCK_MONOTONIC) - start;
    }
    return r < 0 ? err_trace(r)
                 : err_origin(-ETIMEDOUT, "the broker answers other questions than this");
}

int client_call(struct client *client, Bulkhead__ClientEnvelope *request,
                struct client_answer *ret_answer)
{
    return client_call_with(client, request, NULL, 0, ret_answer);
}

int client_failed(int r)
{
    bool bad_input = r == -ENOENT || r == -ECONNREFUSED || r == -EREMOTE || r == -EKEYREJECTED ||
                     r == -ENAMETOOLONG || r == -EACCES || r == -EPERM;
    const char *text = err_text();
    const char *cause = strerror(-r);
    size_t len = strlen(text);

    if (r == -EMSGSIZE)
        return say_error(EXIT_BAD_INPUT,
                         "the request is longer than a message can be (%d bytes): use shorter "
                         "paths, or fewer devices",
                         CHANNEL_MAX_BYTES);
    /* "no VM 'x'" is said in full; "No such file or directory" after it only puzzles. */
    if ((r == -ENOENT || r == -ECONNREFUSED || r == -EPIPE || r == -ETIMEDOUT || r == -EREMOTE ||
         r == -EREMOTEIO || r == -EKEYREJECTED) &&
        len > strlen(cause) + 2 && strcmp(text + len - strlen(cause), cause) == 0)
        len -= strlen(cause) + 2;
    return say_error(bad_input ? EXIT_BAD_INPUT : EXIT_HOST, "%.*s", (int)len, text);
}

int client_reply(const Bulkhead__Reply *reply)
{
    if (reply->error == 0)
        return EXIT_OK;
    return say_error(reply->bad_input ? EXIT_BAD_INPUT : EXIT_HOST, "%s",
                     reply->text[0] ? reply->text : strerror(reply->error));
}

int client_ask(struct client *ret_client, const char *vm, Bulkhead__ClientEnvelope *request,
               Bulkhead__ClientEnvelope__BodyCase want, struct client_answer *ret_answer)
{
    return client_ask_with(ret_client, vm, request, NULL, 0, want, ret_answer);
}

int client_ask_with(struct client *ret_client, const char *vm, Bulkhead__ClientEnvelope *request,
                    const int *fds, size_t n_fds, Bulkhead__ClientEnvelope__BodyCase want,
                    struct client_answer *ret_answer)
{
    int r = client_connect(ret_client, vm);

    if (r < 0)
        return client_failed(r);
    r = client_call_with(ret_client, request, fds, n_fds, ret_answer);
    if (r < 0) {
        client_close(ret_client);
        return client_failed(r);
    }
    r = EXIT_OK;
    if (ret_answer->envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY)
        r = client_reply(ret_answer->envelope->reply);
    if (r == EXIT_OK && ret_answer->envelope->body_case != want)
        r = say_error(EXIT_HOST, "the broker of '%s' gave an answer that doesn't fit the question",
                      vm);
    if (r != EXIT_OK)
        client_close(ret_client);
    return r;
}
