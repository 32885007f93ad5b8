/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - bulkhead-broker --private: one VM for the client on descriptor 3. bulkhead-broker --service FIRST COUNT: the
 * same for the host's service (run/service.h), with uids of those alone (0 0: any). bulkhead-broker --adopt: takes over from
 * one that died, with the spawner on descriptor 3. bulkhead-broker --open: run/opener.h; --launch: run/launcher.h.
 *
 * In order: fork the spawner, hear what is wanted, check it, plan, open everything, tell the spawner
 * what may be started, enter the sandbox, and only then start children: no byte of a child is read before seccomp is on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "api/requests.h"
#include "api/session.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/checks.h"
#include "config/config.h"
#include "devices/backend.h"
#include "devices/cache.h"
#include "plan/identity.h"
#include "plan/plan_message.h"
#include "resources/cpus.h"
#include "resources/memory.h"
#include "resources/signals.h"
#include "run/adopt.h"
#include "run/happen.h"
#include "run/held.h"
#include "run/instance.h"
#include "run/keeper.h"
#include "run/launcher.h"
#include "run/limits.h"
#include "run/opener.h"
#include "run/seal.h"
#include "run/service.h"
#include "run/steps.h"
#include "run/watch.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_broker.h"
#include "sandbox/gen/filter_holder.h"
#include "sandbox/ids.h"
#include "sandbox/namespaces.h"
#include "spawner/cgroups.h"
#include "spawner/uids.h"

_Static_assert((int)SANDBOX_READABLE_MAX == (int)PROGRAMS_FOLDERS,
               "the programs' folders are what it reads");

enum {
    FD_CLIENT = 3,
    FD_SPAWNER = 3,
    EXIT_USAGE = 2,
    MAX_CLIENT_FDS = 2 + RESOURCES_MAX_TAPS * 4,
    MAX_PASSED_FDS = CHANNEL_MAX_FDS
};

/* What the starter of a service's VM says of it. */
struct service_terms {
    bool is_service;
    uint32_t low, count; /* ranges of uids, for uids_claim_within() */
};

/* The first request, kept on our own heap: the channel's buffer is reused. */
struct request {
    Bulkhead__RunVm *run;       /* but for: */
    Bulkhead__VmConfig *config; /* until the instance has it */
    uint32_t id;
    int fds[MAX_PASSED_FDS];
    unsigned n_fds;
};

static void say_last(struct channel *client, uint32_t id, const struct fault *f)
{
    Bulkhead__Reply reply = fault_reply(f);
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);

    e.id = id;
    /* A client that left before it asked knows why. */
    if (channel_send_raw(client, &e.base, NULL, 0, true) < 0 && f->error != EPIPE)
        log_error("%s", f->text);
}

static Bulkhead__RunVm *copy_run(const Bulkhead__RunVm *from)
{
    size_t len = bulkhead__run_vm__get_packed_size(from);
    uint8_t *bytes = malloc(len + 1);
    Bulkhead__RunVm *copy = NULL;

    if (bytes)
        copy = bulkhead__run_vm__unpack(NULL, bulkhead__run_vm__pack(from, bytes), bytes);
    free(bytes);
    return copy;
}

static int check_request(const struct request *req, bool is_service, size_t n_fds, struct fault *f)
{
    if (is_service && (req->run->has_tty || req->run->plan_only))
        return fault_input(f, "a VM of the host's service has no terminal and is not only planned");
    if (!is_service && req->run->n_backends > 0)
        return fault_input(f, "this VM's broker opens its devices by itself");
    if (n_fds > (is_service ? (size_t)MAX_PASSED_FDS : (size_t)MAX_CLIENT_FDS) ||
        (req->run->has_tty && n_fds < 2))
        return fault_input(f, "%zu descriptors came with the request", n_fds);
    return 0;
}

static int receive_request(struct channel *client, struct request *req, bool is_service,
                           struct fault *f)
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
    req->run = copy_run(e->run_vm);
    if (!req->run)
        return fault_host(f, ENOMEM, "no memory for the configuration");
    req->config = req->run->config;
    req->run->config = NULL;
    r = check_request(req, is_service, n_fds, f);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n_fds; i++)
        req->fds[req->n_fds++] = fd_take(&fds[i]);
    return 0;
}

static void trace(struct instance *in, const char *what)
{
    in->vm.now = now_ns();
    vm_trace(&in->vm, "%s", what);
}

/* From the client's own first moment, so that its start and the broker's are part of the sum. */
static void start_trace(struct instance *in)
{
    const uint64_t from = in->config->trace_start_ns, broker = in->vm.created_ns;

    if (from == 0 || from > broker)
        return;
    in->vm.now = broker;
    in->vm.created_ns = from;
    vm_trace(&in->vm, "broker started");
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

static int check_file_limit(struct instance *in, struct fault *f)
{
    unsigned needed = plan_files(&in->plan);
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    in->max_files = (unsigned)MIN(limit.rlim_cur, (rlim_t)UINT32_MAX);
    if (limit.rlim_cur >= needed)
        return 0;
    return fault_input(f,
                       "this VM needs up to %u open files, and the limit is %llu: raise the hard "
                       "limit (ulimit -Hn, LimitNOFILE=), or give it fewer devices or queues",
                       needed, (unsigned long long)limit.rlim_cur);
}

static int check_config(const Bulkhead__VmConfig *config, struct fault *f)
{
    uint8_t bits[CPU_BITS_BYTES];
    ProtobufCBinaryData cpus = { .len = sizeof bits, .data = bits };
    struct validate_host host = { .memory_bytes = resources_host_memory() };

    if (config->cpus->n_affinity > 0 || config->limits->cpuset.len > 0) {
        if (resources_host_cpus(bits) < 0)
            return fault_host(f, EIO, "%s", err_text());
        host.cpus = &cpus;
    }
    return validate_config(config, &host, f);
}

static int prepare(struct instance *in, struct request *req, struct fault *f)
{
    char name[32];

    snprintf(name, sizeof name, "vm-%d", (int)getpid());
    if (config_fill(req->config, name) < 0)
        return fault_host(f, ENOMEM, "no memory for the configuration");
    if (check_config(req->config, f) < 0)
        return -EINVAL;
    if (host_check(req->config, &in->host, f) < 0)
        return -EPERM;
    instance_plan(in, req->config);
    req->config = NULL;
    if (resources_check_size("the guest's memory", in->config->memory->size, f) < 0)
        return -EINVAL;
    return check_file_limit(in, f);
}

static int send_plan(struct instance *in, struct channel *client, uint32_t id)
{
    Bulkhead__Plan plan = BULKHEAD__PLAN__INIT;
    CLIENT_ENVELOPE(e, PLAN, plan, &plan);
    struct fault f;
    int r;

    cache_look(in->config, &in->plan);
    plan.plan = plan_message(&in->plan, in->config, &in->host);
    if (!plan.plan)
        return EXIT_FAILURE;
    e.id = id;
    r = channel_send_raw(client, &e.base, NULL, 0, true);
    bulkhead__vm_plan__free_unpacked(plan.plan, NULL);
    if (r == -EMSGSIZE) {
        fault_input(&f, "the plan is longer than a message can be (%d bytes): use shorter paths",
                    CHANNEL_MAX_BYTES);
        say_last(client, id, &f);
        return EXIT_USAGE;
    }
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The terminal's mode is remembered before anybody makes it raw, to be put back if the client
 * can't. */
static void remember_tty(struct instance *in, const int *tty)
{
    if (tcgetattr(tty[0], &in->termios) < 0)
        return;
    in->tty_fd = fcntl(tty[0], F_DUPFD_CLOEXEC, 4);
    in->has_tty = in->tty_fd >= 0;
}

static int open_all(struct instance *in, struct request *req, struct fault *f)
{
    const int *tty = req->run->has_tty ? req->fds : NULL;
    unsigned skip = req->run->has_tty ? 2 : 0;
    int r;

    programs_open(&in->programs);
    if (tty)
        remember_tty(in, tty);
    if (programs_fd(&in->programs, BULKHEAD__ROLE__ROLE_CORE, f) < 0 ||
        programs_fd(&in->programs, BULKHEAD__ROLE__ROLE_LOADER, f) < 0)
        return -ENOENT;
    if (in->is_service)
        r = service_open(in, req->run->backends, req->run->n_backends, req->fds, req->n_fds, f);
    else
        r = instance_open(in, tty, req->fds + skip, req->n_fds - skip, f);
    if (r == 0 && held_watch_all(in) < 0)
        r = fault_host(f, ENOMEM, "%s", err_text());
    for (unsigned i = 0; i < req->n_fds; i++)
        fd_closep(&req->fds[i]);
    return r;
}

static int enter_sandbox(struct instance *in, struct fault *f)
{
    struct sandbox_broker rights = { .insecure = in->vm.insecure };
    unsigned missing = 0;

    memcpy(rights.readable, in->programs.folders, sizeof rights.readable);
    if (in->host.root)
        rights.uid = host_uid(&in->host, PLAN_UID_BROKER);
    if (sandbox_enter_broker(&sandbox_filter_broker, &rights, &missing) < 0)
        return fault_input(f, "the broker's sandbox: %s: see bulkhead doctor, or use --insecure",
                           err_text());
    in->sandboxed = true;
    return 0;
}

/* What the VM claims hangs on locks of these, and a broker that was taken over could hand a descriptor to a process
 * of another's, which lets go of them, or fill /run. The spawner keeps them open, and so the locks on them. */
static void leave_claims_to_spawner(struct instance *in, const struct spawner_terms *terms)
{
    fd_closep(&in->rundir.place.lock_fd);
    fd_closep(&in->rundir.place.dir_fd);
    fd_closep(&in->rundir.place.base_fd);
    fd_closep(&terms->uids->file_fd);
    fd_closep(&terms->uids->ns_fd);
    fd_closep(&terms->groups->vm_fd);
    fd_closep(&terms->groups->base_fd);
}

static int open_vm(struct instance *in, struct sessions *sessions, struct request *req,
                   const struct channel *client, const struct spawner_terms *terms, struct fault *f)
{
    int fd = fcntl(channel_fd(client), F_DUPFD_CLOEXEC, 4), r;

    if (fd < 0 || session_add(sessions, fd, true) < 0)
        return fault_host(f, EMFILE, "the client's session: %s", err_text());
    r = open_all(in, req, f);
    if (r < 0)
        return r;
    trace(in, "everything opened");
    if (session_listen(sessions) < 0 || watch_signals(in) < 0 || watch_begin(in) < 0)
        return fault_host(f, ENOMEM, "%s", err_text());
    r = keeper_begin(in, fd, terms->groups->kill_fd, f);
    steps_pass("kept", 0);
    if (r == 0)
        r = seal_spawner(in, f);
    steps_pass("sealed", 0);
    if (r < 0)
        return r;
    leave_claims_to_spawner(in, terms);
    r = enter_sandbox(in, f);
    steps_pass("sandboxed", 0);
    trace(in, "broker sandboxed");
    return r;
}

static int run(struct instance *in, struct sessions *sessions, struct request *req,
               struct channel *client, const struct spawner_terms *terms)
{
    const struct event boot = { .kind = EVENT_BOOT };
    struct fault f = { 0 };

    if (receive_request(client, req, in->is_service, &f) < 0 || prepare(in, req, &f) < 0)
        goto refuse;
    if (limits_set(terms->groups, in->config->limits, &f) < 0)
        goto refuse;
    in->host.limits = terms->groups->limits;
    if (req->run->plan_only)
        return send_plan(in, client, req->id);
    if (in->host.root && !terms->uids->claimed) {
        fault_host(&f, EAGAIN, "no uids for the VM's processes: %s", terms->uids->why_not);
        goto refuse;
    }
    start_trace(in);
    trace(in, "request checked");
    if (open_vm(in, sessions, req, client, terms, &f) < 0)
        goto refuse;
    happen(in, &boot);
    return loop_run(in->loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
refuse:
    say_last(client, req->id, &f);
    return f.bad_input ? EXIT_USAGE : EXIT_FAILURE;
}

/* ---- a successor ---- */

/* Who would say so is the spawner alone, which starts another one, or gives up. */
static int can_not_adopt(void)
{
    log_error("taking over from the broker that died: %s", err_text());
    return EXIT_FAILURE;
}

static int take_over(struct instance *in, struct sessions *sessions, struct adoption *adoption)
{
    int fd;

    if (adopt_hear_rest(in, adoption) < 0 || session_listen(sessions) < 0)
        return can_not_adopt();
    steps_pass("all heard", 0);
    fd = adopt_take_client(adoption);
    if (fd >= 0 && session_add(sessions, fd, true) < 0)
        return can_not_adopt();
    adopt_act(in, adoption);
    return loop_run(in->loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int adopt(void)
{
    static struct instance in; /* large; one per process */
    static struct sessions sessions;
    struct groups groups = { .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    struct spawner spawner = { .fd = FD_SPAWNER };
    struct adoption *adoption = NULL;
    struct loop *loop = NULL;
    struct fault f = { 0 };
    int status;

    fcntl(FD_SPAWNER, F_SETFD, FD_CLOEXEC);
    prctl(PR_SET_NAME, "bulkhead-broker"); /* it was executed by a descriptor, which has no name */
    signals_init();
    if (loop_new(&loop) < 0)
        return can_not_adopt();
    instance_init(&in, loop, &spawner);
    session_init(&sessions, &in, request_take);
    if (adopt_hear_sealed(&in, &adoption) < 0 || watch_signals(&in) < 0)
        return can_not_adopt();
    steps_pass("sealed heard", 0);
    if (enter_sandbox(&in, &f) < 0) {
        log_error("%s", f.text);
        return EXIT_FAILURE;
    }
    steps_pass("sandboxed", 0);
    status = take_over(&in, &sessions, adoption);
    groups.kill_fd = adopt_take_group_kill(adoption);
    if (status == EXIT_SUCCESS)
        spawner_leave(&spawner);
    steps_pass("left", 0);
    adopt_free(adoption);
    session_close_all(&sessions);
    keeper_deinit(&in);
    instance_deinit(&in);
    spawner_let_go(&spawner);
    if (status == EXIT_SUCCESS)
        groups_kill(&groups);
    loop_free(loop);
    return status;
}

/* ---- the first ---- */

static bool parse_number(const char *text, uint32_t *ret_number)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > UINT32_MAX)
        return false;
    *ret_number = (uint32_t)value;
    return true;
}

/* The numbers mean nothing to a broker without uids of its own, and are checked all the same. */
static bool parse_service(char **argv, struct service_terms *ret_service)
{
    uint32_t first, count;

    ret_service->is_service =
        strcmp(argv[1], "--service") == 0 && parse_number(argv[2], &first) &&
        parse_number(argv[3], &count) &&
        uids_find_ranges(first, count, &ret_service->low, &ret_service->count);
    return ret_service->is_service;
}

static bool is_launch(int argc, char **argv)
{
    return argc >= 2 && strcmp(argv[1], "--launch") == 0;
}

static int check_arguments(int argc, char **argv, struct service_terms *ret_service)
{
    bool known =
        argc == 1 ||
        (argc == 2 && (strcmp(argv[1], "--private") == 0 || strcmp(argv[1], "--adopt") == 0 ||
                       strcmp(argv[1], "--open") == 0)) ||
        (argc == 4 && parse_service(argv, ret_service)) || is_launch(argc, argv);

    if (known && fd_expect(FD_CLIENT, FD_TYPE_SEQPACKET, "the client's socket") == 0)
        return 0;
    log_error("bulkhead-broker is started by `bulkhead run`, or by bulkhead-hostd");
    return -EINVAL;
}

static int serve(struct spawner_terms *terms, bool is_service)
{
    static struct instance in; /* large; one per process */
    static struct sessions sessions;
    static struct request req;
    struct spawner spawner = { .fd = -1, .pid = -1 };
    struct channel *client = NULL;
    struct loop *loop = NULL;
    int userns_error = sandbox_try_userns();
    int status;

    terms->no_userns = userns_error < 0;
    terms->uid_base = terms->uids->claimed ? sandbox_uid(terms->uids->range, 0) : 0;
    if (spawner_start(&spawner, FD_CLIENT, terms) < 0 || loop_new(&loop) < 0 ||
        channel_new(&client, FD_CLIENT, CHANNEL_ARENA_CLIENT) < 0) {
        log_error("%s", err_text());
        return EXIT_FAILURE;
    }
    fd_closep(&terms->broker_pidfd);
    instance_init(&in, loop, &spawner);
    session_init(&sessions, &in, request_take);
    in.holders = &sandbox_filter_holder;
    in.is_service = is_service;
    host_look(userns_error, &in.host);
    in.host.cgroup = terms->groups->path;
    in.host.limits = terms->groups->limits;
    in.host.uid_range = terms->uids->range;
    status = run(&in, &sessions, &req, client, terms);
    spawner_leave(&spawner);
    steps_pass("left", 0);
    session_close_all(&sessions);
    steps_pass("closed", 0);
    keeper_deinit(&in);
    instance_deinit(&in);
    channel_free(client);
    if (in.sealed)
        spawner_let_go(&spawner); /* it waits for our end */
    else
        spawner_stop(&spawner);
    /* The spawner has removed what it made, sockets and the VM's directory too; a sandboxed broker can't. If
     * the spawner was killed, the next VM does. */
    if (in.sandboxed) {
        groups_kill(terms->groups);
    } else {
        groups_end(terms->groups);
        uids_release(terms->uids);
    }
    loop_free(loop);
    return status;
}

int main(int argc, char **argv)
{
    static struct groups groups;
    static struct uids uids;
    struct spawner_terms terms = { .groups = &groups, .uids = &uids };
    struct service_terms service = { 0 };

    log_init("bulkhead", LOG_LEVEL_INFO);
    log_never_wait();
    if (check_arguments(argc, argv, &service) < 0)
        return EXIT_USAGE;
    raise_file_limits(); /* before the spawner is forked: what it starts lowers its own */
    if (argc == 2 && strcmp(argv[1], "--open") == 0)
        return opener_main(FD_CLIENT, &sandbox_filter_holder);
    if (is_launch(argc, argv))
        return launcher_main(argv + 2, (unsigned)argc - 2, &sandbox_filter_holder);
    steps_open("BULKHEAD_BROKER_STEPS");
    if (argc == 2 && strcmp(argv[1], "--adopt") == 0)
        return adopt();
    fcntl(FD_CLIENT, F_SETFD, FD_CLOEXEC);
    signals_init();
    /* A session of its own: Ctrl-C in the user's terminal is the client's affair. */
    setsid();
    groups_make(&groups, getpid());
    uids_init(&uids);
    if (host_has_uids())
        uids_claim_within(&uids, UIDS_FILE, uids_random(), service.low, service.count);
    terms.broker_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (terms.broker_pidfd < 0) { /* the spawner is to see this process's end */
        log_error("a descriptor of this process: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    return serve(&terms, service.is_service);
}
