/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c - see spawn.h: clone into fresh namespaces, give the clone its ids, and hear from
 * it how exec went. For a small process with one thread: the clone is a copy of it until exec.
 */
#include "sandbox/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "sandbox/layers.h"
#include "sandbox/spawn_child.h"

static const struct {
    unsigned layer;
    uint64_t flag;
    const char *path;
} namespaces[] = {
    { SANDBOX_LAYER_USERNS, CLONE_NEWUSER, "/proc/self/ns/user" },
    { SANDBOX_LAYER_PIDNS, CLONE_NEWPID, "/proc/self/ns/pid" },
    { SANDBOX_LAYER_MNTNS, CLONE_NEWNS, "/proc/self/ns/mnt" },
    { SANDBOX_LAYER_NETNS, CLONE_NEWNET, "/proc/self/ns/net" },
    { SANDBOX_LAYER_IPCNS, CLONE_NEWIPC, "/proc/self/ns/ipc" },
    { SANDBOX_LAYER_UTSNS, CLONE_NEWUTS, "/proc/self/ns/uts" },
    { SANDBOX_LAYER_CGROUPNS, CLONE_NEWCGROUP, "/proc/self/ns/cgroup" },
};

struct pipe_pair {
    int read_fd, write_fd;
};

static void pipe_close(struct pipe_pair *p)
{
    fd_closep(&p->read_fd);
    fd_closep(&p->write_fd);
}

static int pipe_open(struct pipe_pair *p)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_origin(-errno, "pipe");
    *p = (struct pipe_pair){ .read_fd = fds[0], .write_fd = fds[1] };
    return 0;
}

static int choose_namespaces(const struct sandbox_spawn *spawn, uint64_t *ret_flags,
                             unsigned *missing)
{
    unsigned skip = spawn->skip_layers | (spawn->share_netns ? SANDBOX_LAYER_NETNS : 0u) |
                    (spawn->no_userns ? SANDBOX_LAYER_USERNS : 0u);
    uint64_t flags = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(namespaces); i++) {
        unsigned layer = namespaces[i].layer;

        if (skip & layer) {
            *missing |= spawn->skip_layers & layer;
        } else if (access(namespaces[i].path, F_OK) == 0) {
            flags |= namespaces[i].flag;
        } else if (layer & SANDBOX_LAYERS_MANDATORY) {
            return err_origin(-ENOTSUP, "this kernel has no %s (or /proc is not mounted)",
                              sandbox_layer_name(layer));
        } else {
            *missing |= layer;
        }
    }
    *ret_flags = flags;
    return 0;
}

static const char *clone_hint(int error)
{
    if (error == ENOSPC || error == EUSERS)
        return "no more namespaces can be made here: raise the limits in /proc/sys/user, such as "
               "user.max_user_namespaces";
    if (error == EPERM || error == EACCES)
        return "making namespaces is forbidden here: set kernel.unprivileged_userns_clone=1, "
               "have no AppArmor or SELinux rule against it, or run as root";
    return "clone3";
}

static pid_t clone_once(uint64_t flags, int cgroup_fd, int *pidfd)
{
    struct clone_args args = {
        .flags = flags | CLONE_PIDFD | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
    };

    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* Of a group that children can't be started in: its delegation, its type, a kernel before Linux 5.7. One
 * that is full is not among them: a limit that is reached would let everybody out. */
static bool host_forbids_group(int error)
{
    static const int errors[] = { EACCES, EBUSY, EOPNOTSUPP, EINVAL, ENOSYS, ENOENT, E2BIG };

    for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
        if (error == errors[i])
            return true;
    return false;
}

/* A host that won't have the child in that cgroup gets it without; that is reported, not fatal. */
static pid_t clone_child(uint64_t flags, int cgroup_fd, int *pidfd, unsigned *missing)
{
    pid_t pid = cgroup_fd >= 0 ? clone_once(flags, cgroup_fd, pidfd) : -1;

    if (pid >= 0 || (cgroup_fd >= 0 && !host_forbids_group(errno)))
        return pid;
    pid = clone_once(flags, -1, pidfd);
    if (pid > 0)
        *missing |= SANDBOX_LAYER_CGROUP;
    return pid;
}

static int write_proc(pid_t pid, const char *name, const char *text)
{
    cleanup_(fd_closep) int fd = -1;
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* uid 0 inside, one host id outside, nothing else. With ids of its own the child drops the
 * parent's groups, so setgroups can only be denied to the one that keeps them. */
static int write_maps(pid_t pid, const struct sandbox_spawn *spawn)
{
    char map[32];
    int r = 0;

    if (spawn->uid == 0)
        r = write_proc(pid, "setgroups", "deny");
    if (r < 0 && r != -ENOENT)
        return r;
    snprintf(map, sizeof map, "0 %u 1", spawn->uid ? spawn->uid : (unsigned)geteuid());
    r = write_proc(pid, "uid_map", map);
    if (r < 0)
        return r;
    snprintf(map, sizeof map, "0 %u 1", spawn->uid ? spawn->gid : (unsigned)getegid());
    return write_proc(pid, "gid_map", map);
}

static int open_proc(pid_t pid, const char *file)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* A child that can't be let go is killed, and the error comes where its own would. It is not waited for: it
 * has copies of all that its parent has open, and their last close may wait for others. */
static void let_go(pid_t pid, const struct sandbox_spawn *spawn, bool in_userns, int go_fd,
                   int error_fd)
{
    struct spawn_error error = { .step = SPAWN_STEP_MAPS };
    ssize_t n;

    error.error = in_userns ? -write_maps(pid, spawn) : 0;
    if (error.error == 0 && write(go_fd, "g", 1) == 1)
        return;
    if (error.error == 0)
        error = (struct spawn_error){ .step = SPAWN_STEP_WAIT, .error = EPIPE };
    kill(pid, SIGKILL);
    n = write(error_fd, &error, sizeof error);
    (void)n;
}

/* End of file: the pipe closed on exec (or the child was killed, which its pidfd will tell). */
int sandbox_spawn_end(struct sandbox_spawning *spawning, const char *name)
{
    static const char *const steps[] = {
        [SPAWN_STEP_WAIT] = "starting",
        [SPAWN_STEP_MAPS] = "mapping its ids",
        [SPAWN_STEP_ROOT] = "making its empty root",
        [SPAWN_STEP_IDS] = "taking its ids",
        [SPAWN_STEP_CAPS] = "giving up capabilities",
        [SPAWN_STEP_FDS] = "arranging its descriptors",
        [SPAWN_STEP_FILTER] = "putting its filter on",
        [SPAWN_STEP_EXEC] = "executing it",
    };
    struct spawn_error error = { 0 };
    ssize_t n;

    do
        n = read(spawning->error_fd, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    fd_closep(&spawning->error_fd);
    if (n == 0)
        return 0;
    if (n != (ssize_t)sizeof error || error.error <= 0 || (unsigned)error.step >= ARRAY_SIZE(steps))
        return err_origin(-EIO, "%s: starting it", name);
    /* ENOENT: its interpreter, which the empty root doesn't have. */
    if (error.step == SPAWN_STEP_EXEC && (error.error == EACCES || error.error == ENOENT) &&
        spawning->empty_root)
        return err_origin(
            -EACCES,
            "%s: it starts in an empty root, so it must be linked statically, as Bulkhead's own "
            "builds are, and the child's uid must be allowed to execute it (chmod o+rx)",
            name);
    if (error.step == SPAWN_STEP_EXEC && error.error == EACCES && spawning->uid != 0)
        return err_origin(-EACCES,
                          "%s: the child's own uid may not execute it (chmod o+rx; AppArmor: "
                          "attach_disconnected)",
                          name);
    return err_origin(-error.error, "%s: %s", name, steps[error.step]);
}

/* Resolved here: the child's uid need not be able to walk the path. */
static int open_program(const struct sandbox_spawn *spawn, int *ret_fd)
{
    if (!spawn->program)
        return 0;
    *ret_fd = open(spawn->program, O_PATH | O_CLOEXEC);
    return *ret_fd < 0 ? err_origin(-errno, "%s", spawn->program) : 0;
}

/* passt shares the host's network and makes a root of its own. */
static bool empty_root(const struct sandbox_spawn *spawn, uint64_t flags)
{
    return (spawn->no_userns || spawn->filter) && !spawn->share_netns && (flags & CLONE_NEWNS) != 0;
}

static int start(const struct sandbox_spawn *spawn, uint64_t flags, struct pipe_pair *go_pipe,
                 struct pipe_pair *error_pipe, struct sandbox_spawning *s)
{
    /* Not one that was handed in: that is not closed here, nor a copy of it. Its file may be of a server that is
     * told, and doesn't answer. */
    cleanup_(fd_closep) int opened_fd = -1;
    cleanup_(fd_closep) int pidfd = -1;
    cleanup_(fd_closep) int stat_fd = -1;
    pid_t pid;
    int r = open_program(spawn, &opened_fd);

    if (r < 0)
        return err_trace(r);
    pid = clone_child(flags, spawn->cgroup_fd, &pidfd, &s->missing);
    if (pid < 0) {
        r = -errno;
        return err_origin(r, "%s", clone_hint(-r));
    }
    if (pid == 0) {
        close(go_pipe->write_fd); /* or its own copy would keep it waiting for ever */
        spawn_child_run(
            &(struct spawn_child){ .argv = spawn->argv,
                                   .envp = spawn->envp,
                                   .fds = spawn->fds,
                                   .n_fds = spawn->n_fds,
                                   .uid = spawn->uid,
                                   .gid = spawn->gid,
                                   .filter = spawn->filter,
                                   .program_fd = spawn->program ? opened_fd : spawn->program_fd,
                                   .go_fd = go_pipe->read_fd,
                                   .error_fd = error_pipe->write_fd,
                                   .in_userns = (flags & CLONE_NEWUSER) != 0,
                                   .no_userns = spawn->no_userns,
                                   .empty_root = s->empty_root,
                                   .no_caps = spawn->no_userns || spawn->filter });
    }
    stat_fd = open_proc(pid, spawn->wants_status ? "status" : "stat");
    let_go(pid, spawn, (flags & CLONE_NEWUSER) != 0, go_pipe->write_fd, error_pipe->write_fd);
    s->pid = pid;
    s->pidfd = fd_take(&pidfd);
    s->stat_fd = fd_take(&stat_fd);
    s->error_fd = fd_take(&error_pipe->read_fd);
    return 0;
}

int sandbox_spawn_begin(const struct sandbox_spawn *spawn, struct sandbox_spawning *ret_spawning)
{
    cleanup_(pipe_close) struct pipe_pair go_pipe = { -1, -1 };
    cleanup_(pipe_close) struct pipe_pair error_pipe = { -1, -1 };
    struct sandbox_spawning s = { .pidfd = -1, .error_fd = -1, .stat_fd = -1, .uid = spawn->uid };
    uint64_t flags = 0;
    int r;

    if ((!spawn->program && spawn->program_fd < 0) || !spawn->argv || !spawn->argv[0] ||
        (spawn->uid == 0) != (spawn->gid == 0) || (spawn->no_userns && spawn->uid == 0))
        return err_origin(-EINVAL, "what to spawn");
    r = choose_namespaces(spawn, &flags, &s.missing);
    s.empty_root = empty_root(spawn, flags);
    if (r == 0 && spawn->filter && !s.empty_root)
        r = err_origin(-ENOTSUP, "no empty root for a program that was handed over");
    if (r == 0)
        r = pipe_open(&go_pipe);
    if (r == 0)
        r = pipe_open(&error_pipe);
    if (r == 0)
        r = start(spawn, flags, &go_pipe, &error_pipe, &s);
    if (r < 0)
        return err_trace(r);
    if (spawn->uid == 0)
        s.missing |= SANDBOX_LAYER_UID;
    if (spawn->no_userns)
        s.missing |= SANDBOX_USERNS_REPLACED;
    *ret_spawning = s;
    return 0;
}

int sandbox_spawn(const struct sandbox_spawn *spawn, pid_t *ret_pid, int *ret_pidfd,
                  unsigned *ret_missing)
{
    struct sandbox_spawning s;
    int r = sandbox_spawn_begin(spawn, &s);

    if (r < 0)
        return err_trace(r);
    fd_closep(&s.stat_fd);
    r = sandbox_spawn_end(&s, spawn->program ? spawn->program : spawn->argv[0]);
    if (r < 0) {
        fd_closep(&s.pidfd);
        kill(s.pid, SIGKILL);
        while (waitpid(s.pid, NULL, __WALL) < 0 && errno == EINTR)
            ;
        return err_trace(r);
    }
    *ret_pid = s.pid;
    *ret_pidfd = s.pidfd;
    *ret_missing = s.missing;
    return 0;
}
