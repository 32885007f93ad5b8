/* SPDX-License-Identifier: Apache-2.0 */
/* process_rig.c - starts bulkhead-core in its sandbox and speaks the broker's side with it. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "process_rig.h"
#include "sandbox/ids.h"
#include "sandbox/spawn.h"

void emit(struct code *c, const void *bytes, size_t n)
{
    memcpy(c->at, bytes, n);
    c->at += n;
}

void emit_imm(struct code *c, uint8_t op, uint32_t imm)
{
    emit(c, &op, 1);
    emit(c, &imm, sizeof imm);
}

void emit_out(struct code *c, uint16_t port, unsigned size, uint32_t value)
{
    emit_imm(c, 0xba, port);  /* mov edx, port */
    emit_imm(c, 0xb8, value); /* mov eax, value */
    emit(c, size == 1 ? "\xee" : "\xef", 1);
}

void emit_mmio8(struct code *c, uint32_t addr, uint8_t value)
{
    emit_imm(c, 0xb8, value);
    emit_imm(c, 0xa2, addr); /* mov [addr], al */
}

void emit_mmio32(struct code *c, uint32_t addr, uint32_t value)
{
    emit_imm(c, 0xb8, value);
    emit_imm(c, 0xa3, addr); /* mov [addr], eax */
}

void emit_in(struct code *c, uint16_t port, uint32_t to)
{
    emit_imm(c, 0xba, port);
    emit(c, "\xed", 1);
    emit_imm(c, 0xa3, to);
}

void emit_wait_port_set(struct code *c, uint16_t port)
{
    emit_imm(c, 0xba, port);
    emit(c, "\xed\x85\xc0\x74\xfb", 5); /* in eax, dx; test eax, eax; jz back */
}

void emit_wait_mmio8_zero(struct code *c, uint32_t addr)
{
    emit_imm(c, 0xa0, addr);        /* mov al, [addr] */
    emit(c, "\x84\xc0\x75\xf7", 4); /* test al, al; jnz back */
}

void emit_wait_ram8_set(struct code *c, uint32_t addr)
{
    emit_imm(c, 0xa0, addr);
    emit(c, "\x84\xc0\x74\xf7", 4); /* test al, al; jz back */
}

void emit_power_off(struct code *c)
{
    emit_out(c, LAYOUT_PIO_SLEEP_CONTROL, 1, LAYOUT_SLP_TYP_S5 << 2 | 1 << 5);
}

void emit_count_for_ever(struct code *c)
{
    uint32_t addr = COUNTER;

    emit(c, "\xff\x05", 2); /* inc dword [COUNTER] */
    emit(c, &addr, sizeof addr);
    emit(c, "\xeb\xf8", 2);
}

static void start_process(struct process *p)
{
    char *argv[] = { (char[]){ "bulkhead-core" }, NULL };
    const char *bin = getenv("BULKHEAD_BIN");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), pair[2], fds[4];
    struct sandbox_spawn spawn = {
        .program_fd = -1, .argv = argv, .fds = fds, .n_fds = 4, .cgroup_fd = -1
    };
    unsigned missing = 0;
    char path[512];

    assert_non_null(bin); /* set by ctest */
    snprintf(path, sizeof path, "%s/bulkhead-core", bin);
    spawn.program = path;
    if (geteuid() == 0)
        spawn.uid = spawn.gid = sandbox_uid(getpid(), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    memcpy(fds, (int[]){ null, null, STDERR_FILENO, pair[1] }, sizeof fds);
    if (sandbox_spawn(&spawn, &p->pid, &p->pidfd, &missing) < 0)
        fail_msg("%s", err_text());
    assert_int_equal(channel_new(&p->channel, pair[0], CHANNEL_ARENA_CHILD), 0);
    close(pair[1]);
    close(null);
}

static void make_memory(struct process *p)
{
    p->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    p->serial_fd = memfd_create("serial", MFD_CLOEXEC);
    assert_int_equal(ftruncate(p->ram_fd, RAM), 0);
    assert_int_equal(ftruncate(p->serial_fd, sizeof *p->serial), 0);
    p->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, p->ram_fd, 0);
    p->serial = mmap(NULL, sizeof *p->serial, PROT_READ | PROT_WRITE, MAP_SHARED, p->serial_fd, 0);
    assert_true(p->ram != MAP_FAILED && p->serial != MAP_FAILED);
}

int new_event(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

const Bulkhead__Envelope *expect(struct process *p, Bulkhead__Envelope__BodyCase body)
{
    struct pollfd wait = { .fd = channel_fd(p->channel), .events = POLLIN };
    struct message msg;
    int r;

    if (poll(&wait, 1, PATIENCE_MS) != 1)
        fail_msg("waited too long for %s", rules_body_name(body));
    r = channel_receive(p->channel, true, &msg);
    if (r != 0)
        fail_msg("waiting for %s: %d", rules_body_name(body), r);
    if (msg.envelope->body_case != body)
        fail_msg("%s in place of %s%s%s", rules_body_name(msg.envelope->body_case),
                 rules_body_name(body),
                 msg.envelope->body_case == BULKHEAD__ENVELOPE__BODY_FAILED ? ": " : "",
                 msg.envelope->body_case == BULKHEAD__ENVELOPE__BODY_FAILED
                     ? msg.envelope->failed->what
                     : "");
    assert_int_equal(msg.n_fds, 0);
    return msg.envelope;
}

void expect_state(struct process *p, Bulkhead__GuestStateKind kind)
{
    const Bulkhead__GuestState *state =
        expect(p, BULKHEAD__ENVELOPE__BODY_GUEST_STATE)->guest_state;

    if (state->state != kind)
        fail_msg("guest state %d (%s), not %d", (int)state->state, state->detail, (int)kind);
}

void send_msg(struct process *p, const Bulkhead__Envelope *e, const int *fds, size_t n)
{
    assert_int_equal(channel_send(p->channel, e, fds, n, true), 0);
}

void send_configure(struct process *p, int kvm_fd, int life_write_fd, unsigned n_fds)
{
    Bulkhead__CoreConfig core = BULKHEAD__CORE_CONFIG__INIT;
    Bulkhead__Configure cfg = BULKHEAD__CONFIGURE__INIT;
    int fds[] = { p->ram_fd, kvm_fd, life_write_fd, p->serial_fd, p->serial_out, p->serial_in };

    ENVELOPE(e, CONFIGURE, configure, &cfg);
    core.vcpus = p->vcpus;
    core.serial = true;
    cfg.protocol = PROTOCOL_MAX;
    cfg.name = (char[]){ "core" };
    cfg.ram_size = RAM;
    cfg.role_case = BULKHEAD__CONFIGURE__ROLE_CORE;
    cfg.core = &core;
    send_msg(p, &e, fds, n_fds);
}

void send_attach(struct process *p, unsigned slot, int kick, int call)
{
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    Bulkhead__AttachDevice attach = BULKHEAD__ATTACH_DEVICE__INIT;
    int fds[] = { kick, call };

    ENVELOPE(e, ATTACH_DEVICE, attach_device, &attach);
    announce.virtio_id = 4;
    announce.features = UINT64_C(1) << 32 | UINT64_C(1) << 29;
    announce.num_queues = 1;
    announce.queue_size = 64;
    attach.slot = slot;
    attach.announce = &announce;
    attach.name = (char[]){ "rng" };
    send_msg(p, &e, fds, 2);
}

void send_start(struct process *p)
{
    Bulkhead__EntryState entry = BULKHEAD__ENTRY_STATE__INIT;
    Bulkhead__Start message = BULKHEAD__START__INIT;

    ENVELOPE(e, START, start, &message);
    entry.kind = BULKHEAD__ENTRY_KIND__ENTRY_PVH;
    entry.rip = CODE;
    entry.boot_data = 0x1234;
    message.entry = &entry;
    send_msg(p, &e, NULL, 0);
}

bool kvm_there(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void prepare(struct process *p, unsigned vcpus)
{
    *p = (struct process){ .vcpus = vcpus, .pidfd = -1, .life_fd = -1 };
    make_memory(p);
    p->serial_out = new_event();
    p->serial_in = new_event();
    p->kick = new_event();
    p->call = new_event();
    p->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    start_process(p);
    assert_int_equal(expect(p, BULKHEAD__ENVELOPE__BODY_HELLO)->hello->role,
                     BULKHEAD__ROLE__ROLE_CORE);
}

struct code boot(struct process *p, unsigned vcpus)
{
    int life[2];

    prepare(p, vcpus);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    p->life_fd = life[0];
    send_configure(p, p->kvm_fd, life[1], 6);
    close(life[1]);
    expect(p, BULKHEAD__ENVELOPE__BODY_READY);
    send_attach(p, SLOT, p->kick, p->call);
    return (struct code){ .at = p->ram + CODE };
}

bool life_ended(struct process *p, int timeout_ms)
{
    struct pollfd wait = { .fd = p->life_fd, .events = POLLIN };

    return poll(&wait, 1, timeout_ms) == 1 && (wait.revents & POLLHUP);
}

int end(struct process *p)
{
    int status = 0;

    channel_freep(&p->channel);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    if (p->life_fd >= 0)
        assert_true(life_ended(p, 0));
    munmap(p->ram, RAM);
    munmap(p->serial, sizeof *p->serial);
    for (int *fd = &p->pidfd; fd <= &p->serial_in; fd++)
        fd_closep(fd);
    fd_closep(&p->kick);
    fd_closep(&p->call);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int stop(struct process *p)
{
    Bulkhead__Stop message = BULKHEAD__STOP__INIT;

    ENVELOPE(e, STOP, stop, &message);
    assert_false(life_ended(p, 0));
    send_msg(p, &e, NULL, 0);
    return end(p);
}

uint32_t counter(struct process *p)
{
    return __atomic_load_n((uint32_t *)(void *)(p->ram + COUNTER), __ATOMIC_RELAXED);
}

void wait_counter_above(struct process *p, uint32_t v)
{
    for (int i = 0; i < PATIENCE_MS && counter(p) <= v; i++)
        usleep(1000);
    assert_true(counter(p) > v);
}
