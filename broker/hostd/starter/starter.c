/* SPDX-License-Identifier: Apache-2.0 */
/* starter.c - see starter.h: its life and its loop. */
#include "hostd/starter/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "hostd/starter/begin.h"
#include "hostd/starter/consoles.h"
#include "hostd/starter/groups.h"
#include "hostd/starter/places.h"
#include "hostd/starter/requests.h"
#include "hostd/starter/state.h"
#include "hostd/starter/tell.h"
#include "resources/signals.h"
#include "sandbox/namespaces.h"

enum { REQUESTS_PER_TURN = 16, LAST_MS = 10000, LOCK_MS = 1000 };

/* ---- hostd's requests ---- */

/* Not while there is much to tell, or something that it has handed over is still to be closed. */
static bool may_read(const struct starter *s)
{
    return s->out.n < OUT_ROOM && !closers_are_busy(&s->closers);
}

static void settle(struct starter *s)
{
    bool read;

    closers_go_on(&s->closers);
    requests_go_on(s);
    read = may_read(s);
    if (closers_are_busy(&s->closers))
        places_tick(s);
    if (read != s->paused)
        return;
    s->paused = !read;
    (void)(read ? loop_event_resume(s->request_event) : loop_event_pause(s->request_event));
}

static void hostd_left(struct starter *s)
{
    fd_closep(&s->fd);
    out_clear(&s->out);
    loop_quit(s->loop, 0);
}

static void on_request(int fd, unsigned what, void *arg)
{
    struct starter *s = arg;

    (void)what;
    for (int i = 0; i < REQUESTS_PER_TURN && may_read(s); i++) {
        struct handed fds = { 0 };
        ssize_t n = handed_receive(&s->closers, fd, s->datagram, sizeof s->datagram, &fds);

        if (n == -EAGAIN)
            break;
        if (n == -EPIPE) {
            hostd_left(s);
            return;
        }
        requests_take(s, n < 0 ? 0 : (size_t)n, &fds);
        handed_close(&s->closers, &fds);
    }
    settle(s);
}

static void on_room(int fd, unsigned what, void *arg)
{
    struct starter *s = arg;

    (void)fd;
    (void)what;
    tell_flush(s);
    settle(s);
}

/* ---- time, and ends ---- */

static void on_tick(int fd, unsigned what, void *arg)
{
    struct starter *s = arg;
    uint64_t now = now_ns();
    bool more = false;

    (void)fd;
    (void)what;
    s->ticks = false;
    tell_flush(s);
    for (unsigned i = 0; i < STATE_MAX_VMS; i++)
        if (s->places[i].vm[0] != '\0') {
            more |= begin_look(&s->places[i], now);
            more |= consoles_enforce(&s->places[i], now);
        }
    if (s->ending && now >= s->end_ns)
        hostd_left(s);
    if (more || s->ending)
        places_tick(s);
    settle(s);
}

/* hostd sees the end of its socket, and has a moment to say goodbye to its own clients. */
static void end(struct starter *s)
{
    if (s->ending)
        return;
    s->ending = true;
    s->end_ns = now_ns() + LAST_MS * UINT64_C(1000000);
    (void)shutdown(s->fd, SHUT_WR);
    places_tick(s);
}

static void on_signal(int fd, unsigned what, void *arg)
{
    const char *name;

    (void)what;
    while ((name = signals_take(fd)) != NULL)
        end(arg);
}

static void on_hostd_end(void *arg, int status)
{
    struct starter *s = arg;

    s->hostd_ended = true;
    s->hostd_status = status;
    hostd_left(s);
}

/* ---- its life ---- */

/* A lock of this process alone, whatever else is forked. It goes with it, and with a closer (spawner/handed.c) that is a
 * moment longer there. */
static bool take_lock(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    for (int ms = 0; ms < LOCK_MS; ms++) {
        if (fcntl(fd, F_SETLK, &lock) == 0)
            return true;
        (void)poll(NULL, 0, 1);
    }
    return false;
}

static int be_the_only_one(struct starter *s, struct fault *f)
{

    s->lock_fd = openat(s->folders.fds[FOLDER_VMS], "../lock",
                        O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return fault_host(f, errno, "%s/../lock: %s", s->folders.vms_path, strerror(errno));
    if (!take_lock(s->lock_fd))
        return fault_input(f,
                           "a bulkhead-hostd is running there already (%s): stop it, or set "
                           "BULKHEAD_HOST_RUN and BULKHEAD_HOST_STATE",
                           s->folders.vms_path);
    return 0;
}

static int find_programs(struct starter *s, struct fault *f)
{
    ssize_t n = readlink("/proc/self/exe", s->program_dir, sizeof s->program_dir - 1);
    char *slash;

    s->program_dir[n > 0 ? n : 0] = '\0';
    slash = strrchr(s->program_dir, '/');
    if (!slash)
        return fault_host(f, ENOENT, "the service's own program is not to be found: mount /proc");
    *slash = '\0';
    return 0;
}

static void init(struct starter *s)
{
    s->fd = s->signal_fd = s->null_fd = s->groups.base_fd = s->lock_fd = -1;
    out_init(&s->out);
    process_forget(&s->hostd);
    for (unsigned i = 0; i < STARTER_MAX_SAVES; i++)
        process_forget(&s->saves[i].process);
    for (unsigned i = 0; i < STATE_MAX_REMOVALS; i++)
        process_forget(&s->removals[i].process);
    for (unsigned i = 0; i < FOLDERS; i++)
        s->folders.fds[i] = -1;
}

int starter_new(struct starter **ret_starter, struct fault *f)
{
    struct starter *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return fault_host(f, ENOMEM, "no memory for the service");
    init(s);
    signals_init();
    s->is_root = geteuid() == 0;
    s->no_userns = sandbox_try_userns() < 0;
    r = find_programs(s, f);
    if (r == 0)
        r = folders_open(&s->folders, f);
    if (r == 0)
        r = be_the_only_one(s, f);
    s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (r == 0 && s->null_fd < 0)
        r = fault_host(f, errno, "/dev/null: %s", strerror(errno));
    if (r < 0) {
        starter_free(s);
        return r;
    }
    groups_open(&s->groups, &s->folders);
    groups_sweep(&s->groups, &s->folders);
    *ret_starter = s;
    return 0;
}

static int watch(struct starter *s, int fd, pid_t hostd)
{
    int r = loop_new(&s->loop);

    s->fd = fd;
    closers_init(&s->closers);
    if (r == 0)
        r = signals_open(&s->signal_fd);
    if (r == 0)
        r = loop_add_fd(s->loop, s->signal_fd, LOOP_READ, on_signal, s, &s->signal_event);
    if (r == 0)
        r = loop_add_timer(s->loop, on_tick, s, &s->tick);
    if (r == 0)
        r = loop_add_fd(s->loop, fd, LOOP_READ, on_request, s, &s->request_event);
    if (r == 0)
        r = loop_add_fd(s->loop, fd, LOOP_WRITE, on_room, s, &s->room_event);
    if (r == 0)
        r = loop_event_pause(s->room_event);
    if (r == 0)
        r = process_watch(&s->hostd, s->loop, hostd, true, on_hostd_end, s);
    return r < 0 ? err_trace(r) : 0;
}

/* Both end together; a hostd that can't die, in a call that doesn't return, is left to the next one. */
static int await_hostd(struct starter *s)
{
    struct pollfd gone = { .fd = s->hostd.pidfd, .events = POLLIN };

    if (!s->hostd_ended && s->hostd.pid > 0) {
        if (poll(&gone, 1, LAST_MS) != 1)
            process_kill(&s->hostd);
        if (poll(&gone, 1, LAST_MS) != 1) {
            log_error("hostd was killed and does not die");
            return EXIT_FAILURE;
        }
        while (waitpid(s->hostd.pid, &s->hostd_status, 0) < 0 && errno == EINTR)
            ;
    }
    if (WIFSIGNALED(s->hostd_status))
        log_error("hostd was killed by signal %d", WTERMSIG(s->hostd_status));
    return WIFEXITED(s->hostd_status) ? WEXITSTATUS(s->hostd_status) : EXIT_FAILURE;
}

int starter_serve(struct starter *s, int fd, pid_t hostd)
{
    int r = watch(s, fd, hostd);

    if (r < 0)
        log_error("%s", err_text());
    else
        r = loop_run(s->loop);
    fd_closep(&s->fd);
    groups_sweep(&s->groups, &s->folders);
    return r < 0 ? EXIT_FAILURE : await_hostd(s);
}

static void free_events(struct starter *s)
{
    struct loop_event *const events[] = { s->request_event, s->room_event, s->signal_event,
                                          s->tick };

    for (unsigned i = 0; i < ARRAY_SIZE(events); i++)
        if (events[i])
            loop_event_free(events[i]);
    for (unsigned i = 0; i < STATE_MAX_VMS; i++)
        if (s->places[i].vm[0] != '\0') {
            process_forget(&s->places[i].broker);
            process_forget(&s->places[i].launcher);
            process_forget(&s->places[i].old_launcher);
            process_forget(&s->places[i].note);
            process_forget(&s->places[i].killer);
            consoles_forget(&s->places[i]);
        }
    for (unsigned i = 0; i < STARTER_MAX_SAVES; i++)
        process_forget(&s->saves[i].process);
    for (unsigned i = 0; i < STATE_MAX_REMOVALS; i++)
        process_forget(&s->removals[i].process);
    process_forget(&s->hostd);
}

void starter_free(struct starter *s)
{
    if (!s)
        return;
    free_events(s);
    loop_free(s->loop);
    closers_kill(&s->closers);
    out_clear(&s->out);
    free(s->listing.names.list);
    terms_clear(&s->terms);
    folders_close(&s->folders);
    fd_closep(&s->fd);
    fd_closep(&s->signal_fd);
    fd_closep(&s->null_fd);
    fd_closep(&s->groups.base_fd);
    fd_closep(&s->lock_fd);
    free(s);
}
