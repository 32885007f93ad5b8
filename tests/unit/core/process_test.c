/* SPDX-License-Identifier: Apache-2.0 */
/* process_test.c - the real bulkhead-core in its sandbox with a real vCPU; the test is the broker
 * and brings a guest of a few instructions. Skipped where /dev/kvm can't be opened. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
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
#include "ipc/channel.h"
#include "ipc/rules.h"
#include "sandbox.h"
#include "shm/byte_ring.h"
#include "shm/layout.h"

enum { RAM = 32 << 20, CODE = 0x200000, COUNTER = 0x300000, SLOT = 2, PATIENCE_MS = 30000 };
#define BAR (uint32_t)(LAYOUT_MMIO32_BASE + SLOT * LAYOUT_BAR_STRIDE)

struct process {
    struct channel *channel;
    pid_t pid;
    int pidfd, ram_fd, kvm_fd, life_fd, serial_fd, serial_out, serial_in;
    uint8_t *ram;
    struct serial_shared *serial;
    int kick, call;
    unsigned vcpus;
};

/* ---- guest code: 32 bit, flat, no stack ---- */

struct code {
    uint8_t *at;
};

static void emit(struct code *c, const void *bytes, size_t n)
{
    memcpy(c->at, bytes, n);
    c->at += n;
}

static void emit_imm(struct code *c, uint8_t op, uint32_t imm)
{
    emit(c, &op, 1);
    emit(c, &imm, sizeof imm);
}

static void emit_out(struct code *c, uint16_t port, unsigned size, uint32_t value)
{
    emit_imm(c, 0xba, port);  /* mov edx, port */
    emit_imm(c, 0xb8, value); /* mov eax, value */
    emit(c, size == 1 ? "\xee" : "\xef", 1);
}

static void emit_mmio8(struct code *c, uint32_t addr, uint8_t value)
{
    emit_imm(c, 0xb8, value);
    emit_imm(c, 0xa2, addr); /* mov [addr], al */
}

static void emit_mmio32(struct code *c, uint32_t addr, uint32_t value)
{
    emit_imm(c, 0xb8, value);
    emit_imm(c, 0xa3, addr); /* mov [addr], eax */
}

static void emit_wait_port_set(struct code *c, uint16_t port)
{
    emit_imm(c, 0xba, port);
    emit(c, "\xed\x85\xc0\x74\xfb", 5); /* in eax, dx; test eax, eax; jz back */
}

static void emit_wait_mmio8_zero(struct code *c, uint32_t addr)
{
    emit_imm(c, 0xa0, addr);        /* mov al, [addr] */
    emit(c, "\x84\xc0\x75\xf7", 4); /* test al, al; jnz back */
}

static void emit_wait_ram8_set(struct code *c, uint32_t addr)
{
    emit_imm(c, 0xa0, addr);
    emit(c, "\x84\xc0\x74\xf7", 4); /* test al, al; jz back */
}

static void emit_power_off(struct code *c)
{
    emit_out(c, LAYOUT_PIO_SLEEP_CONTROL, 1, LAYOUT_SLP_TYP_S5 << 2 | 1 << 5);
}

static void emit_count_for_ever(struct code *c)
{
    uint32_t addr = COUNTER;

    emit(c, "\xff\x05", 2); /* inc dword [COUNTER] */
    emit(c, &addr, sizeof addr);
    emit(c, "\xeb\xf8", 2);
}

/* ---- the broker's part ---- */

static void start_process(struct process *p)
{
    char *argv[] = { (char[]){ "bulkhead-core" }, NULL };
    const char *bin = getenv("BULKHEAD_BIN");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), pair[2], fds[4];
    struct sandbox_spawn spawn = { .program_fd = -1, .argv = argv, .fds = fds, .n_fds = 4,
                                   .cgroup_fd = -1 };
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

static int new_event(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static const Bulkhead__Envelope *expect(struct process *p, Bulkhead__Envelope__BodyCase body)
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

static void expect_state(struct process *p, Bulkhead__GuestStateKind kind)
{
    const Bulkhead__GuestState *state = expect(p, BULKHEAD__ENVELOPE__BODY_GUEST_STATE)->guest_state;

    if (state->state != kind)
        fail_msg("guest state %d (%s), not %d", (int)state->state, state->detail, (int)kind);
}

static void send_msg(struct process *p, const Bulkhead__Envelope *e, const int *fds, size_t n)
{
    assert_int_equal(channel_send(p->channel, e, fds, n, true), 0);
}

/* kvm_fd and life_write_fd as given: tests of bad input pass others. */
static void send_configure(struct process *p, int kvm_fd, int life_write_fd, unsigned n_fds)
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

static void send_attach(struct process *p)
{
    Bulkhead__Announce announce = BULKHEAD__ANNOUNCE__INIT;
    Bulkhead__AttachDevice attach = BULKHEAD__ATTACH_DEVICE__INIT;
    int fds[] = { p->kick, p->call };

    ENVELOPE(e, ATTACH_DEVICE, attach_device, &attach);
    announce.virtio_id = 4;
    announce.features = UINT64_C(1) << 32 | UINT64_C(1) << 29;
    announce.num_queues = 1;
    announce.queue_size = 64;
    attach.slot = SLOT;
    attach.announce = &announce;
    attach.name = (char[]){ "rng" };
    send_msg(p, &e, fds, 2);
}

static void send_start(struct process *p)
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

static bool kvm_there(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void prepare(struct process *p, unsigned vcpus)
{
    *p = (struct process){ .vcpus = vcpus, .pidfd = -1, .life_fd = -1 };
    make_memory(p);
    p->serial_out = new_event();
    p->serial_in = new_event();
    p->kick = new_event();
    p->call = new_event();
    p->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    start_process(p);
    assert_int_equal(expect(p, BULKHEAD__ENVELOPE__BODY_HELLO)->hello->role, BULKHEAD__ROLE__ROLE_CORE);
}

/* Up to Ready, with a device; the guest's code is p->ram + CODE. */
static struct code boot(struct process *p, unsigned vcpus)
{
    int life[2];

    prepare(p, vcpus);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    p->life_fd = life[0];
    send_configure(p, p->kvm_fd, life[1], 6);
    close(life[1]);
    expect(p, BULKHEAD__ENVELOPE__BODY_READY);
    send_attach(p);
    return (struct code){ .at = p->ram + CODE };
}

static bool life_ended(struct process *p, int timeout_ms)
{
    struct pollfd wait = { .fd = p->life_fd, .events = POLLIN };

    return poll(&wait, 1, timeout_ms) == 1 && (wait.revents & POLLHUP);
}

/* Waits for its end and gives everything back; the exit status, or minus the signal. */
static int end(struct process *p)
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

static int stop(struct process *p)
{
    Bulkhead__Stop message = BULKHEAD__STOP__INIT;

    ENVELOPE(e, STOP, stop, &message);
    assert_false(life_ended(p, 0));
    send_msg(p, &e, NULL, 0);
    return end(p);
}

static uint32_t counter(struct process *p)
{
    return __atomic_load_n((uint32_t *)(void *)(p->ram + COUNTER), __ATOMIC_RELAXED);
}

static void wait_counter_above(struct process *p, uint32_t v)
{
    for (int i = 0; i < PATIENCE_MS && counter(p) <= v; i++)
        usleep(1000);
    assert_true(counter(p) > v);
}

#define NEEDS_KVM()                                                                               \
    do {                                                                                          \
        (void)state;                                                                              \
        if (!kvm_there())                                                                         \
            skip();                                                                               \
    } while (0)

/* ---- tests ---- */

static void test_serial_and_shutdown(void **state)
{
    struct process p;
    struct byte_ring ring;
    struct code c;
    char got[8];

    NEEDS_KVM();
    c = boot(&p, 1);
    for (const char *s = "Hi!"; *s; s++)
        emit_out(&c, LAYOUT_PIO_SERIAL, 1, (uint8_t)*s);
    emit_out(&c, 0x80, 1, 1);                   /* nobody */
    emit_mmio32(&c, 0xd0000000, 0x55);          /* nobody */
    emit_power_off(&c);
    emit_count_for_ever(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    byte_ring_attach_consumer(&ring, &p.serial->to_worker);
    assert_int_equal(byte_ring_peek(&ring, got, sizeof got), 3);
    assert_memory_equal(got, "Hi!", 3);
    assert_true(fd_event_drain(p.serial_out) > 0);
    assert_int_equal(counter(&p), 0); /* it stood still at once */
    assert_int_equal(stop(&p), 0);
}

static void test_reboot(void **state)
{
    struct process p;
    struct code c;

    NEEDS_KVM();
    c = boot(&p, 1);
    emit_out(&c, LAYOUT_PIO_RESET, 1, LAYOUT_RESET_VALUE);
    emit_count_for_ever(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT);
    assert_int_equal(stop(&p), 0);
}

static void test_triple_fault(void **state)
{
    struct process p;
    struct code c;

    NEEDS_KVM();
    c = boot(&p, 1);
    emit(&c, "\x0f\x0b", 2); /* ud2 without an IDT */
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_TRIPLE_FAULT);
    assert_int_equal(stop(&p), 0);
}

/* Three vCPUs, of which two wait for their INIT: all stop, all go on. */
static void test_pause(void **state)
{
    Bulkhead__PauseVcpus pause = BULKHEAD__PAUSE_VCPUS__INIT;
    Bulkhead__ResumeVcpus resume = BULKHEAD__RESUME_VCPUS__INIT;
    struct process p;
    struct code c;

    NEEDS_KVM();
    ENVELOPE(e_pause, PAUSE_VCPUS, pause_vcpus, &pause);
    ENVELOPE(e_resume, RESUME_VCPUS, resume_vcpus, &resume);
    c = boot(&p, 3);
    emit_count_for_ever(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    for (int i = 0; i < 3; i++) {
        uint32_t before;

        wait_counter_above(&p, counter(&p));
        send_msg(&p, &e_pause, NULL, 0);
        expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED);
        before = counter(&p);
        usleep(20000);
        assert_int_equal(counter(&p), before);
        send_msg(&p, &e_resume, NULL, 0);
        expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
        wait_counter_above(&p, before);
    }
    assert_int_equal(stop(&p), 0);
}

static void test_power_button(void **state)
{
    Bulkhead__PowerButton button = BULKHEAD__POWER_BUTTON__INIT;
    struct process p;
    struct code c;

    NEEDS_KVM();
    ENVELOPE(e, POWER_BUTTON, power_button, &button);
    c = boot(&p, 1);
    emit_wait_port_set(&c, LAYOUT_PIO_GED);
    emit_power_off(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    send_msg(&p, &e, NULL, 0);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    assert_int_equal(stop(&p), 0);
}

static void emit_pci_enable(struct code *c)
{
    emit_out(c, LAYOUT_PIO_PCI_ADDRESS, 4, 0x80000000u | SLOT << 11 | 4);
    emit_out(c, LAYOUT_PIO_PCI_ADDRESS + 4, 4, 1 << 1);
}

/* A driver's life in a dozen instructions: DRIVER_OK, a kick, a reset that waits for the worker. */
static void test_device(void **state)
{
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;
    const Bulkhead__Activate *activate;
    struct pollfd kick;
    struct process p;
    struct code c;

    NEEDS_KVM();
    ENVELOPE(e, RESET_DONE, reset_done, &done);
    c = boot(&p, 1);
    emit_pci_enable(&c);
    emit_mmio8(&c, BAR + 0x14, 3);
    emit_mmio32(&c, BAR + 0x08, 1);
    emit_mmio32(&c, BAR + 0x0c, 1); /* VERSION_1 */
    emit_mmio8(&c, BAR + 0x14, 11);
    emit_mmio32(&c, BAR + 0x20, 0x10000);
    emit_imm(&c, 0xb8, 1);
    emit(&c, "\x66", 1);
    emit_imm(&c, 0xa3, BAR + 0x1c); /* mov [queue_enable], ax */
    emit_mmio8(&c, BAR + 0x14, 15);
    emit_mmio32(&c, BAR + 0x3000, 0);
    emit_wait_ram8_set(&c, COUNTER); /* a reset before the worker heard of it needs no worker */
    emit_mmio8(&c, BAR + 0x14, 0);
    emit_wait_mmio8_zero(&c, BAR + 0x14);
    emit_power_off(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    activate = expect(&p, BULKHEAD__ENVELOPE__BODY_ACTIVATE)->activate;
    assert_int_equal(activate->slot, SLOT);
    assert_true(activate->features == UINT64_C(1) << 32);
    assert_int_equal(activate->n_queues, 1);
    assert_int_equal(activate->queues[0]->desc, 0x10000);
    assert_int_equal(activate->queues[0]->size, 64);
    kick = (struct pollfd){ .fd = p.kick, .events = POLLIN };
    assert_int_equal(poll(&kick, 1, PATIENCE_MS), 1);
    p.ram[COUNTER] = 1;
    assert_int_equal(expect(&p, BULKHEAD__ENVELOPE__BODY_RESET)->reset->slot, SLOT);
    done.slot = SLOT;
    send_msg(&p, &e, NULL, 0);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    assert_int_equal(stop(&p), 0);
}

/* The broker's death is not the guest's; the core's own is everybody's, seen at the life pipe. */
static void test_broker_death(void **state)
{
    struct process p;
    struct code c;

    NEEDS_KVM();
    c = boot(&p, 2);
    emit_count_for_ever(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    channel_freep(&p.channel);
    for (int i = 0; i < 3; i++)
        wait_counter_above(&p, counter(&p));
    assert_false(life_ended(&p, 50));
    kill(p.pid, SIGKILL);
    assert_true(life_ended(&p, PATIENCE_MS));
    assert_int_equal(end(&p), -SIGKILL);
}

/* A guest that ends while nobody listens ends the process. */
static void test_orphan_ends(void **state)
{
    struct process p;
    struct byte_ring ring;
    struct code c;

    NEEDS_KVM();
    c = boot(&p, 1);
    emit_imm(&c, 0xba, LAYOUT_PIO_SERIAL + 5);
    emit(&c, "\xec\xa8\x01\x74\xfb", 5); /* wait for a byte from the serial port */
    emit_power_off(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    channel_freep(&p.channel);
    byte_ring_attach_producer(&ring, &p.serial->to_guest);
    assert_int_equal(byte_ring_put(&ring, "x", 1), 1);
    fd_event_signal(p.serial_in);
    assert_true(life_ended(&p, PATIENCE_MS));
    assert_int_equal(end(&p), 0);
}

static unsigned threads_with(pid_t pid, const char *file, const char *wanted)
{
    char path[300], line[256];
    unsigned n = 0;
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        FILE *f;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/%s", (int)pid, entry->d_name, file);
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof line, f))
            n += strncmp(line, wanted, strlen(wanted)) == 0;
        fclose(f);
    }
    closedir(dir);
    return n;
}

/* Each thread has its name, a filter, no capability, no way to new ones. */
static void test_threads(void **state)
{
    struct process p;
    unsigned n;

    NEEDS_KVM();
    (void)boot(&p, 3);
    for (unsigned i = 0; i < 3; i++) {
        char name[16];

        snprintf(name, sizeof name, "vcpu%u\n", i);
        assert_int_equal(threads_with(p.pid, "comm", name), 1);
    }
    /* Newer kernels add a thread of their own, which is under the same rules. */
    n = threads_with(p.pid, "status", "Name:");
    assert_true(n >= 4);
#ifndef BH_SANITIZED
    assert_int_equal(threads_with(p.pid, "status", "Seccomp:\t2"), n);
#endif
    assert_int_equal(threads_with(p.pid, "status", "CapEff:\t0000000000000000"), n);
    assert_int_equal(threads_with(p.pid, "status", "NoNewPrivs:\t1"), n);
    assert_int_equal(stop(&p), 0);
}

/* The end of the control socket before Start is the end of the process. */
static void test_early_end(void **state)
{
    struct process p;

    NEEDS_KVM();
    prepare(&p, 1);
    assert_int_equal(end(&p), 0);
    (void)boot(&p, 1);
    assert_int_equal(end(&p), 0);
}

static void expect_failed(struct process *p, const char *why)
{
    const Bulkhead__Failed *failed = expect(p, BULKHEAD__ENVELOPE__BODY_FAILED)->failed;

    assert_int_equal(failed->bad_input, failed->error == EOPNOTSUPP); /* a host without KVM */
    assert_true(failed->error > 0);
    if (!strstr(failed->what, why))
        fail_msg("'%s' does not name '%s'", failed->what, why);
    assert_int_equal(end(p), 1);
}

static void test_bad_configure(void **state)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), life[2];
    struct process p;

    (void)state;
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    prepare(&p, 1);
    send_configure(&p, null, life[1], 6); /* a device, but not KVM */
    expect_failed(&p, "KVM");
    prepare(&p, 1);
    send_configure(&p, null, life[1], 5);
    expect_failed(&p, "5 descriptors");
    prepare(&p, 1);
    send_configure(&p, null, null, 6);
    expect_failed(&p, "life pipe");
    prepare(&p, 1);
    send_configure(&p, life[0], life[1], 6);
    expect_failed(&p, "KVM");
    prepare(&p, LAYOUT_MAX_VCPUS + 1);
    send_configure(&p, null, life[1], 6);
    expect_failed(&p, "out of range");
    close(life[0]);
    close(life[1]);
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_configure),       cmocka_unit_test(test_early_end),
        cmocka_unit_test(test_threads),             cmocka_unit_test(test_serial_and_shutdown),
        cmocka_unit_test(test_reboot),              cmocka_unit_test(test_triple_fault),
        cmocka_unit_test(test_pause),               cmocka_unit_test(test_power_button),
        cmocka_unit_test(test_device),              cmocka_unit_test(test_broker_death),
        cmocka_unit_test(test_orphan_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
