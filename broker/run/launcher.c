/* SPDX-License-Identifier: Apache-2.0 */
/* launcher.c - see launcher.h. */
#include "run/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/envelope.h"
#include "config/allowed.h"
#include "config/checks.h"
#include "config/config.h"
#include "devices/handed.h"
#include "ipc/channel.h"
#include "plan/plan.h"
#include "resources/holder.h"
#include "resources/open.h"
#include "resources/trees.h"
#include "run/backends.h"
#include "run/one_device.h"
#include "run/vouched.h"

enum { IMAGES = 3 }; /* KVM, kernel, initramfs */

struct launch {
    const struct sandbox_filter *holders;
    struct trees trees;
    struct allowed allowed;
    struct channel *service, *broker;
    uint32_t id; /* of the request */
    Bulkhead__VmConfig *config;
    Bulkhead__VmConfig
        *device;         /* as it was asked for, of a VM that runs; NULL: all of it is started */
    Bulkhead__Role role; /* of that */
    bool console_is_services; /* the serial port's */
    struct plan plan;
    int images[IMAGES];
    struct backend backends[PLAN_MAX_DEVICES];
};

/* ---- what is to be started ---- */

/* The guest's console is the service's, which keeps what is written there, and lets others attach. */
static int set_serial(struct launch *l, struct fault *f)
{
    Bulkhead__ConsoleConfig *serial = l->config->serial;

    if (serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF &&
        serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_TTY)
        return 0;
    l->console_is_services = true;
    if ((const char *)serial->path != protobuf_c_empty_string)
        free(serial->path);
    serial->path = strdup("the service's console");
    serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
    return serial->path ? 0 : fault_host(f, ENOMEM, "no memory for the configuration");
}

static int vouched_fd(const struct launch *l)
{
    return LAUNCHER_FD_TREES + (int)l->trees.n;
}

static int take_config(struct launch *l, const Bulkhead__VmConfig *config, struct fault *f)
{
    const struct validate_host host = { 0 };

    l->config = config_copy(config);
    if (!l->config || config_fill(l->config, "vm") < 0)
        return fault_host(f, ENOMEM, "no memory for the configuration");
    if (allowed_check(l->config, &l->allowed, f) < 0 ||
        (l->allowed.vouched && vouched_check(vouched_fd(l), l->config, f) < 0))
        return -f->error;
    if (set_serial(l, f) < 0 || validate_config(l->config, &host, f) < 0)
        return -EINVAL;
    plan_make(l->config, &l->plan);
    return 0;
}

/* Of a VM that runs: one device more. */
static int take_device(struct launch *l, const Bulkhead__VmConfig *device, struct fault *f)
{
    const Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__Role role = BULKHEAD__ROLE__ROLE_NONE;
    int r;

    l->device = config_copy(device);
    l->config = config_copy(&empty);
    if (!l->device || !l->config)
        return fault_host(f, ENOMEM, "no memory for the configuration");
    r = one_device_take(l->config, device, &role, f);
    if (r == 0)
        r = allowed_check(l->config, &l->allowed, f);
    if (r == 0 && l->allowed.vouched) /* nobody has said for it what it may ask for */
        r = fault_input(f, "a VM with the service's own rights is given no device by it");
    if (r == 0 && role != BULKHEAD__ROLE__ROLE_BLK && role != BULKHEAD__ROLE__ROLE_NET)
        r = fault_input(f, "only a disk or a network is given to a VM that runs");
    l->role = role;
    return r;
}

static int receive(struct launch *l, struct fault *f)
{
    const Bulkhead__ClientEnvelope *e;
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;
    int r = channel_receive_raw(l->service, true, &bulkhead__client_envelope__descriptor, &msg,
                                &fds, &n_fds);

    if (r != 0)
        return fault_host(f, EPIPE, "the service left without a request");
    e = (const Bulkhead__ClientEnvelope *)msg;
    l->id = e->id;
    if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE && e->add_device->device)
        return take_device(l, e->add_device->device, f);
    if (e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_RUN_VM || !e->run_vm->config)
        return fault_input(f, "the request must be RunVm with a configuration");
    if (e->run_vm->has_tty || e->run_vm->plan_only || e->run_vm->n_backends > 0)
        return fault_input(f, "the request must be a configuration alone");
    if (n_fds > 0)
        return fault_input(f, "the request must be a configuration alone");
    return take_config(l, e->run_vm->config, f);
}

/* ---- what it needs ---- */

static int open_images(struct launch *l, struct fault *f)
{
    int r = resources_kvm(&l->images[0], f);

    if (r == 0)
        r = resources_kernel(&l->trees, "the kernel", l->config->kernel, &l->images[1], f);
    if (r == 0 && l->config->initramfs[0] != '\0')
        r = resources_kernel(&l->trees, "the initramfs", l->config->initramfs, &l->images[2], f);
    return r;
}

static int use_console(struct backend *b, struct fault *f)
{
    b->own[0] = fcntl(LAUNCHER_FD_CONSOLE, F_DUPFD_CLOEXEC, LAUNCHER_FD_TREES);
    if (b->own[0] < 0)
        return fault_host(f, errno, "the service's console: %s", strerror(errno));
    b->n_own = 1;
    return 0;
}

/* Its file is to go with the device, whoever is killed. */
static int keep_socket(const struct launch *l, const struct plan_device *d, struct backend *b,
                       struct fault *f)
{
    int r =
        holder_start(l->holders, &b->socket, 0, d->role == BULKHEAD__ROLE__ROLE_VSOCK, &b->held[0]);

    if (r < 0)
        return fault_host(f, -r, "%s: the process that keeps its socket can't be started", d->name);
    b->holder = true;
    return 0;
}

static int open_device(struct launch *l, unsigned number, struct fault *f)
{
    const struct plan_device *d = &l->plan.devices[number];
    struct backend *b = &l->backends[number];
    int r;

    if (!handed_is_needed(l->config, d))
        return 0;
    if (d->role == BULKHEAD__ROLE__ROLE_CONSOLE && d->pci_slot == 0 && l->console_is_services)
        return use_console(b, f);
    r = backends_open(&l->trees, l->config, d, NULL, 0, b, f);
    return r == 0 && b->socket.dir_fd >= 0 ? keep_socket(l, d, b, f) : r;
}

static int open_all(struct launch *l, struct fault *f)
{
    int r = open_images(l, f);

    for (unsigned i = 0; r == 0 && i < l->plan.n_devices; i++)
        r = open_device(l, i, f);
    return r;
}

/* The broker has copies. Sockets' files are kept by others by now, or are removed here. */
static void close_all(struct launch *l)
{
    for (unsigned i = 0; i < IMAGES; i++)
        fd_closep(&l->images[i]);
    for (unsigned i = 0; i < PLAN_MAX_DEVICES; i++) {
        l->backends[i].made_tap[0] = '\0'; /* it stays as long as the VM has it */
        backend_deinit(&l->backends[i]);
    }
}

static int open_one(struct launch *l, struct fault *f)
{
    const struct plan_device d = { .role = l->role, .pci_slot = 1 }; /* any but the serial port's */

    return backends_open(&l->trees, l->config, &d, NULL, 0, &l->backends[0], f);
}

/* ---- the broker ---- */

static int append(int fds[CHANNEL_MAX_FDS], size_t *n, const int *more, size_t n_more)
{
    if (n_more > CHANNEL_MAX_FDS - *n)
        return -EMSGSIZE;
    memcpy(fds + *n, more, n_more * sizeof *more);
    *n += n_more;
    return 0;
}

static int hand_over(struct launch *l, struct fault *f)
{
    Bulkhead__RunVm run = BULKHEAD__RUN_VM__INIT;
    Bulkhead__Backend messages[PLAN_MAX_DEVICES], *list[PLAN_MAX_DEVICES];
    CLIENT_ENVELOPE(e, RUN_VM, run_vm, &run);
    int fds[CHANNEL_MAX_FDS], own[HANDED_MAX_FDS];
    size_t n = 0;
    int r = append(fds, &n, l->images, l->images[2] >= 0 ? 3 : 2);

    run.config = l->config;
    run.backends = list;
    for (unsigned i = 0; r == 0 && i < l->plan.n_devices; i++) {
        if (!handed_is_needed(l->config, &l->plan.devices[i]))
            continue;
        list[run.n_backends] = &messages[run.n_backends];
        r = append(fds, &n, own, handed_give(&l->backends[i], &messages[run.n_backends++], own));
    }
    if (r < 0)
        return fault_input(f,
                           "the VM's devices need more than %d descriptors, which is all that can "
                           "be handed over: use fewer of them, or of their queues",
                           CHANNEL_MAX_FDS);
    r = channel_send_raw(l->broker, &e.base, fds, n, true);
    if (r == -EMSGSIZE)
        return fault_input(f, "the VM's configuration is too long: use shorter paths");
    return r < 0 ? fault_host(f, EPIPE, "the VM's broker is gone: start it again") : 0;
}

/* First of all: the broker knows how many devices the VM has, and who asked for this one may have been taken over. */
static int limit_session(struct launch *l)
{
    Bulkhead__LimitSession limit = BULKHEAD__LIMIT_SESSION__INIT;
    CLIENT_ENVELOPE(e, LIMIT_SESSION, limit_session, &limit);

    limit.no_programs = true;
    limit.max_devices = l->allowed.devices;
    limit.no_user_net = !l->allowed.user_net && !l->allowed.host;
    return channel_send_raw(l->broker, &e.base, NULL, 0, true);
}

static int hand_one_over(struct launch *l, struct fault *f)
{
    Bulkhead__AddDevice add = BULKHEAD__ADD_DEVICE__INIT;
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &add);
    int fds[HANDED_MAX_FDS], flags = fcntl(LAUNCHER_FD_BROKER, F_GETFL);
    Bulkhead__Backend backend;
    size_t n = handed_give(&l->backends[0], &backend, fds);

    add.device = l->device;
    add.backend = &backend;
    /* The starter, which connected it, waits for nobody; this process waits for nobody else. */
    if (flags < 0 || fcntl(LAUNCHER_FD_BROKER, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        limit_session(l) < 0 || channel_send_raw(l->broker, &e.base, fds, n, true) < 0)
        return fault_host(f, EPIPE, "the VM's broker is gone: try again");
    return 0;
}

/* A broker that was told to start the guest may die before it has said so: the next one says that it has adopted it. */
static bool has_booted(const Bulkhead__ClientEnvelope *e)
{
    return e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT &&
           strcmp(e->event->source, "vm") == 0 &&
           (strcmp(e->event->event, "booted") == 0 || strcmp(e->event->event, "adopted") == 0);
}

static int relay_refusal(const Bulkhead__Reply *reply, struct fault *f)
{
    f->error = reply->error;
    f->bad_input = reply->bad_input;
    snprintf(f->text, sizeof f->text, "%s", reply->text);
    return -EIO;
}

static int receive_of_broker(struct launch *l, const Bulkhead__ClientEnvelope **ret_envelope)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;
    int r = channel_receive_raw(l->broker, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                                &n_fds);

    *ret_envelope = (const Bulkhead__ClientEnvelope *)msg;
    return r == 0 ? 0 : -EPIPE;
}

/* -EPIPE: the service is gone. */
static int pass_on(struct launch *l, const Bulkhead__ClientEnvelope *e)
{
    return channel_send_raw(l->service, &e->base, NULL, 0, true) < 0 ? -EPIPE : 0;
}

/* Until the guest runs, or it is clear that it will not. A service that is gone meanwhile changes nothing. */
static int await_boot(struct launch *l, struct fault *f)
{
    for (;;) {
        const Bulkhead__ClientEnvelope *e;

        if (receive_of_broker(l, &e) < 0)
            return fault_host(f, EPIPE, "the VM's broker ended unexpectedly");
        if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY && e->reply->error != 0)
            return relay_refusal(e->reply, f);
        if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED)
            return fault_host(f, ECANCELED, "the VM was stopped while it started");
        (void)!pass_on(l, e);
        if (has_booted(e))
            return 0;
    }
}

static int await_reply(struct launch *l, struct fault *f)
{
    const Bulkhead__ClientEnvelope *e;

    do
        if (receive_of_broker(l, &e) < 0)
            return fault_host(f, EPIPE, "the VM's broker ended unexpectedly");
    while (e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY);
    return e->reply->error != 0 ? relay_refusal(e->reply, f) : 0;
}

/* What the broker says goes to the service until that has a session of its own, and closes this: so it misses nothing,
 * the VM's end above all. */
static void follow(struct launch *l)
{
    struct pollfd p[] = { { .fd = channel_fd(l->service), .events = POLLIN },
                          { .fd = channel_fd(l->broker), .events = POLLIN } };
    const Bulkhead__ClientEnvelope *e;

    for (;;) {
        if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
            return;
        if (p[0].revents)
            return;
        if (p[1].revents && (receive_of_broker(l, &e) < 0 || pass_on(l, e) < 0))
            return;
    }
}

static void answer(struct launch *l, const struct fault *f)
{
    Bulkhead__Reply reply = fault_reply(f);
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);

    e.id = l->id;
    (void)!pass_on(l,
                   &e); /* a service that is gone meanwhile: the next one finds the VM by itself */
}

static int give(struct launch *l, struct fault *f)
{
    int r = open_one(l, f);

    if (r == 0)
        r = hand_one_over(l, f);
    close_all(l);
    return r == 0 ? await_reply(l, f) : r;
}

static int launch(struct launch *l)
{
    struct fault f = { 0 };
    int r = receive(l, &f);

    if (l->device) {
        r = r == 0 ? give(l, &f) : r;
        if (r < 0 && f.error == 0)
            f.error = -r;
        answer(l, &f);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (r == 0)
        r = fd_expect(LAUNCHER_FD_CONSOLE, FD_TYPE_STREAM, "the console's socket") < 0
                ? fault_host(&f, EBADF, "%s", err_text())
                : 0;
    if (r == 0)
        r = open_all(l, &f);
    if (r == 0)
        r = hand_over(l, &f);
    close_all(l);
    if (r == 0)
        r = await_boot(l, &f);
    if (r < 0 && f.error == 0)
        f.error = -r;
    answer(l, &f);
    if (r == 0)
        follow(l);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Nobody gains anything by an exec here: which the starter can't see to, as a kernel before Linux 6.16 would then have the real
 * uid take the effective one's place. The tenant's processes have its uid, and are not to look into this one, or change what it says to the broker. Until here
 * another real uid, which the starter has given it, keeps them off; without one there is a moment after the start. */
static int keep_off(void)
{
    const uid_t uid = geteuid();
    const gid_t gid = getegid();

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_origin(-errno, "no_new_privs");
    if (prctl(PR_SET_DUMPABLE, 0) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        return err_origin(-errno, "the tenant's uid");
    return 0;
}

static int expect_descriptors(const struct launch *l)
{
    int r = fd_expect(LAUNCHER_FD_SERVICE, FD_TYPE_SEQPACKET, "the service's socket");

    if (r == 0)
        r = fd_expect(LAUNCHER_FD_BROKER, FD_TYPE_SEQPACKET, "the broker's socket");
    if (r == 0 && l->allowed.vouched && fcntl(vouched_fd(l), F_SETFD, FD_CLOEXEC) < 0)
        r = err_origin(-errno, "the folder of what is kept");
    return r < 0 ? r : trees_check(&l->trees);
}

int launcher_main(char **args, unsigned n_args, const struct sandbox_filter *holders)
{
    static struct launch l = { .images = { -1, -1, -1 } }; /* large; one per process */
    int fds[LAUNCHER_MAX_TREES], status;
    unsigned n_words = (unsigned)allowed_read(&l.allowed, args, n_args), n_trees = n_args - n_words;

    if (n_trees > LAUNCHER_MAX_TREES) {
        log_error("bulkhead-broker --launch: %u trees, at most %d", n_trees, LAUNCHER_MAX_TREES);
        return EXIT_FAILURE;
    }
    for (unsigned i = 0; i < n_trees; i++)
        fds[i] = LAUNCHER_FD_TREES + (int)i;
    l.trees = (struct trees){ .n = n_trees, .paths = args + n_words, .fds = fds };
    setsid();
    l.holders = holders;
    for (unsigned i = 0; i < PLAN_MAX_DEVICES; i++)
        backend_init(&l.backends[i]);
    if (keep_off() < 0 || expect_descriptors(&l) < 0 ||
        channel_new(&l.service, LAUNCHER_FD_SERVICE, CHANNEL_ARENA_CLIENT) < 0 ||
        channel_new(&l.broker, LAUNCHER_FD_BROKER, CHANNEL_ARENA_CLIENT) < 0) {
        log_error("bulkhead-broker --launch is started by bulkhead-hostd: %s", err_text());
        return EXIT_FAILURE;
    }
    status = launch(&l);
    channel_free(l.broker);
    channel_free(l.service);
    config_free(l.config);
    config_free(l.device);
    return status;
}
