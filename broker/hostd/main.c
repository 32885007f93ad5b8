/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - bulkhead-hostd: the host's service. Two processes: this one becomes the starter, and its child hostd.
 *
 * In order: the starter's folders, and the lock that makes it the only one; the command socket, unless a service manager has
 * brought it; a uid for hostd; the fork. What has rights hears no tenant, what hears tenants has no rights. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/hostdir.h"
#include "hostd/run/hostd.h"
#include "hostd/starter/starter.h"
#include "plan/identity.h"
#include "sandbox/gen/filter_hostd.h"
#include "sandbox/ids.h"
#include "spawner/uids.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

enum { EXIT_USAGE = 2, BACKLOG = 64, FD_LISTEN = 3 };

/* As sd_listen_fds(3) has it. */
static bool has_brought(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

    return pid && fds && strtol(pid, NULL, 10) == getpid() && strtol(fds, NULL, 10) >= 1;
}

/* Else one of the service's own would be there, where hostd has none (run/hostd.c). */
static bool fill_stdio(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= FD_LOG);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Whatever else who started it left open: hostd would have it, and the starter. */
static void close_others(void)
{
    (void)syscall(SYS_close_range, FD_LISTEN + (has_brought() ? 1u : 0u), ~0u, 0u);
}

/* -1: none was brought; -EINVAL: what was is something else. */
static int take_listening(void)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof type, listens_len = sizeof listens;

    if (!has_brought())
        return -1;
    if (getsockopt(FD_LISTEN, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET ||
        getsockopt(FD_LISTEN, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len) < 0 || !listens) {
        log_error("the socket that was brought is none that listens for messages: use "
                  "ListenSequentialPacket=");
        return -EINVAL;
    }
    return fd_set_nonblock(FD_LISTEN) < 0 ? -EINVAL : FD_LISTEN;
}

/* For everybody to connect to: who may do what is found by who it is. The lock says that nobody else listens there. */
static int make_listening(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = -1, r = hostdir_socket(address.sun_path, sizeof address.sun_path);

    if (r == 0)
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r < 0) {
        log_error("the service's socket: %s", strerror(-r));
        return r;
    }
    (void)unlink(address.sun_path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(address.sun_path, 0666) < 0 || listen(fd, BACKLOG) < 0) {
        log_error("%s: %s", address.sun_path, strerror(errno));
        return -EIO;
    }
    return fd;
}

/* Nobody is to send a descriptor: hostd would take none, and closing what it finds may wait. Since Linux 6.16 whoever tries is
 * refused; before that run/closer.c closes it. */
static void refuse_descriptors(int listen_fd)
{
    const int off = 0;

    (void)setsockopt(listen_fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
}

/* hostd has a descriptor for each VM and each client. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void remove_socket(void)
{
    char path[HOSTDIR_PATH_BYTES];

    if (hostdir_socket(path, sizeof path) == 0)
        (void)unlink(path);
}

static int serve(struct starter *starter, int listen_fd, bool brought, struct uids *uids)
{
    struct hostd_terms terms = { .listen_fd = listen_fd,
                                 .uid = uids->claimed ? sandbox_uid(uids->range, 0) : 0,
                                 .filter = &sandbox_filter_hostd };
    int pair[2], status;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        log_error("a socket pair: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    pid = fork();
    if (pid < 0) {
        log_error("fork: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    if (pid == 0) {
        close(pair[0]);
        starter_free(starter);
        /* Who has that file can take each range of the host's: its parent keeps this one's. */
        fd_closep(&uids->file_fd);
        prctl(PR_SET_NAME, "bulkhead-hostd");
        terms.starter_fd = pair[1];
        _exit(hostd_run(&terms)); /* libc would look at files that the filter doesn't let it have */
    }
    close(pair[1]);
    close(listen_fd);
    prctl(PR_SET_NAME, "bulkhead-start");
    status = starter_serve(starter, pair[0], pid);
    if (!brought) /* while the lock says that it is this one's */
        remove_socket();
    starter_free(starter);
    return status;
}

int main(int argc, char **argv)
{
    static struct uids uids;
    struct starter *starter = NULL;
    struct fault f = { 0 };
    int listen_fd, status;
    bool brought;

    (void)argv;
    log_init("bulkhead-hostd", LOG_LEVEL_INFO);
    log_never_wait();
    if (argc != 1) {
        log_error(
            "bulkhead-hostd takes no arguments: it is a service, see `bulkhead help tenants`");
        return EXIT_USAGE;
    }
    if (!fill_stdio()) {
        log_error("/dev/null: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    close_others();
    raise_file_limit();
    if (starter_new(&starter, &f) < 0) {
        log_error("%s", f.text);
        return f.bad_input ? EXIT_USAGE : EXIT_FAILURE;
    }
    listen_fd = take_listening();
    brought = listen_fd != -1;
    if (!brought)
        listen_fd = make_listening();
    if (listen_fd < 0)
        return EXIT_FAILURE;
    refuse_descriptors(listen_fd);
    uids_init(&uids);
    if (host_has_uids()) {
        uids_claim(&uids, UIDS_FILE, uids_random());
        if (!uids.claimed) {
            log_error("no uid for hostd: %s", uids.why_not);
            return EXIT_FAILURE;
        }
    }
    status = serve(starter, listen_fd, brought, &uids);
    uids_release(&uids);
    return status;
}
