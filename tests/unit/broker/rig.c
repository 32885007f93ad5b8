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
    for (unsigned i = 0; i < rig->vm.n_devices; i++)
        if (rig->vm.devices[i].plan->role == role)
            return &rig->vm.devices[i];
    fail_msg("no such device");
    return NULL;
}

Bulkhead__Envelope__BodyCase rig_heard(struct rig *rig, struct child *child,
                                       struct message *ret_msg)
{
    struct message msg;
    int r;

    rig_spawn(rig);
    r = channel_receive(find(rig, child->id)->channel, false, &msg);
    if (r != 0)
        return B(_NOT_SET);
    if (ret_msg)
        *ret_msg = msg;
    return msg.envelope->body_case;
}

void rig_queue(struct rig *rig, struct child *child, const Bulkhead__Envelope *envelope)
{
    rig_spawn(rig);
    assert_int_equal(channel_send(find(rig, child->id)->channel, envelope, NULL, 0, false), 0);
}

void rig_say_fd(struct rig *rig, struct child *child, const Bulkhead__Envelope *envelope, int fd)
{
    rig_spawn(rig);
    assert_int_equal(
        channel_send(find(rig, child->id)->channel, envelope, &fd, fd >= 0 ? 1 : 0, false), 0);
    supervise_on_message(-1, LOOP_READ, child);
}

void rig_say(struct rig *rig, struct child *child, const Bulkhead__Envelope *envelope)
{
    rig_say_fd(rig, child, envelope, -1);
}

void rig_say_bare(struct rig *rig, struct child *child, Bulkhead__Envelope__BodyCase body)
{
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;
    Bulkhead__Activated activated = BULKHEAD__ACTIVATED__INIT;
    Bulkhead__Quiesced quiesced = BULKHEAD__QUIESCED__INIT;
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;

    e.body_case = body;
    if (body == B(ACTIVATED))
        e.activated = &activated;
    else if (body == B(QUIESCED))
        e.quiesced = &quiesced;
    else
        e.reset_done = &done;
    rig_say(rig, child, &e);
}

void rig_say_state(struct rig *rig, Bulkhead__GuestStateKind state)
{
    Bulkhead__GuestState guest = BULKHEAD__GUEST_STATE__INIT;
    ENVELOPE(e, GUEST_STATE, guest_state, &guest);

    guest.state = state;
    rig_say(rig, rig->vm.core, &e);
}

/* As the worker of that role does; config is all zeroes. */
static void fill_announce(const struct child *child, Bulkhead__Announce *announce,
                          uint8_t config[BALLOON_CONFIG_BYTES])
{
    announce->num_queues = child->device->plan->num_queues;
    announce->queue_size = child->device->plan->queue_size;
    announce->config.data = config;
    switch ((int)child->role) {
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

static void take_configure(struct rig *rig, struct child *child)
{
    struct message msg;

    assert_int_equal(rig_heard(rig, child, &msg), B(CONFIGURE));
    if (msg.envelope->configure->role_case != BULKHEAD__CONFIGURE__ROLE_CONSOLE)
        return;
    rig->console_escape = msg.envelope->configure->console->escape;
    rig->console_fds = (unsigned)msg.n_fds;
    fd_closep(&rig->console_last_fd);
    rig->console_last_fd = fd_take(&msg.fds[msg.n_fds - 1]);
}

void rig_configure(struct rig *rig, struct child *child)
{
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;
    ENVELOPE(greet, HELLO, hello, &hello);

    hello.protocol_min = PROTOCOL_MIN;
    hello.protocol_max = PROTOCOL_MAX;
    hello.role = child->role;
    rig_say(rig, child, &greet);
    take_configure(rig, child);
}

void rig_say_ready(struct rig *rig, struct child *child)
{
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    uint8_t config[BALLOON_CONFIG_BYTES] = { 0 };
    ENVELOPE(e, READY, ready, &ready);

    if (child->device && child->device->plan->num_queues > 0) {
        fill_announce(child, &announce, config);
        ready.announce = &announce;
    }
    rig_say(rig, child, &e);
}

void rig_make_ready(struct rig *rig, struct child *child)
{
    rig_configure(rig, child);
    rig_say_ready(rig, child);
}

void rig_exit(struct rig *rig, struct child *child)
{
    struct rig_child *c;

    rig_spawn(rig);
    c = find(rig, child->id);
    channel_freep(&c->channel);
    c->id = 0;
    supervise_on_exit(child, CLD_KILLED, SIGKILL);
    rig_spawn(rig);
}

static void load(struct rig *rig)
{
    Bulkhead__EntryState entry = BULKHEAD__ENTRY_STATE__INIT;
    Bulkhead__Loaded loaded = BULKHEAD__LOADED__INIT;
    ENVELOPE(e, LOADED, loaded, &loaded);
    struct child *loader = rig->vm.loader;

    rig_make_ready(rig, loader);
    entry.kind = BULKHEAD__ENTRY_KIND__ENTRY_LINUX64;
    loaded.entry = &entry;
    rig_say(rig, loader, &e);
    channel_freep(&find(rig, loader->id)->channel);
    find(rig, loader->id)->id = 0;
    supervise_on_exit(loader, CLD_EXITED, 0);
}

/* What vm_open() would open: nothing here is ever executed or read. */
static void open_nothing(struct vm *vm)
{
    vm->kvm_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    vm->kernel_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    programs_open(&vm->programs);
    for (unsigned i = 0; i < PROGRAMS_MAX; i++) {
        fd_closep(&vm->programs.fds[i]);
        vm->programs.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
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

/* From vm_boot() on, and again after a reboot. */
static void run(struct rig *rig)
{
    struct vm *vm = &rig->vm;

    rig_make_ready(rig, vm->core);
    for (unsigned i = 0; i < vm->n_devices; i++)
        rig_make_ready(rig, vm->devices[i].worker);
    load(rig);
    assert_int_equal(vm->phase, VM_RUNNING);
    while (rig_heard(rig, vm->core, NULL) != B(_NOT_SET))
        ;
    rig_say_state(rig, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
}

static void boot(struct rig *rig, Bulkhead__VmConfig *config, const int *tty)
{
    struct vm *vm = &rig->vm;
    struct fault f = { 0 };
    int pair[2];

    memset(rig, 0, sizeof *rig);
    rig->console_last_fd = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    rig->spawner = (struct spawner){ .fd = pair[0], .pid = -1 };
    rig->requests = pair[1];
    assert_int_equal(loop_new(&rig->loop), 0);
    vm_init(vm, rig->loop, &rig->spawner);
    vm->insecure = true;
    vm->config = config;
    plan_make(vm->config, &vm->plan);
    open_nothing(vm);
    assert_int_equal(vm_open_devices(vm, tty, NULL, 0, &f), 0);
    assert_int_equal(vm_boot(vm, &f), 0);
    run(rig);
}

void rig_reboot(struct rig *rig)
{
    struct vm *vm = &rig->vm;

    rig_say_state(rig, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    while (vm->phase == VM_ENDING)
        rig_exit(rig,
                 vm->children[0] == vm->core ? vm->children[vm->n_children - 1] : vm->children[0]);
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
    struct vm *vm = &rig->vm;

    while (vm->n_children > 0)
        child_free(vm->children[0]);
    if (vm->tick)
        loop_event_free(vm->tick);
    if (vm->start_timer)
        loop_event_free(vm->start_timer);
    if (vm->stop_timer)
        loop_event_free(vm->stop_timer);
    vm_deinit(vm);
    for (unsigned i = 0; i < ARRAY_SIZE(rig->children); i++)
        channel_freep(&rig->children[i].channel);
    fd_closep(&rig->console_last_fd);
    loop_free(rig->loop);
    close(rig->spawner.fd);
    close(rig->requests);
}
