/* SPDX-License-Identifier: Apache-2.0 */
/* consoles.c - see consoles.h. */
#include "hostd/starter/consoles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "console/descriptors.h"
#include "hostd/starter/files.h"
#include "hostd/starter/places.h"
#include "hostd/starter/sockets.h"
#include "hostd/starter/tell.h"
#include "sandbox/stranger.h"

enum {
    BACKLOG = 32,
    SERIAL_BACKLOG = 4, /* of a console that was killed, and the next one */
    LAST_MS = 3000,     /* for the last run's to end by itself */
};

#define SERIAL "serial.sock" /* where the VM's serial port listens */
#define FIFO "log"
#define ATTACH "attach.sock"
#define LOCK "lock"

/* ---- what it has open ---- */

static int open_fifo(int io_fd, int flags)
{
    int fd = openat(io_fd, FIFO, flags | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_origin(-errno, "the log's fifo");
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
        return fd;
    close(fd);
    return err_origin(-EINVAL, "the log's fifo is none");
}

/* When nobody has that port any more, the stream has ended. */
static int open_serial(int io_fd)
{
    int fd = sockets_connect(io_fd, SERIAL, SOCK_STREAM), pair[2];

    if (fd >= 0)
        return fd;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return err_origin(-errno, "a console's stream");
    close(pair[1]);
    return pair[0];
}

static int open_lock(int io_fd)
{
    int fd = openat(io_fd, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    return fd < 0 ? err_origin(-errno, "the console's lock") : fd;
}

static int open_all(const struct place *place, int io_fd, int fds[CONSOLE_FDS])
{
    const struct folders *folders = &place->starter->folders;
    cleanup_(fd_closep) int kept_fd =
        folders_enter(folders, FOLDER_KEPT, place->tenant, place->vm, true);
    int r = kept_fd < 0 ? err_trace(kept_fd) : 0;

    if (mkfifoat(io_fd, FIFO, 0600) < 0 && errno != EEXIST)
        return err_origin(-errno, "the log's fifo");
    if (r == 0)
        r = fds[CONSOLE_FIFO] = open_fifo(io_fd, O_RDONLY);
    if (r >= 0)
        r = fds[FD_LOG] = open_fifo(io_fd, O_WRONLY);
    if (r >= 0)
        r = fds[CONSOLE_SERIAL] = open_serial(io_fd);
    if (r >= 0)
        r = fds[CONSOLE_ATTACH] = sockets_listen(io_fd, ATTACH, SOCK_STREAM, BACKLOG);
    if (r >= 0)
        r = fds[CONSOLE_LOCK] = open_lock(io_fd);
    if (r >= 0)
        r = files_open_log(kept_fd, LOG_GUEST, &fds[CONSOLE_GUEST_LOG]);
    if (r >= 0)
        r = files_open_log(kept_fd, LOG_BROKER, &fds[CONSOLE_BROKER_LOG]);
    return r < 0 ? err_trace(r) : 0;
}

static void close_all(int fds[CONSOLE_FDS])
{
    for (unsigned i = FD_LOG; i < CONSOLE_FDS; i++)
        fd_closep(&fds[i]);
}

/* ---- its life ---- */

static pid_t lock_holder(int lock_fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

    if (fcntl(lock_fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
        return 0;
    return lock.l_pid > 0 ? lock.l_pid : -1;
}

static void start_ended(struct place *place)
{
    if (place->console_event)
        loop_event_free(place->console_event);
    place->console_event = NULL;
    fd_closep(&place->console_starts.error_fd);
}

static int take_over(struct place *place);

static void on_end(void *arg, int status)
{
    struct place *place = arg;

    start_ended(place);
    place->console_end_ns = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == CONSOLE_EXIT_TAKEN && take_over(place) == 0)
        return;
    if (place->console_next) {
        place->console_next = false;
        if (consoles_ensure(place) == 0)
            return;
        tell_ended(place->starter, STARTER_CONSOLE_ENDED, place, "%s", err_text());
    } else if (WIFSIGNALED(status)) {
        tell_ended(place->starter, STARTER_CONSOLE_ENDED, place, "killed by signal %d",
                   WTERMSIG(status));
    } else {
        tell_ended(place->starter, STARTER_CONSOLE_ENDED, place, "status %d", WEXITSTATUS(status));
    }
    places_settle(place);
}

/* It has executed its program, or couldn't; its end is seen by its pidfd. */
static void on_started(int fd, unsigned what, void *arg)
{
    struct place *place = arg;

    (void)fd;
    (void)what;
    if (sandbox_spawn_end(&place->console_starts, "bulkhead-console") < 0)
        tell_ended(place->starter, STARTER_CONSOLE_ENDED, place, "%s", err_text());
    start_ended(place);
}

static int spawn(struct place *place, const int fds[CONSOLE_FDS])
{
    struct starter *s = place->starter;
    char program[PATH_MAX], name[] = "bulkhead-console", limit[16];
    char *const argv[] = { name, limit, NULL };
    struct sandbox_spawn order = {
        .program = program, .argv = argv, .fds = fds, .n_fds = CONSOLE_FDS, .cgroup_fd = -1
    };
    struct sandbox_spawning *starts = &place->console_starts;
    int r;

    snprintf(program, sizeof program, "%s/bulkhead-console", s->program_dir);
    snprintf(limit, sizeof limit, "%d", CONSOLE_LOG_BYTES);
    order.uid = order.gid = stranger_uid();
    order.no_userns = s->no_userns && order.uid != 0;
    r = sandbox_spawn_begin(&order, starts);
    if (r < 0)
        return err_trace(r);
    fd_closep(&starts->stat_fd);
    fd_closep(&starts->pidfd);
    r = process_watch(&place->console, s->loop, starts->pid, true, on_end, place);
    if (r == 0)
        r = loop_add_fd(s->loop, starts->error_fd, LOOP_READ, on_started, place,
                        &place->console_event);
    if (r < 0) {
        process_kill(&place->console);
        start_ended(place);
    }
    return r;
}

/* One that another starter has made. */
static int adopt(struct place *place, pid_t pid, int lock_fd)
{
    int r = pid < 0
                ? err_origin(-ESRCH, "the console's process is out of sight")
                : process_watch(&place->console, place->starter->loop, pid, false, on_end, place);

    if (r == 0 && lock_holder(lock_fd) != pid) { /* it ended, and the number may be another's */
        process_forget(&place->console);
        return -EAGAIN;
    }
    return r;
}

static int start(struct place *place, int io_fd)
{
    int fds[CONSOLE_FDS], r;

    for (unsigned i = 0; i < CONSOLE_FDS; i++)
        fds[i] = -1;
    fds[0] = fds[1] = place->starter->null_fd;
    r = open_all(place, io_fd, fds);
    if (r == 0)
        r = spawn(place, fds);
    if (r == 0)
        fd_closep(&place->fifo_fd);
    close_all(fds);
    return r < 0 ? err_trace(r) : 0;
}

/* 1: there is one; 0: there is none; or a negative errno. */
static int find(struct place *place, int io_fd)
{
    cleanup_(fd_closep) int lock_fd = place->console.pid != 0 ? -1 : open_lock(io_fd);
    pid_t pid;
    int r;

    if (place->console.pid != 0)
        return 1;
    if (lock_fd < 0)
        return err_trace(lock_fd);
    pid = lock_holder(lock_fd);
    if (pid == 0)
        return 0;
    r = adopt(place, pid, lock_fd);
    if (r == -EAGAIN)
        return 0;
    return r < 0 ? err_trace(r) : 1;
}

/* An earlier starter's was about to be there. What that listens at has no name any more, so it is replaced. */
static int take_over(struct place *place)
{
    cleanup_(fd_closep) int io_fd =
        folders_enter(&place->starter->folders, FOLDER_IO, place->tenant, place->vm, false);
    int r = io_fd < 0 ? io_fd : find(place, io_fd);

    if (r <= 0)
        return r < 0 ? r : consoles_ensure(place);
    place->console_next = true;
    process_kill(&place->console);
    return 0;
}

int consoles_ensure(struct place *place)
{
    cleanup_(fd_closep) int io_fd =
        folders_enter(&place->starter->folders, FOLDER_IO, place->tenant, place->vm, true);
    int r = io_fd < 0 ? io_fd : find(place, io_fd);

    if (r == 0)
        return start(place, io_fd);
    return r < 0 ? err_trace(r) : 0;
}

int consoles_start(struct place *place)
{
    cleanup_(fd_closep) int io_fd =
        folders_enter(&place->starter->folders, FOLDER_IO, place->tenant, place->vm, true);
    int r = io_fd < 0 ? io_fd : find(place, io_fd);

    if (r == 0)
        return start(place, io_fd);
    if (r < 0)
        return err_trace(r);
    place->console_next = true;
    place->console_end_ns = now_ns() + LAST_MS * UINT64_C(1000000);
    places_tick(place->starter);
    return 0;
}

bool consoles_is_there(struct starter *s, const char *tenant, const char *vm)
{
    const struct place *place = places_find(s, tenant, vm);
    cleanup_(fd_closep) int io_fd = folders_enter(&s->folders, FOLDER_IO, tenant, vm, false);
    cleanup_(fd_closep) int lock_fd = -1;

    if (place && place->console.pid != 0)
        return true;
    if (io_fd < 0)
        return false;
    lock_fd = openat(io_fd, LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    return lock_fd >= 0 && lock_holder(lock_fd) != 0;
}

/* The last run's console goes on with what it has open. If that run's has not started yet, it is to find its log here. */
static int make_fifo(struct place *place, int io_fd)
{
    if (place->fifo_fd >= 0)
        return 0;
    (void)unlinkat(io_fd, FIFO, 0);
    if (mkfifoat(io_fd, FIFO, 0600) < 0)
        return err_origin(-errno, "the log's fifo");
    place->fifo_fd = open_fifo(io_fd, O_RDWR);
    return MIN(place->fifo_fd, 0);
}

int consoles_begin(struct place *place, int *ret_serial, int *ret_fifo)
{
    cleanup_(fd_closep) int io_fd =
        folders_enter(&place->starter->folders, FOLDER_IO, place->tenant, place->vm, true);
    int r = io_fd < 0 ? io_fd : make_fifo(place, io_fd);

    if (r < 0)
        return err_trace(r);
    (void)unlinkat(io_fd, ATTACH, 0);
    *ret_fifo = fcntl(place->fifo_fd, F_DUPFD_CLOEXEC, 3);
    if (*ret_fifo < 0)
        return err_origin(-errno, "the log's fifo");
    r = *ret_serial = sockets_listen(io_fd, SERIAL, SOCK_STREAM, SERIAL_BACKLOG);
    return r < 0 ? err_trace(r) : 0;
}

int consoles_open_log(const struct place *place)
{
    cleanup_(fd_closep) int io_fd =
        folders_enter(&place->starter->folders, FOLDER_IO, place->tenant, place->vm, false);

    return io_fd < 0 ? err_trace(io_fd) : open_fifo(io_fd, O_WRONLY);
}

int consoles_connect(const struct folders *folders, const char *tenant, const char *vm)
{
    cleanup_(fd_closep) int io_fd = folders_enter(folders, FOLDER_IO, tenant, vm, false);

    return io_fd < 0 ? err_trace(io_fd) : sockets_connect(io_fd, ATTACH, SOCK_STREAM);
}

bool consoles_enforce(struct place *place, uint64_t now)
{
    if (place->console_end_ns == 0)
        return false;
    if (now >= place->console_end_ns)
        process_kill(&place->console);
    return true;
}

void consoles_forget(struct place *place)
{
    fd_closep(&place->fifo_fd);
    start_ended(place);
    process_forget(&place->console);
}
