/* SPDX-License-Identifier: Apache-2.0 */
/* harness.c - see harness.h. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/ids.h"
#include "sandbox/layers.h"
#include "sandbox/namespaces.h"
#include "sandbox/spawn.h"
#include <cmocka.h>

enum { PATIENCE_MS = 60000, OTHER_UID = 12345 };

/* Root of a user namespace may have no other id there. */
static bool has_pool(void)
{
    return sandbox_ids_mapped(SANDBOX_UID_FIRST, SANDBOX_UID_COUNT);
}

int harness_setup(void **state)
{
    struct harness *h = calloc(1, sizeof *h);

    if (!h)
        return -1;
    h->program_fd = open(SANDBOX_PROBE, O_PATH | O_CLOEXEC);
    h->uid = geteuid() == 0 && has_pool() ? sandbox_uid(getpid(), 7) : 0;
    h->no_userns = sandbox_try_userns() < 0;
    *state = h;
    return h->program_fd < 0 ? -1 : 0;
}

int harness_teardown(void **state)
{
    struct harness *h = *state;

    close(h->program_fd);
    free(h);
    return 0;
}

struct sandbox_spawn harness_spawn(const struct harness *h, struct sandbox_spawn spawn)
{
    spawn.program_fd = h->program_fd;
    spawn.uid = spawn.gid = h->uid;
    spawn.no_userns = h->no_userns;
    return spawn;
}

unsigned harness_missing(const struct harness *h)
{
    return (h->uid ? 0 : SANDBOX_LAYER_UID) | (h->no_userns ? SANDBOX_USERNS_REPLACED : 0);
}

/* A sanitizer's programs need shared libraries, so that there even root is refused. */
static bool is_refused(void)
{
#ifdef BH_SANITIZED
    return sandbox_try_userns() < 0;
#else
    return sandbox_try_userns() < 0 && geteuid() != 0;
#endif
}

int harness_run_both(int (*group)(void), int (*refused)(void))
{
    int failed = is_refused() ? refused() : group();
    int status = 0;
    pid_t pid;

    if (geteuid() != 0 || !has_pool())
        return failed;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        /* An ordinary user from here on; setting ids makes it undumpable, exec would undo that. */
        if (syscall(SYS_setgroups, 0, NULL) < 0 || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
            setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
            _exit(99);
        printf("as an ordinary user:\n");
        failed = is_refused() ? refused() : group();
        fflush(NULL);
        _exit(failed ? 1 : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 1;
    return failed + (status != 0);
}

static bool wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n;

    do
        n = poll(&p, 1, PATIENCE_MS);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

struct probe harness_start_with(const struct harness *h, struct sandbox_spawn spawn,
                                const char *mode, const char *action)
{
    char *argv[] = { strdup("sandbox_probe"), strdup(mode), action ? strdup(action) : NULL, NULL };
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct probe probe = { .pidfd = -1, .control = -1 };
    int pair[2], fds[4];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fds[0] = fds[1] = null_fd;
    fds[2] = STDERR_FILENO;
    fds[3] = pair[1];
    spawn.program_fd = h->program_fd;
    spawn.argv = argv;
    if (!spawn.fds) {
        spawn.fds = fds;
        spawn.n_fds = 4;
    }
    if (sandbox_spawn(&spawn, &probe.pid, &probe.pidfd, &probe.missing) < 0)
        fail_msg("%s (%s)", err_text(), err_frames());
    probe.control = pair[0];
    close(pair[1]);
    close(null_fd);
    for (unsigned i = 0; i < 3; i++)
        free(argv[i]);
    if (!wait_readable(probe.control) ||
        read(probe.control, &probe.report, sizeof probe.report) != (ssize_t)sizeof probe.report)
        fail_msg("the probe said nothing: it ended with %d", harness_wait(&probe));
    return probe;
}

struct probe harness_start(const struct harness *h, const char *mode, const char *action)
{
    return harness_start_with(h, harness_spawn(h, (struct sandbox_spawn){ .cgroup_fd = -1 }), mode,
                              action);
}

void harness_go(struct probe *probe)
{
    assert_int_equal(write(probe->control, "g", 1), 1);
}

bool harness_result(struct probe *probe, struct probe_result *ret_result)
{
    if (!wait_readable(probe->control))
        fail_msg("the probe hangs");
    return read(probe->control, ret_result, sizeof *ret_result) == (ssize_t)sizeof *ret_result;
}

int harness_wait(struct probe *probe)
{
    int status = 0;

    if (!wait_readable(probe->pidfd))
        kill(probe->pid, SIGKILL);
    assert_int_equal(waitpid(probe->pid, &status, 0), probe->pid);
    fd_closep(&probe->pidfd);
    fd_closep(&probe->control);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void harness_end(struct probe *probe)
{
    kill(probe->pid, SIGKILL);
    harness_wait(probe);
}

size_t harness_proc(pid_t pid, const char *name, char *ret_text, size_t size)
{
    char path[96];
    size_t len = 0;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    while (len < size - 1 && (n = read(fd, ret_text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    ret_text[len] = '\0';
    return len;
}

void harness_status(pid_t pid, const char *key, char *ret_value, size_t size)
{
    char text[8192], want[64];
    char *at;

    harness_proc(pid, "status", text, sizeof text);
    snprintf(want, sizeof want, "\n%s:\t", key);
    at = strstr(text, want);
    if (!at)
        fail_msg("no %s in status", key);
    at += strlen(want);
    at[strcspn(at, "\n")] = '\0';
    snprintf(ret_value, size, "%s", at);
}

unsigned harness_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}
