/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - see process.h. */
#include "hostd/starter/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/caps.h"

/* ---- in the clone ---- */

/* Sources and targets may overlap: all sources first move above the targets. */
static int arrange_fds(const struct process_order *order)
{
    int lifted[PROCESS_MAX_FDS];

    for (unsigned i = 0; i < order->n_fds; i++) {
        lifted[i] = fcntl(order->fds[i], F_DUPFD_CLOEXEC, (int)order->n_fds);
        if (lifted[i] < 0)
            return -1;
    }
    for (unsigned i = 0; i < order->n_fds; i++)
        if (dup2(lifted[i], (int)i) < 0)
            return -1;
    return (int)syscall(SYS_close_range, order->n_fds, ~0u, 0u);
}

static void reset_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        (void)signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* uid 0 means nothing any more either. */
static int give_up_power(const struct process_order *order)
{
    if (order->uid != 0 || order->gid != 0 || geteuid() == 0) {
        const gid_t groups[] = { order->gid, order->group };

        if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ||
            syscall(SYS_setgroups, order->group ? 2 : 1, groups) < 0 ||
            syscall(SYS_setresgid, order->gid, order->gid, order->gid) < 0 ||
            syscall(SYS_setresuid, order->real_uid ? order->real_uid : order->uid, order->uid,
                    order->uid) < 0)
            return -1;
    }
    /* With no_new_privs a kernel before Linux 6.16 takes an exec by who has another real uid for one of a set-uid program, and
     * has that uid take the effective one's place. The launcher does that itself. */
    if (caps_enter(0) < 0 || (order->real_uid == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

static _Noreturn void run(const struct process_order *order, int session_fd)
{
    const char *what = "its descriptors";

    (void)setsid();
    close(session_fd);
    (void)umask(0077);
    (void)!chdir("/");
    if (order->procs_fd >= 0)
        (void)!write(order->procs_fd, "0", 1);
    if (arrange_fds(order) == 0) {
        what = "its rights";
        reset_signals();
        if (!order->powerless || give_up_power(order) == 0) {
            execve(order->program, order->argv, order->envp);
            what = "executing it";
        }
    }
    dprintf(2, "bulkhead-hostd: error: %s: %s: %s\n", order->program, what, strerror(errno));
    _exit(127);
}

pid_t process_fork(const struct process_order *order)
{
    cleanup_(fd_closep) int made_fd = -1;
    int pair[2];
    char byte;
    pid_t pid;

    if (order->n_fds > PROCESS_MAX_FDS || pipe2(pair, O_CLOEXEC) < 0)
        return err_origin(order->n_fds > PROCESS_MAX_FDS ? -E2BIG : -errno, "starting %s",
                          order->program);
    made_fd = pair[0];
    pid = fork();
    if (pid == 0)
        run(order, pair[1]);
    close(pair[1]);
    if (pid < 0)
        return err_origin(-errno, "starting %s", order->program);
    while (read(made_fd, &byte, 1) < 0 && errno == EINTR)
        ;
    return pid;
}

/* ---- watching ---- */

static int reap(pid_t pid, int flags)
{
    int status = 0;

    while (waitpid(pid, &status, flags) < 0 && errno == EINTR)
        ;
    return status;
}

static void on_ended(int fd, unsigned what, void *arg)
{
    struct process *process = arg;
    struct process was = *process;
    int status = was.is_child ? reap(was.pid, 0) : 0;

    (void)fd;
    (void)what;
    process_forget(process);
    was.on_end(was.arg, status);
}

int process_watch(struct process *process, struct loop *loop, pid_t pid, bool is_child,
                  void (*on_end)(void *arg, int status), void *arg)
{
    int r;

    *process = (struct process){ .pid = pid, .is_child = is_child, .on_end = on_end, .arg = arg };
    process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    r = process->pidfd < 0
            ? err_origin(-errno, "watching process %d", (int)pid)
            : loop_add_fd(loop, process->pidfd, LOOP_READ, on_ended, process, &process->event);
    if (r == 0)
        return 0;
    if (is_child) { /* it does nothing that a kill would wait for yet */
        (void)kill(pid, SIGKILL);
        (void)reap(pid, 0);
    }
    process_forget(process);
    return err_trace(r);
}

void process_kill(const struct process *process)
{
    if (process->pid > 0)
        (void)syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
}

void process_forget(struct process *process)
{
    if (process->event)
        loop_event_free(process->event);
    if (process->pid > 0 && process->pidfd >= 0)
        close(process->pidfd);
    *process = (struct process){ .pidfd = -1 };
}
