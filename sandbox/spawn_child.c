/* SPDX-License-Identifier: Apache-2.0 */
/* spawn_child.c - from clone to exec: ids, session, signals, the descriptor table; without a user
 * namespace, or behind a filter, also root and capabilities. Nothing is read here but the parent's one byte. */
#include "sandbox/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/compiler.h"
#include "sandbox/caps.h"
#include "sandbox/ids.h"
#include "sandbox/landlock.h"
#include "sandbox/limits.h"
#include "sandbox/root.h"

static _Noreturn void fail(int error_fd, enum spawn_step step)
{
    struct spawn_error error = { .step = step, .error = errno };
    ssize_t ignored = write(error_fd, &error, sizeof error);

    (void)ignored;
    _exit(127);
}

static void wait_for_go(const struct spawn_child *child)
{
    char byte = 0;
    ssize_t n;

    do
        n = read(child->go_fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(127); /* the parent gave up and reports why */
}

static int take_ids(const struct spawn_child *child, bool in_userns)
{
    unsigned uid = in_userns ? 0 : child->uid;
    unsigned gid = in_userns ? 0 : child->gid;

    if (!in_userns && child->uid == 0)
        return 0;
    /* Without privilege setgroups is denied, and the caller's groups stay: they are its own. */
    return sandbox_ids_take(uid, gid, child->uid != 0);
}

/* Nothing of the parent's, but what ends whole services at once is ignored: who is to leave, and
 * when, is said on the control socket. */
static void reset_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, sig == SIGTERM || sig == SIGINT || sig == SIGHUP ? SIG_IGN : SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Without a user namespace the clone has the capabilities of its parent, which were never meant for
 * the program; and a program that nobody vouches for would see the host's files until it empties its root,
 * if it ever does. So what takes capabilities is done here, they go for good, and only then is there an exec. */
static void give_up_privileges(const struct spawn_child *child, int error_fd)
{
    int r = child->empty_root ? root_enter() : 0;

    if (r < 0) {
        errno = -r;
        fail(error_fd, SPAWN_STEP_ROOT);
    }
    /* Or a change of uid would take CAP_SETPCAP away, and the bounding set would stay. */
    if (child->no_userns && (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ||
                             take_ids(child, false) < 0))
        fail(error_fd, SPAWN_STEP_IDS);
    r = caps_enter(0);
    if (r < 0) {
        errno = -r;
        fail(error_fd, SPAWN_STEP_CAPS);
    }
}

/* Sources and targets may overlap: all sources first move above the targets. */
static int arrange_fds(const struct spawn_child *child, int *error_fd, int *program_fd)
{
    enum { MAX_FDS = 64 };
    int lifted[MAX_FDS];
    int first_free = (int)child->n_fds;

    if (child->n_fds > MAX_FDS) {
        errno = E2BIG;
        return -1;
    }
    *error_fd = fcntl(*error_fd, F_DUPFD_CLOEXEC, first_free);
    *program_fd = fcntl(*program_fd, F_DUPFD_CLOEXEC, first_free);
    if (*error_fd < 0 || *program_fd < 0)
        return -1;
    for (unsigned i = 0; i < child->n_fds; i++) {
        lifted[i] = fcntl(child->fds[i], F_DUPFD_CLOEXEC, first_free);
        if (lifted[i] < 0)
            return -1;
    }
    for (unsigned i = 0; i < child->n_fds; i++)
        if (dup2(lifted[i], (int)i) < 0)
            return -1;
    return (int)syscall(SYS_close_range, (unsigned)first_free, ~0u, CLOSE_RANGE_CLOEXEC);
}

static int put_filter_on(const struct sandbox_filter *filter)
{
    /* The kernel only reads the program; its type is not const. */
    union {
        const struct sock_filter *in;
        struct sock_filter *out;
    } code = { .in = filter->filter };
    struct sock_fprog program = { .len = (unsigned short)filter->n_instructions,
                                  .filter = code.out };

    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0u, &program);
}

/* The filter lets the clone execute, and can't see a path: of all files the program alone may be. */
static int keep_from_files(int program_fd)
{
    int r = landlock_enter(&program_fd, 1, LANDLOCK_RUN);

    if (r == -EBADFD)
        r = landlock_enter(NULL, 0, LANDLOCK_RUN);
    if (r == 0 || r == -ENOSYS || r == -EOPNOTSUPP)
        return 0;
    errno = -r;
    return -1;
}

static int shut_in(const struct sandbox_filter *filter, int program_fd)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || keep_from_files(program_fd) < 0)
        return -1;
    return put_filter_on(filter);
}

_Noreturn void spawn_child_run(const struct spawn_child *child)
{
    static char *const empty[] = { NULL };
    int error_fd = child->error_fd, program_fd = child->program_fd;
    int saved;

    wait_for_go(child);
    if (!child->no_userns && take_ids(child, child->in_userns) < 0)
        fail(child->error_fd, SPAWN_STEP_IDS);
    setsid(); /* the terminal's signals are for whoever holds the terminal */
    umask(0077);
    reset_signals();
    /* A core file would hold guest memory. Whoever is in a sandbox sets this once more, and a program that was
     * handed over may never come to that. */
    (void)!limits_no_core();
    if (arrange_fds(child, &error_fd, &program_fd) < 0) {
        saved = errno;
        error_fd = error_fd < 0 ? child->error_fd : error_fd;
        errno = saved;
        fail(error_fd, SPAWN_STEP_FDS);
    }
    if (child->no_caps)
        give_up_privileges(child, error_fd);
    if (child->filter && shut_in(child->filter, program_fd) < 0)
        fail(error_fd, SPAWN_STEP_FILTER);
    syscall(SYS_execveat, program_fd, "", child->argv, child->envp ? child->envp : empty,
            AT_EMPTY_PATH);
    fail(error_fd, SPAWN_STEP_EXEC);
}
