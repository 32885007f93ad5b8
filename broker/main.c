/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - bulkhead-broker --private: one VM for the client on descriptor 3.
 *
 * In order: fork the spawner, hear what is wanted, check it, plan, open everything, tell the spawner
 * what may be started, enter the sandbox, and only then start children: no byte of a child is read before seccomp is on. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/checks.h"
#include "config/config.h"
#include "devices/backend.h"
#include "plan/identity.h"
#include "plan/plan_message.h"
#include "resources/memory.h"
#include "resources/signals.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_broker.h"
#include "sandbox/ids.h"
#include "sandbox/landlock.h"
#include "sandbox/namespaces.h"
#include "spawner/cgroups.h"
#include "spawner/uids.h"
#include "vm.h"

enum { FD_CLIENT = 3, EXIT_USAGE = 2, MAX_PASSED_FDS = 2 + RESOURCES_MAX_TAPS * 4 };

/* The first request, kept on our own heap: the channel's buffer is reused. */
struct request {
    Bulkhead__VmConfig *config;
    bool plan_only, has_tty;
    uint32_t id;
    int fds[MAX_PASSED_FDS];
    unsigned n_fds;
};

static void say_last(struct channel *client, uint32_t id, const struct fault *f)
{
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);
    char text[FAULT_TEXT_MAX];

    snprintf(text, sizeof text, "%s", f->text);
    reply.error = f->error;
    reply.bad_input = f->bad_input;
    reply.text = text;
    e.id = id;
    if (channel_send_raw(client, &e.base, NULL, 0, true) < 0)
        log_error("%s", f->text);
}

static int receive_request(struct channel *client, struct request *req, struct fault *f)
{
    const Bulkhead__ClientEnvelope *e;
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;
    int r = channel_receive_raw(client, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                                &n_fds);

    if (r != 0)
        return fault_host(f, EPIPE, "the client left without a request");
    e = (const Bulkhead__ClientEnvelope *)msg;
    req->id = e->id;
    if (e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_RUN_VM || !e->run_vm->config)
        return fault_input(f, "the first request must be RunVm with a configuration");
    req->plan_only = e->run_vm->plan_only;
    req->has_tty = e->run_vm->has_tty;
    req->config = config_copy(e->run_vm->config);
    if (!req->config)
        return fault_host(f, ENOMEM, "no memory for the configuration");
    if (n_fds > MAX_PASSED_FDS || (req->has_tty && n_fds < 2))
        return fault_input(f, "%zu descriptors came with the request", n_fds);
    for (size_t i = 0; i < n_fds; i++)
        req->fds[req->n_fds++] = fd_take(&fds[i]);
    return 0;
}

/* From the client's own first moment, so that its start and the broker's are part of the sum. */
static void start_trace(struct vm *vm)
{
    const uint64_t from = vm->config->trace_start_ns, broker = vm->started_ns;

    if (from == 0 || from > broker)
        return;
    vm->started_ns = from;
    vm->trace[vm->n_trace++] =
        (struct trace_point){ .ns = broker - from, .what = "broker started" };
}

/* The soft limit of open files is there for programs that use select(): none of ours does. That of file
 * sizes would end the broker by a signal, since guest RAM is a file. */
static void raise_file_limits(void)
{
    static const int limits[] = { RLIMIT_NOFILE, RLIMIT_FSIZE };
    struct rlimit limit;

    for (unsigned i = 0; i < ARRAY_SIZE(limits); i++)
        if (getrlimit(limits[i], &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
            limit.rlim_cur = limit.rlim_max;
            (void)setrlimit(limits[i], &limit);
        }
}

static int check_file_limit(unsigned needed, struct fault *f)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
        return 0;
    return fault_input(f,
                       "this VM needs up to %u open files, and the limit is %llu: raise the hard "
                       "limit (ulimit -Hn, LimitNOFILE=), or give it fewer devices or queues",
                       needed, (unsigned long long)limit.rlim_cur);
}

static int prepare(struct vm *vm, struct request *req, struct fault *f)
{
    struct validate_host host = { .memory_bytes = resources_host_memory() };
    char name[32];

    snprintf(name, sizeof name, "vm-%d", (int)getpid());
    vm->config = req->config;
    req->config = NULL;
    if (config_fill(vm->config, name) < 0)
        return fault_host(f, ENOMEM, "no memory for the configuration");
    if (validate_config(vm->config, &host, f) < 0)
        return -EINVAL;
    vm->insecure = vm->config->insecure;
    if (host_check(vm->config, &vm->host, f) < 0)
        return -EPERM;
    plan_make(vm->config, &vm->plan);
    if (resources_check_size("the guest's memory", vm->config->memory->size, f) < 0)
        return -EINVAL;
    return check_file_limit(plan_files(&vm->plan), f);
}

static int send_plan(struct vm *vm, struct channel *client, uint32_t id)
{
    Bulkhead__Plan plan = BULKHEAD__PLAN__INIT;
    CLIENT_ENVELOPE(e, PLAN, plan, &plan);
    int r;

    plan.plan = plan_message(&vm->plan, vm->config, &vm->host);
    if (!plan.plan)
        return EXIT_FAILURE;
    e.id = id;
    r = channel_send_raw(client, &e.base, NULL, 0, true);
    bulkhead__vm_plan__free_unpacked(plan.plan, NULL);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The terminal's mode is remembered before anybody makes it raw, to be put back if the client
 * can't. */
static void remember_tty(struct vm *vm, const int *tty)
{
    if (tcgetattr(tty[0], &vm->termios) < 0)
        return;
    vm->tty_fd = fcntl(tty[0], F_DUPFD_CLOEXEC, 4);
    vm->has_tty = vm->tty_fd >= 0;
}

static int open_all(struct vm *vm, struct request *req, struct fault *f)
{
    const int *tty = req->has_tty ? req->fds : NULL;
    unsigned skip = req->has_tty ? 2 : 0;
    int r;

    programs_open(&vm->programs);
    if (tty)
        remember_tty(vm, tty);
    if (programs_fd(&vm->programs, BULKHEAD__ROLE__ROLE_CORE, f) < 0 ||
        programs_fd(&vm->programs, BULKHEAD__ROLE__ROLE_LOADER, f) < 0)
        return -ENOENT;
    r = vm_open(vm, tty, req->fds + skip, req->n_fds - skip, f);
    for (unsigned i = 0; i < req->n_fds; i++)
        fd_closep(&req->fds[i]);
    return r;
}

enum { MAX_REMOVABLE = PLAN_MAX_DEVICES + 3 };

/* What the broker removes at the VM's end: its run directory, the sockets of its devices, and, when the
 * spawner can't, the VM's control groups, whose file to kill those in it is open already: with a right
 * to write there it could have any process moved into them, and killed. */
static unsigned list_removable(const struct vm *vm, const struct groups *groups,
                               struct sandbox_removable dirs[MAX_REMOVABLE])
{
    unsigned n = 0;

    dirs[n++] = (struct sandbox_removable){ .dir_fd = vm->rundir.place.dir_fd };
    dirs[n++] = (struct sandbox_removable){ .dir_fd = vm->rundir.place.base_fd, .folders = true };
    dirs[n++] = (struct sandbox_removable){ .dir_fd = groups->base_fd, .folders = true };
    for (unsigned i = 0; i < vm->n_devices; i++)
        dirs[n++] = (struct sandbox_removable){ .dir_fd = vm->devices[i].backend.socket.dir_fd };
    return n;
}

static int enter_sandbox(struct vm *vm, const struct groups *groups, struct fault *f)
{
    struct sandbox_removable dirs[MAX_REMOVABLE];
    struct sandbox_broker rights = {
        .dirs = dirs,
        .n_dirs = list_removable(vm, groups, dirs),
        .insecure = vm->insecure,
    };
    unsigned missing = 0;

    /* Services for the guest in a tenant's folder are the tenant's; socket_path.c says which of
     * them it may reach. */
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].plan->role == BULKHEAD__ROLE__ROLE_VSOCK &&
            socket_path_is_foreign(&vm->devices[i].backend.socket))
            rights.keep_caps = 1ull << CAP_DAC_OVERRIDE;
    if (sandbox_enter_broker(&sandbox_filter_broker, &rights, &missing) < 0)
        return fault_input(f, "the broker's sandbox: %s: see bulkhead doctor, or use --insecure",
                           err_text());
    return 0;
}

static int run(struct vm *vm, struct request *req, struct channel *client,
               const struct spawner_terms *terms)
{
    struct fault f = { 0 };
    int fd;

    if (receive_request(client, req, &f) < 0 || prepare(vm, req, &f) < 0)
        goto refuse;
    if (req->plan_only)
        return send_plan(vm, client, req->id);
    if (vm->host.root && !terms->uids->claimed) {
        fault_host(&f, EAGAIN, "no uids for the VM's processes: %s", terms->uids->why_not);
        goto refuse;
    }
    start_trace(vm);
    vm_trace(vm, "request checked");
    fd = fcntl(channel_fd(client), F_DUPFD_CLOEXEC, 4);
    if (fd < 0 || session_add(vm, fd, true) < 0) {
        fault_host(&f, EMFILE, "the client's session: %s", err_text());
        goto refuse;
    }
    if (open_all(vm, req, &f) < 0)
        goto refuse;
    vm_trace(vm, "everything opened");
    if (session_listen(vm) < 0 || signals_watch(vm) < 0 ||
        loop_add_fd(vm->loop, vm->spawner->fd, LOOP_READ, child_on_spawner, vm,
                    &vm->spawner_event) < 0) {
        fault_host(&f, ENOMEM, "%s", err_text());
        goto refuse;
    }
    if (spawner_setup(vm, &f) < 0 || enter_sandbox(vm, terms->groups, &f) < 0)
        goto refuse;
    vm_trace(vm, "broker sandboxed");
    if (vm_boot(vm, &f) < 0)
        vm_fail(vm, &f);
    return loop_run(vm->loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
refuse:
    say_last(client, req->id, &f);
    return f.bad_input ? EXIT_USAGE : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static struct vm vm; /* large; one per process */
    static struct request req;
    static struct groups groups;
    static struct uids uids;
    struct spawner_terms terms = { .groups = &groups, .uids = &uids };
    struct spawner spawner = { .fd = -1, .pid = -1 };
    struct channel *client = NULL;
    struct loop *loop = NULL;
    int status = EXIT_FAILURE;
    int userns_error;

    log_init("bulkhead", LOG_LEVEL_INFO);
    if ((argc > 1 && strcmp(argv[1], "--private") != 0) || argc > 2 ||
        fd_expect(FD_CLIENT, FD_TYPE_SEQPACKET, "the client's socket") < 0) {
        log_error("bulkhead-broker is started by `bulkhead run`");
        return EXIT_USAGE;
    }
    fcntl(FD_CLIENT, F_SETFD, FD_CLOEXEC);
    signals_init();
    raise_file_limits(); /* before the spawner is forked: what it starts lowers its own */
    /* A session of its own: Ctrl-C in the user's terminal is the client's affair. */
    setsid();
    groups_make(&groups, getpid());
    uids_init(&uids);
    if (host_has_uids())
        uids_claim(&uids, UIDS_FILE, uids_random());
    userns_error = sandbox_try_userns();
    terms.no_userns = userns_error < 0;
    terms.uid_base = uids.claimed ? sandbox_uid(uids.range, 0) : 0;
    if (spawner_start(&spawner, FD_CLIENT, &terms) < 0 || loop_new(&loop) < 0 ||
        channel_new(&client, FD_CLIENT, CHANNEL_ARENA_BROKER) < 0) {
        log_error("%s", err_text());
        return EXIT_FAILURE;
    }
    vm_init(&vm, loop, &spawner);
    host_look(userns_error, &vm.host);
    vm.host.cgroup = groups.path;
    vm.host.uid_range = uids.range;
    status = run(&vm, &req, client, &terms);
    vm_deinit(&vm);
    channel_free(client);
    spawner_stop(&spawner);
    /* The spawner has done both, unless it was killed. */
    groups_end(&groups);
    uids_release(&uids);
    loop_free(loop);
    return status;
}
