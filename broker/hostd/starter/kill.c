/* SPDX-License-Identifier: Apache-2.0 */
/* kill.c - see kill.h.
 *
 * Broker, spawner and closers are in one process group (session.h), which is signalled as one: nobody is missed who is just being
 * made, or whom /proc doesn't show. The core, the workers and passt are the spawner's children, each in a session of its own, and
 * would be nobody's when it is dead. So first the group is stopped, then nobody makes processes any more; then its
 * children die, and for root's VMs, if the spawner is dead, whoever else has a uid of the VM's range, unless that is another VM's
 * by now; then the group itself. */
#include "hostd/starter/kill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "hostd/starter/places.h"
#include "hostd/starter/session.h"
#include "hostd/starter/tell.h"
#include "sandbox/ids.h"
#include "spawner/uids.h"

enum { DIE_MS = 5000, FIRST_LOOK_MS = 2, LAST_LOOK_MS = 200 };

struct target {
    int proc_fd;
    pid_t session;
    uint32_t first_uid; /* of the range that it has claimed; 0: not known, or it has none */
    struct uids uids;   /* the claim, if it is this process's by now */
};

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* One of our own, for that of the host may hide them (hidepid=): without a user namespace a worker of root's VM has a uid of its
 * own, and who is root may see it only with CAP_SYS_PTRACE, which the service has not. It is mounted nowhere, and ends with this
 * process. -1: not to be had here. */
static int own_proc(void)
{
    cleanup_(fd_closep) int fs_fd = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);

    if (fs_fd < 0 || syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_STRING, "hidepid", "0", 0) < 0 ||
        syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return (int)syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

static int open_proc(void)
{
    int fd = geteuid() == 0 ? own_proc() : -1;

    return fd >= 0 ? fd : open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Children of root's VMs alone can be hidden: a user's are in namespaces of his. Who is first here has rights that we have not. */
static bool may_hide(const struct target *t)
{
    unsigned long long start;
    pid_t parent;

    return geteuid() == 0 && session_stat(t->proc_fd, 1, &parent, &start) < 0;
}

static bool is_member(const struct target *t, pid_t pid)
{
    return pid > 1 && getpgid(pid) == t->session;
}

static bool is_child(const struct target *t, pid_t pid)
{
    unsigned long long start;
    pid_t parent = 0;

    return session_stat(t->proc_fd, pid, &parent, &start) == 0 && is_member(t, parent);
}

/* 0: it has none of the pool. */
static uint32_t range_of(const struct target *t, pid_t pid)
{
    cleanup_(fd_closep) int fd = -1;
    char path[32], text[1024];
    const char *line;
    unsigned uid = 0;
    ssize_t n;

    snprintf(path, sizeof path, "%d/status", (int)pid);
    fd = openat(t->proc_fd, path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    line = strstr(text, "\nUid:"); /* no name has a line's end in there */
    if (!line || sscanf(line, "\nUid: %u", &uid) != 1 || uid < SANDBOX_UID_FIRST ||
        uid - SANDBOX_UID_FIRST >= SANDBOX_UID_COUNT)
        return 0;
    return uid - (uid - SANDBOX_UID_FIRST) % SANDBOX_UIDS_PER_VM;
}

/* Not of the group itself. What its processes are tells which range they have. */
static bool is_its_own(struct target *t, pid_t pid)
{
    bool member = is_member(t, pid), child = !member && is_child(t, pid);

    if ((member || child) && t->first_uid == 0 && geteuid() == 0)
        t->first_uid = range_of(t, pid);
    return !member && (child || (t->uids.claimed && range_of(t, pid) == t->first_uid));
}

/* By a descriptor, so that it is the process that was looked at, and all of its threads are over. */
static bool outlives_kill(struct target *t, pid_t pid)
{
    cleanup_(fd_closep) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd gone = { .fd = fd, .events = POLLIN };

    if (fd < 0)
        return errno != ESRCH;
    if (!is_its_own(t, pid))
        return false;
    (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    return poll(&gone, 1, 0) == 0;
}

/* True: just now. Its spawner, if it lives, has the claim, and knows all of its children. When that is dead another VM may have it by
 * now, whose processes have the same uids: they are this one's alone as long as the claim is nobody else's. */
static bool take_claim(struct target *t)
{
    if (t->first_uid == 0 || t->uids.claimed)
        return false;
    uids_claim_within(&t->uids, UIDS_FILE, 0,
                      (t->first_uid - SANDBOX_UID_FIRST) / SANDBOX_UIDS_PER_VM, 1);
    if (!t->uids.claimed)
        uids_release(&t->uids);
    return t->uids.claimed;
}

/* True: some of them live. */
static bool kill_children_once(struct target *t)
{
    int again = openat(t->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_(dir_closep) DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;
    bool left = !dir;

    if (again >= 0 && !dir)
        close(again);
    while (dir && (entry = readdir(dir)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 1 && is_its_own(t, (pid_t)pid))
            left |= outlives_kill(t, (pid_t)pid);
    }
    return left;
}

static bool kill_children(struct target *t)
{
    const uint64_t end = now_ns() + DIE_MS * UINT64_C(1000000);
    int wait_ms = FIRST_LOOK_MS;

    while (kill_children_once(t) || take_claim(t)) {
        if (now_ns() >= end)
            return false;
        (void)poll(NULL, 0, wait_ms);
        wait_ms = MIN(2 * wait_ms, LAST_LOOK_MS);
    }
    return !may_hide(t);
}

int kill_now(const struct service_groups *groups, const char *tenant, const char *vm, pid_t session)
{
    cleanup_(fd_closep) int proc_fd = open_proc();
    struct target t = { .proc_fd = proc_fd, .session = session };
    bool found, killed;

    uids_init(&t.uids);
    found = session > 1 && session != getpgid(0) && kill(-session, SIGSTOP) == 0;

    if (found && !kill_children(&t)) {
        /* The spawner holds what the VM has claimed, and lets go of that when they are dead. It needs no /proc for that. */
        (void)kill(-session, SIGTERM);
        (void)kill(-session, SIGCONT);
        uids_release(&t.uids);
        return -EBUSY;
    }
    killed = groups_kill_of(groups, tenant, vm);
    if (found)
        (void)kill(-session, SIGKILL); /* unless all of them have ended meanwhile */
    uids_release(&t.uids);
    return found || killed ? 0 : -ESRCH;
}

/* ---- in a process of its own ---- */

static void on_killed(void *arg, int status)
{
    struct place *place = arg;
    int error = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;

    if (error == ESRCH && !places_lives(place->starter, place->tenant, place->vm))
        error = ENOENT; /* it has ended by itself */
    if (error != 0)
        (void)err_origin(-error, "the processes of %s/%s %s", place->tenant, place->vm,
                         error == EBUSY ? "don't die" : "are not to be found");
    tell_done(place->starter, place->kill_id, -error, NULL, 0);
    places_settle(place);
}

/* Who would be killed between the first signal and the last one would leave a VM that stands still, so it outlives its starter.
 * hostd is to see that one's end all the same: nothing of what is open there stays open here. */
static _Noreturn void be_killer(const struct place *place, pid_t session)
{
    const struct service_groups *groups = &place->starter->groups;

    fd_close_all_but(&groups->base_fd, 1);
    _exit(-kill_now(groups, place->tenant, place->vm, session));
}

int kill_begin(struct place *place, uint32_t id)
{
    struct starter *s = place->starter;
    pid_t session = place->broker.pid, pid;

    if (place->killer.pid != 0)
        return err_origin(-EBUSY, "%s/%s is being killed already", place->tenant, place->vm);
    if (session == 0)
        session = session_read(&s->folders, place->tenant, place->vm);
    pid = fork();
    if (pid == 0)
        be_killer(place, session);
    if (pid < 0)
        return err_origin(-errno, "killing %s/%s", place->tenant, place->vm);
    place->kill_id = id;
    return process_watch(&place->killer, s->loop, pid, true, on_killed, place);
}
