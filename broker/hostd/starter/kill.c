/* SPDX-License-Identifier: Apache-2.0 */
/* kill.c - see kill.h.
 *
 * Broker, spawner and closers are in one process group (session.h), which is signalled as one: nobody is missed who is just being
 * made, or whom /proc doesn't show. The core, the workers and passt are the spawner's children, each in a session of its own, and
 * would be nobody's when it is dead. So first the group is stopped, then nobody makes processes any more; then its
 * children die, and for root's VMs whoever else has a uid of the VM's range; then the group itself. */
#include "hostd/starter/kill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

enum { DIE_MS = 5000, FIRST_LOOK_MS = 2, LAST_LOOK_MS = 200 };

struct target {
    pid_t session;
    uint32_t first_uid; /* of the range that it has claimed; 0: not known, or it has none */
};

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static bool is_member(const struct target *t, pid_t pid)
{
    return pid > 1 && getpgid(pid) == t->session;
}

static bool is_child(const struct target *t, pid_t pid)
{
    unsigned long long start;
    pid_t parent = 0;

    return session_stat(pid, &parent, &start) == 0 && is_member(t, parent);
}

/* 0: it has none of the pool. */
static uint32_t range_of(pid_t pid)
{
    cleanup_(fd_closep) int fd = -1;
    char path[32], text[1024];
    const char *line;
    unsigned uid = 0;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
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
        t->first_uid = range_of(pid);
    return !member && (child || (t->first_uid != 0 && range_of(pid) == t->first_uid));
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

/* True: some of them live. */
static bool kill_children_once(struct target *t)
{
    cleanup_(dir_closep) DIR *dir = opendir("/proc");
    const uint32_t range = t->first_uid;
    struct dirent *entry;
    bool left = !dir;

    while (dir && (entry = readdir(dir)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 1 && is_its_own(t, (pid_t)pid))
            left |= outlives_kill(t, (pid_t)pid);
    }
    return left || t->first_uid != range;
}

static bool kill_children(struct target *t)
{
    const uint64_t end = now_ns() + DIE_MS * UINT64_C(1000000);
    int wait_ms = FIRST_LOOK_MS;

    while (kill_children_once(t)) {
        if (now_ns() >= end)
            return false;
        (void)poll(NULL, 0, wait_ms);
        wait_ms = MIN(2 * wait_ms, LAST_LOOK_MS);
    }
    return true;
}

int kill_now(const struct service_groups *groups, const char *tenant, const char *vm, pid_t session)
{
    struct target t = { .session = session };
    bool found = session > 1 && session != getpgid(0) && kill(-session, SIGSTOP) == 0, killed;

    if (found && !kill_children(&t)) {
        /* The spawner holds what the VM has claimed, and lets go of that when they are dead. */
        (void)kill(-session, SIGTERM);
        (void)kill(-session, SIGCONT);
        return -EBUSY;
    }
    killed = groups_kill_of(groups, tenant, vm);
    if (found)
        (void)kill(-session, SIGKILL); /* unless all of them have ended meanwhile */
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
