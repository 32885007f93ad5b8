/* SPDX-License-Identifier: Apache-2.0 */
/* rig.c - see rig.h. */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "config/config.h"
#include "run/happen.h"
#include "run/watch.h"

#define B(name) BULKHEAD__ENVELOPE__BODY_##name

enum {
    NET_ID = 1,
    RNG_ID = 4,
    BALLOON_ID = 5,
    NET_CONFIG_BYTES = 12,
    NET_STATUS_OFFSET = 6,
    BALLOON_CONFIG_BYTES = 16
};

static struct rig_child *find(struct rig *rig, uint32_t id)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rig->children); i++)
        if (rig->children[i].id == id)
            return &rig->children[i];
    fail_msg("the spawner knows no child %u", id);
    return NULL;
}

/* Of a start's descriptors only what becomes the child's descriptor 3 is kept. */
static bool take_request(struct rig *rig)
{
    struct spawner_request request;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = &request, .iov_len = sizeof request };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    int fds[4] = { -1, -1, -1, -1 };

    if (recvmsg(rig->requests, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof request)
        return false;
    if (request.kind == SPAWNER_KILL)
        find(rig, request.id)->n_kills++;
    if (request.kind != SPAWNER_START)
        return true;
    /* The fourth is an upgrade's program. */
    assert_true(control.header.cmsg_len == CMSG_LEN(3 * sizeof(int)) ||
                control.header.cmsg_len == CMSG_LEN(4 * sizeof(int)));
    memcpy(fds, CMSG_DATA(&control.header), control.header.cmsg_len - CMSG_LEN(0));
    close(fds[0]);
    close(fds[2]);
    fd_closep(&fds[3]);
    for (unsigned i = 0; i < ARRAY_SIZE(rig->children); i++)
        if (rig->children[i].id == 0) {
            rig->children[i].id = request.id;
            assert_int_equal(channel_new(&rig->children[i].channel, fds[1], CHANNEL_ARENA_BROKER),
                             0);
            return true;
        }
    fail_msg("too many children");
    return false;
}

void rig_spawn(struct rig *rig)
{
    while (take_request(rig))
        ;
}

struct device *rig_device(struct rig *rig, Bulkhead__Role role)
{
    for (unsigned i = 0; i < rig->in.vm.n_devices; i++)
        if (rig->in.vm.devices[i].plan->role == role)
            return &rig->in.vm.devices[i];
    fail_msg("no such device");
    return NULL;
}

struct child *rig_worker(struct rig *rig, Bulkhead__Role role)
{
    return vm_worker(&rig->in.vm, rig_device(rig, role));
}

Bulkhead__Envelope__BodyCase rig_heard(struct rig *rig, uint32_t child, struct message *ret_msg)
{
    struct message msg;
    int r;

    rig_spawn(rig);
    r = channel_receive(find(rig, child)->channel, false, &msg);
    if (r != 0)
        return B(_NOT_SET);
    if (ret_msg)
        *ret_msg = msg;
    return msg.envelope->body_case;
}

void rig_queue(struct rig *rig, uint32_t child, const Bulkhead__Envelope *envelope)
{
    rig_spawn(rig);
    assert_int_equal(channel_send(find(rig, child)->channel, envelope, NULL, 0, false), 0);
}

void rig_say_fd(struct rig *rig, uint32_t child, const Bulkhead__Envelope *envelope, int fd)
{
    rig_spawn(rig);
    assert_int_equal(channel_send(find(rig, child)->channel, envelope, &fd, fd >= 0 ? 1 : 0, false),
                     0);
    watch_on_message(-1, LOOP_READ, instance_port(&rig->in, child));
}

void rig_say(struct rig *rig, uint32_t child, const Bulkhead__Envelope *envelope)
{
    rig_say_fd(rig, child, envelope, -1);
}

static void say_state(struct rig *rig, Bulkhead__GuestStateKind state)
{
    Bulkhead__GuestState guest = BULKHEAD__GUEST_STATE__INIT;
    ENVELOPE(e, GUEST_STATE, guest_state, &guest);

    guest.state = state;
    rig_say(rig, rig->in.vm.core, &e);
}

/* As the worker of that role does; config is all zeroes. */
static void fill_announce(const struct device *d, Bulkhead__Announce *announce,
                          uint8_t config[BALLOON_CONFIG_BYTES])
{
    announce->num_queues = d->plan->num_queues;
    announce->queue_size = d->plan->queue_size;
    announce->config.data = config;
    switch ((int)d->plan->role) {
    case BULKHEAD__ROLE__ROLE_BALLOON:
        announce->virtio_id = BALLOON_ID;
        announce->config.len = BALLOON_CONFIG_BYTES;
        break;
    case BULKHEAD__ROLE__ROLE_NET:
        announce->virtio_id = NET_ID;
        announce->config.len = NET_CONFIG_BYTES;
        config[NET_STATUS_OFFSET] = 1; /* the link is up */
        break;
    default:
        announce->virtio_id = RNG_ID;
        break;
    }
}

static void take_configure(struct rig *rig, uint32_t child)
{
    struct message msg;

    assert_int_equal(rig_heard(rig, child, &msg), B(CONFIGURE));
    if (vm_child(&rig->in.vm, child)->device != CHILD_NO_DEVICE)
        rig->restarted = msg.envelope->configure->restarted;
    if (msg.envelope->configure->role_case != BULKHEAD__CONFIGURE__ROLE_CONSOLE)
        return;
    rig->console_escape = msg.envelope->configure->console->escape;
    rig->console_fds = (unsigned)msg.n_fds;
    fd_closep(&rig->console_last_fd);
    rig->console_last_fd = fd_take(&msg.fds[msg.n_fds - 1]);
}

void rig_make_ready(struct rig *rig, uint32_t id)
{
    const struct child *child = vm_child(&rig->in.vm, id);
    const struct device *d =
        child->device == CHILD_NO_DEVICE ? NULL : &rig->in.vm.devices[child->device];
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    uint8_t config[BALLOON_CONFIG_BYTES] = { 0 };
    ENVELOPE(greet, HELLO, hello, &hello);
    ENVELOPE(e, READY, ready, &ready);

    hello.protocol_min = PROTOCOL_MIN;
    hello.protocol_max = PROTOCOL_MAX;
    hello.role = child->role;
    rig_say(rig, id, &greet);
    take_configure(rig, id);
    if (d && d->plan->num_queues > 0) {
        fill_announce(d, &announce, config);
        ready.announce = &announce;
    }
    rig_say(rig, id, &e);
}

void rig_exit(struct rig *rig, uint32_t child)
{
    struct rig_child *c;

    rig_spawn(rig);
    c = find(rig, child);
    channel_freep(&c->channel);
    c->id = 0;
    watch_exited(&rig->in, instance_port(&rig->in, child), CLD_KILLED, SIGKILL, false);
    rig_spawn(rig);
}

static void load(struct rig *rig)
{
    Bulkhead__EntryState entry = BULKHEAD__ENTRY_STATE__INIT;
    Bulkhead__Loaded loaded = BULKHEAD__LOADED__INIT;
    ENVELOPE(e, LOADED, loaded, &loaded);
    uint32_t loader = rig->in.vm.loader;

    rig_make_ready(rig, loader);
    entry.kind = BULKHEAD__ENTRY_KIND__ENTRY_LINUX64;
    loaded.entry = &entry;
    rig_say(rig, loader, &e);
    channel_freep(&find(rig, loader)->channel);
    find(rig, loader)->id = 0;
    watch_exited(&rig->in, instance_port(&rig->in, loader), CLD_EXITED, 0, false);
}

/* What instance_open() would open: nothing here is ever executed or read. */
static void open_nothing(struct instance *in)
{
    in->kvm_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    in->kernel_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    programs_open(&in->programs);
    for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
        fd_closep(&in->programs.fds[i]);
        in->programs.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

static Bulkhead__VmConfig *two_devices(uint32_t crash_limit, bool tap)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);

    assert_non_null(c);
    if (tap)
        fixture_add_net(c, "tap");
    assert_int_equal(config_fill(c, "rig"), 0);
    c->memory->size = 4 << 20;
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    c->rng->enabled = true;
    c->balloon->enabled = true;
    c->crash_limit = crash_limit;
    c->crash_window_s = 3600;
    return c;
}

/* From the start on, and again after a reboot. */
static void run(struct rig *rig)
{
    struct vm *vm = &rig->in.vm;

    rig_make_ready(rig, vm->core);
    for (unsigned i = 0; i < vm->n_devices; i++)
        rig_make_ready(rig, vm->devices[i].worker);
    load(rig);
    assert_int_equal(vm->phase, VM_RUNNING);
    while (rig_heard(rig, vm->core, NULL) != B(_NOT_SET))
        ;
    say_state(rig, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
}

static void boot(struct rig *rig, Bulkhead__VmConfig *config, const int *tty)
{
    const struct event begin = { .kind = EVENT_BOOT };
    struct instance *in = &rig->in;
    struct fault f = { 0 };
    int pair[2];

    memset(rig, 0, sizeof *rig);
    rig->console_last_fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    rig->spawner = (struct spawner){ .fd = pair[0], .pid = -1 };
    rig->requests = pair[1];
    assert_int_equal(loop_new(&rig->loop), 0);
    instance_init(in, rig->loop, &rig->spawner);
    instance_plan(in, config);
    in->vm.insecure = true;
    open_nothing(in);
    assert_int_equal(instance_open_devices(in, tty, NULL, 0, &f), 0);
    assert_int_equal(watch_begin(in), 0);
    happen(in, &begin);
    run(rig);
}

void rig_reboot(struct rig *rig)
{
    struct vm *vm = &rig->in.vm;

    say_state(rig, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (vm->children[i].id != 0 && vm->children[i].id != vm->core)
            rig_exit(rig, vm->children[i].id);
    rig_exit(rig, vm->core);
    run(rig);
}

void rig_run(struct rig *rig, uint32_t crash_limit)
{
    boot(rig, two_devices(crash_limit, false), NULL);
}

void rig_run_with_tap(struct rig *rig)
{
    boot(rig, two_devices(5, true), NULL);
}

void rig_run_console(struct rig *rig, uint32_t crash_limit, const char *socket, const int *tty)
{
    Bulkhead__VmConfig *config = two_devices(crash_limit, false);

    if (tty)
        config->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_TTY;
    if (socket) {
        config->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
        fixture_text(&config->serial->path, socket);
    }
    boot(rig, config, tty);
}

void rig_end(struct rig *rig)
{
    instance_deinit(&rig->in);
    for (unsigned i = 0; i < ARRAY_SIZE(rig->children); i++)
        channel_freep(&rig->children[i].channel);
    fd_closep(&rig->console_last_fd);
    loop_free(rig->loop);
    fd_closep(&rig->spawner.fd);
    fd_closep(&rig->requests);
}
