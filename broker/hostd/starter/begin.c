/* SPDX-License-Identifier: Apache-2.0 */
/* begin.c - see begin.h. Who is started outlives the starter: in a session and, where there are any, a control group of
 * its own, with a log that needs no reader. */
#include "hostd/starter/begin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "config/allowed.h"
#include "hostd/starter/consoles.h"
#include "hostd/starter/groups.h"
#include "hostd/starter/places.h"
#include "hostd/starter/session.h"
#include "hostd/starter/tell.h"
#include "sandbox/stranger.h"

enum {
    LAUNCHER_SERVICE = 3, /* descriptors of bulkhead-broker --launch, as in its launcher.h */
    LAUNCHER_BROKER,
    LAUNCHER_CONSOLE,
    LAUNCHER_TREES,
    LAUNCHER_FDS = LAUNCHER_TREES + TERMS_MAX_TREES + 1,
    FIRST_LOOK_MS = 20,
    LAST_LOOK_MS = 2000,
};
_Static_assert((int)LAUNCHER_FDS <= (int)PROCESS_MAX_FDS, "its descriptors fit");

/* All that is open during a start. */
struct beginning {
    struct place *place;
    const Bulkhead__Tenant *tenant;
    int channel; /* the caller's */
    int serial, fifo, log, procs, kept, pair[2];
    int trees[TERMS_MAX_TREES];
    size_t n_trees;
};

static void close_beginning(struct beginning *b)
{
    fd_closep(&b->serial);
    fd_closep(&b->fifo);
    fd_closep(&b->log);
    fd_closep(&b->procs);
    fd_closep(&b->kept);
    fd_closep(&b->pair[0]);
    fd_closep(&b->pair[1]);
    for (size_t i = 0; i < b->n_trees; i++)
        fd_closep(&b->trees[i]);
}

/* ---- the VM's broker ---- */

static void has_ended(struct place *place)
{
    place->broker_leaves = false;
    groups_remove_of(&place->starter->groups, place->tenant, place->vm);
    tell_ended(place->starter, STARTER_BROKER_ENDED, place, "its processes have ended");
    places_settle(place);
}

bool begin_look(struct place *place, uint64_t now)
{
    if (!place->broker_leaves)
        return false;
    if (now < place->look_ns)
        return true;
    if (!folders_is_held(&place->starter->folders, place->tenant, place->vm)) {
        has_ended(place);
        return false;
    }
    place->look_step_ns = MIN(2 * place->look_step_ns, LAST_LOOK_MS * UINT64_C(1000000));
    place->look_ns = now + place->look_step_ns;
    return true;
}

/* Its spawner may be there still, and have another broker take over. */
static void on_broker_end(void *arg, int status)
{
    struct place *place = arg;

    (void)status;
    place->broker_leaves = true;
    place->look_step_ns = FIRST_LOOK_MS * UINT64_C(1000000);
    place->look_ns = now_ns();
    if (begin_look(place, place->look_ns))
        places_tick(place->starter);
}

/* Its environment is the service's, with another place for its run directory. */
static char **environment_of(const struct place *place, char *rundir, size_t size)
{
    extern char **environ;
    char **list;
    size_t n = 0, kept = 0;

    while (environ[n])
        n++;
    list = calloc(n + 2, sizeof *list);
    if (!list)
        return NULL;
    snprintf(rundir, size, "BULKHEAD_RUNDIR=%s/%s", place->starter->folders.vms_path,
             place->tenant);
    list[kept++] = rundir;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "BULKHEAD_RUNDIR=", 16) != 0 &&
            strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0 &&
            strncmp(environ[i], "LISTEN_", 7) != 0 && strncmp(environ[i], "WATCHDOG_", 9) != 0)
            list[kept++] = environ[i];
    return list;
}

static int start_broker(const struct beginning *b)
{
    struct starter *s = b->place->starter;
    char program[PATH_MAX], name[] = "bulkhead-broker", mode[] = "--service", first[16], count[16];
    char rundir[sizeof s->folders.vms_path + HOSTDIR_TENANT_BYTES + 24];
    char *const argv[] = { name, mode, first, count, NULL };
    const int fds[] = { s->null_fd, s->null_fd, b->fifo, b->pair[0] };
    struct process_order order = {
        .program = program, .argv = argv, .fds = fds, .n_fds = ARRAY_SIZE(fds), .procs_fd = b->procs
    };
    char **environment = environment_of(b->place, rundir, sizeof rundir);
    pid_t pid;

    if (!environment)
        return err_origin(-ENOMEM, "starting the VM's broker");
    snprintf(program, sizeof program, "%s/bulkhead-broker", s->program_dir);
    snprintf(first, sizeof first, "%u", s->is_root ? b->tenant->uid_first : 0);
    snprintf(count, sizeof count, "%u", s->is_root ? b->tenant->uid_count : 0);
    order.envp = environment;
    pid = process_fork(&order);
    free(environment);
    return pid < 0 ? err_trace(pid)
                   : process_watch(&b->place->broker, s->loop, pid, true, on_broker_end, b->place);
}

/* ---- the launcher ---- */

static void on_launcher_end(void *arg, int status)
{
    struct place *place = arg;

    (void)status;
    places_settle(place);
}

/* /dev/kvm is the group's of those who may have VMs, and who has a tenant's rights may. */
static uint32_t kvm_group(void)
{
    struct stat st;
    bool open_to_all = stat("/dev/kvm", &st) < 0 || (st.st_mode & 0006) == 0006;

    return open_to_all || !S_ISCHR(st.st_mode) || (st.st_mode & 0060) != 0060 ? 0 : st.st_gid;
}

/* Who has the service's own rights has all of the host, or of its user: hostd's word is not enough for that. */
static struct allowed allowed_to(const Bulkhead__Tenant *t)
{
    return (struct allowed){ .tenant = t->name,
                             .host = t->host,
                             .user_net = t->user_net,
                             .taps = t->taps,
                             .n_taps = t->n_taps,
                             .devices = t->quota ? t->quota->devices : 0,
                             .vouched = t->host && t->uid == geteuid() };
}

/* Both on the heap. NULL: no memory. */
static char **launcher_args(const Bulkhead__Tenant *t, const struct allowed *allowed,
                            char **ret_words)
{
    static char name[] = "bulkhead-broker", mode[] = "--launch";
    char **args = calloc(3 + ALLOWED_MAX_WORDS + t->n_taps + t->n_trees, sizeof *args);
    size_t n = 0;

    *ret_words = args ? allowed_write(allowed, args + 2, &n) : NULL;
    if (!*ret_words) {
        free(args);
        return NULL;
    }
    args[0] = name;
    args[1] = mode;
    for (size_t i = 0; i < t->n_trees; i++)
        args[2 + n + i] = t->trees[i];
    return args;
}

static int start_launcher(const struct beginning *b)
{
    struct starter *s = b->place->starter;
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const struct allowed allowed = allowed_to(b->tenant);
    char program[PATH_MAX], *words, *const envp[] = { path, NULL };
    char **argv = launcher_args(b->tenant, &allowed, &words);
    int fds[LAUNCHER_FDS] = { s->null_fd, s->null_fd, b->log };
    struct process_order order = { .program = program,
                                   .argv = argv,
                                   .envp = envp,
                                   .fds = fds,
                                   .n_fds = LAUNCHER_TREES + (unsigned)b->n_trees,
                                   .procs_fd = -1,
                                   .powerless = true };
    pid_t pid;

    if (!argv)
        return err_origin(-ENOMEM, "starting the launcher");
    snprintf(program, sizeof program, "%s/bulkhead-broker", s->program_dir);
    fds[LAUNCHER_SERVICE] = b->channel;
    fds[LAUNCHER_BROKER] = b->pair[1];
    fds[LAUNCHER_CONSOLE] = b->serial;
    for (size_t i = 0; i < b->n_trees; i++)
        fds[LAUNCHER_TREES + i] = b->trees[i];
    if (allowed.vouched)
        fds[order.n_fds++] = b->kept;
    if (s->is_root) {
        order.uid = b->tenant->uid;
        order.gid = b->tenant->gid;
        order.real_uid = stranger_uid();
        order.group = b->tenant->uid == 0 ? 0 : kvm_group();
    }
    pid = process_fork(&order);
    free(argv);
    free(words);
    return pid < 0
               ? err_trace(pid)
               : process_watch(&b->place->launcher, s->loop, pid, true, on_launcher_end, b->place);
}

/* One of the last run that hostd keeps, or that is about to end. */
static int end_old_launcher(struct place *place)
{
    pid_t pid = place->launcher.pid;

    if (pid == 0)
        return 0;
    process_kill(&place->launcher);
    if (place->old_launcher.pid != 0)
        return err_origin(-EAGAIN, "the last two starts of %s are not over", place->vm);
    process_forget(&place->launcher);
    return process_watch(&place->old_launcher, place->starter->loop, pid, true, on_launcher_end,
                         place);
}

/* ---- all of it ---- */

static int open_all(struct beginning *b)
{
    struct starter *s = b->place->starter;
    cleanup_(fd_closep) int base_fd = -1;
    struct fault f = { 0 };
    int r = terms_open_trees(b->tenant, b->trees, &f);

    if (r < 0)
        return err_origin(r, "%.180s", f.text);
    b->n_trees = b->tenant->n_trees;
    base_fd = folders_enter_tenant(&s->folders, FOLDER_VMS, b->place->tenant);
    if (base_fd < 0)
        return err_trace(base_fd);
    b->kept = folders_enter(&s->folders, FOLDER_KEPT, b->place->tenant, b->place->vm, true);
    if (b->kept < 0)
        return err_trace(b->kept);
    r = consoles_begin(b->place, &b->serial, &b->fifo);
    if (r == 0)
        r = b->log = consoles_open_log(b->place);
    if (r < 0)
        return err_trace(r);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, b->pair) < 0)
        return err_origin(-errno, "the launcher's socket");
    b->procs = groups_make_for(&s->groups, b->place->tenant, b->place->vm);
    return 0;
}

static int start_all(struct beginning *b)
{
    int r = end_old_launcher(b->place);

    if (r == 0)
        r = open_all(b);
    if (r == 0)
        r = start_broker(b);
    if (r == 0)
        r = session_write(&b->place->starter->folders, b->place->tenant, b->place->vm,
                          b->place->broker.pid);
    if (r == 0)
        r = start_launcher(b);
    if (r == 0)
        r = consoles_start(b->place);
    if (r < 0) {
        process_kill(&b->place->broker);
        process_kill(&b->place->launcher);
    }
    return r < 0 ? err_trace(r) : 0;
}

static int start_giver(struct beginning *b, int broker_fd)
{
    struct fault f = { 0 };
    int r;

    if (b->place->launcher.pid != 0)
        return err_origin(-EAGAIN, "another launcher of %s is at work", b->place->vm);
    r = terms_open_trees(b->tenant, b->trees, &f);
    if (r < 0)
        return err_origin(r, "%.180s", f.text);
    b->n_trees = b->tenant->n_trees;
    b->kept = r = folders_enter(&b->place->starter->folders, FOLDER_KEPT, b->place->tenant,
                                b->place->vm, false);
    if (r < 0)
        return err_trace(r);
    b->log = r = consoles_open_log(b->place);
    if (r < 0)
        return err_trace(r);
    b->pair[1] = fcntl(broker_fd, F_DUPFD_CLOEXEC, 3);
    b->serial =
        fcntl(b->place->starter->null_fd, F_DUPFD_CLOEXEC, 3); /* it has no console to give */
    return b->pair[1] < 0 || b->serial < 0 ? err_origin(-errno, "the launcher's descriptors")
                                           : start_launcher(b);
}

int begin_give(struct starter *s, const char *tenant, const char *vm, int channel_fd, int broker_fd)
{
    struct beginning b = { .tenant = terms_find(&s->terms, tenant),
                           .channel = channel_fd,
                           .serial = -1,
                           .fifo = -1,
                           .log = -1,
                           .procs = -1,
                           .kept = -1,
                           .pair = { -1, -1 } };
    int r;

    if (!b.tenant)
        return err_origin(-ENOENT, "there is no tenant %s", tenant);
    r = places_take(s, tenant, vm, &b.place);
    if (r < 0)
        return err_trace(r);
    r = start_giver(&b, broker_fd);
    close_beginning(&b);
    places_settle(b.place);
    return r;
}

int begin_run(struct starter *s, const char *tenant, const char *vm, int channel_fd)
{
    struct beginning b = { .tenant = terms_find(&s->terms, tenant),
                           .channel = channel_fd,
                           .serial = -1,
                           .fifo = -1,
                           .log = -1,
                           .procs = -1,
                           .kept = -1,
                           .pair = { -1, -1 } };
    int r;

    if (!b.tenant)
        return err_origin(-ENOENT, "there is no tenant %s", tenant);
    if (places_lives(s, tenant, vm))
        return err_origin(-EBUSY, "the VM %s is running", vm);
    r = places_take(s, tenant, vm, &b.place);
    if (r < 0)
        return err_trace(r);
    b.place->broker_leaves = false;
    r = start_all(&b);
    close_beginning(&b);
    places_settle(b.place);
    return r;
}
