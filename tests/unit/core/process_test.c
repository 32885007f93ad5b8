/* SPDX-License-Identifier: Apache-2.0 */
/* process_test.c - the real bulkhead-core in its sandbox with a real vCPU; the test is the broker
 * and brings a guest of a few instructions. With the argument "configure": only what needs no KVM. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "process_rig.h"

/* ---- tests ---- */

static void test_serial_and_shutdown(void **state)
{
    struct process p;
    struct byte_ring ring;
    struct code c;
    char got[8];

    (void)state;
    c = boot(&p, 1);
    for (const char *s = "Hi!"; *s; s++)
        emit_out(&c, LAYOUT_PIO_SERIAL, 1, (uint8_t)*s);
    emit_out(&c, 0x80, 1, 1);          /* nobody */
    emit_mmio32(&c, 0xd0000000, 0x55); /* nobody */
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

    (void)state;
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

    (void)state;
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

    (void)state;
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

    (void)state;
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

    (void)state;
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

static void send_detach(struct process *p, unsigned slot, bool force)
{
    Bulkhead__DetachDevice detach = BULKHEAD__DETACH_DEVICE__INIT;

    ENVELOPE(e, DETACH_DEVICE, detach_device, &detach);
    detach.slot = slot;
    detach.force = force;
    send_msg(p, &e, NULL, 0);
}

static void emit_vendor(struct code *c, unsigned slot, uint32_t to)
{
    emit_out(c, LAYOUT_PIO_PCI_ADDRESS, 4, 0x80000000u | slot << 11);
    emit_in(c, LAYOUT_PIO_PCI_ADDRESS + 4, to);
}

static unsigned open_files(pid_t pid)
{
    char path[64];
    unsigned n = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* A device comes while the guest runs, is ejected; another is taken away; both slots fill again. */
static void test_hotplug(void **state)
{
    enum { NEW = 31, SEEN = COUNTER + 16 };
    struct process p;
    struct code c;
    uint32_t *seen;
    int kick = new_event(), call = new_event();
    unsigned files;

    (void)state;
    c = boot(&p, 2);
    seen = (uint32_t *)(void *)(p.ram + SEEN);
    emit_vendor(&c, NEW, SEEN);
    emit_mmio8(&c, COUNTER, 1);
    emit_wait_port_set(&c, LAYOUT_PIO_GED);
    emit_in(&c, LAYOUT_PIO_HOTPLUG, SEEN + 4);
    emit_vendor(&c, NEW, SEEN + 8);
    emit_mmio8(&c, COUNTER, 2);
    emit_wait_port_set(&c, LAYOUT_PIO_GED);
    emit_in(&c, LAYOUT_PIO_HOTPLUG + 4, SEEN + 12);
    emit_out(&c, LAYOUT_PIO_HOTPLUG + 8, 4, 1u << NEW);
    emit_vendor(&c, NEW, SEEN + 16);
    emit_wait_port_set(&c, LAYOUT_PIO_GED);
    emit_in(&c, LAYOUT_PIO_HOTPLUG + 4, SEEN + 20);
    emit_vendor(&c, SLOT, SEEN + 24);
    emit_mmio8(&c, COUNTER, 3);
    emit_wait_ram8_set(&c, COUNTER + 4);
    emit_out(&c, LAYOUT_PIO_HOTPLUG + 8, 4, 1u << SLOT);
    emit_vendor(&c, SLOT, SEEN + 28);
    emit_power_off(&c);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    files = open_files(p.pid);
    wait_counter_above(&p, 0);
    send_attach(&p, NEW, kick, call);
    wait_counter_above(&p, 1);
    assert_int_equal(open_files(p.pid), files + 2);
    send_detach(&p, NEW, false);
    assert_int_equal(expect(&p, BULKHEAD__ENVELOPE__BODY_DEVICE_GONE)->device_gone->slot, NEW);
    assert_int_equal(open_files(p.pid), files);
    send_detach(&p, NEW, false); /* crosses it, as it may */
    send_detach(&p, SLOT, true);
    assert_int_equal(expect(&p, BULKHEAD__ENVELOPE__BODY_DEVICE_GONE)->device_gone->slot, SLOT);
    wait_counter_above(&p, 2);
    assert_int_equal(open_files(p.pid), files - 2);
    send_attach(&p, SLOT, kick, call); /* which the guest sees after its eject */
    send_attach(&p, NEW, p.kick, p.call);
    p.ram[COUNTER + 4] = 1;
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    assert_int_equal(seen[0], UINT32_MAX);
    assert_int_equal(seen[1], 1u << NEW);
    assert_int_equal(seen[2], 0x10441af4);
    assert_int_equal(seen[3], 1u << NEW);
    assert_int_equal(seen[4], UINT32_MAX);
    assert_int_equal(seen[5], 1u << SLOT);
    assert_int_equal(seen[6], UINT32_MAX);
    assert_true(seen[7] == UINT32_MAX || seen[7] == 0x10441af4); /* the eject may have been first */
    assert_int_equal(stop(&p), 0);
    close(kick);
    close(call);
}

static void send_resync(struct process *p, uint32_t epoch)
{
    Bulkhead__Resync message = BULKHEAD__RESYNC__INIT;

    ENVELOPE(e, RESYNC, resync, &message);
    message.epoch = epoch;
    send_msg(p, &e, NULL, 0);
}

/* A new broker takes over: a driver that is active, then one that waits for its reset. */
static void test_resync(void **state)
{
    Bulkhead__ResetDone done = BULKHEAD__RESET_DONE__INIT;
    const Bulkhead__DeviceSnapshot *device;
    const Bulkhead__Snapshot *snapshot;
    struct process p;
    struct code c;

    (void)state;
    ENVELOPE(e, RESET_DONE, reset_done, &done);
    done.slot = SLOT;
    c = boot(&p, 1);
    emit_pci_enable(&c);
    emit_mmio8(&c, BAR + 0x14, 3);
    emit_mmio32(&c, BAR + 0x08, 1);
    emit_mmio32(&c, BAR + 0x0c, 1); /* VERSION_1 */
    emit_mmio8(&c, BAR + 0x14, 15);
    emit_wait_ram8_set(&c, COUNTER);
    emit_mmio8(&c, BAR + 0x14, 0);
    emit_wait_mmio8_zero(&c, BAR + 0x14);
    emit_power_off(&c);
    send_resync(&p, 1);
    assert_false(expect(&p, BULKHEAD__ENVELOPE__BODY_DEVICE_SNAPSHOT)->device_snapshot->active);
    assert_int_equal(expect(&p, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot->state,
                     BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_READY);
    send_start(&p);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING);
    expect(&p, BULKHEAD__ENVELOPE__BODY_ACTIVATE);
    send_resync(&p, 2);
    device = expect(&p, BULKHEAD__ENVELOPE__BODY_DEVICE_SNAPSHOT)->device_snapshot;
    assert_int_equal(device->slot, SLOT);
    assert_true(device->active && !device->resetting);
    assert_int_equal(expect(&p, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot->state,
                     BULKHEAD__SNAPSHOT_STATE__SNAPSHOT_RUNNING);
    p.ram[COUNTER] = 1;
    expect(&p, BULKHEAD__ENVELOPE__BODY_RESET);
    send_resync(&p, 3);
    device = expect(&p, BULKHEAD__ENVELOPE__BODY_DEVICE_SNAPSHOT)->device_snapshot;
    assert_true(device->active && device->resetting);
    expect(&p, BULKHEAD__ENVELOPE__BODY_SNAPSHOT);
    send_msg(&p, &e, NULL, 0);
    expect_state(&p, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    send_resync(&p, 4);
    assert_false(expect(&p, BULKHEAD__ENVELOPE__BODY_DEVICE_SNAPSHOT)->device_snapshot->active);
    snapshot = expect(&p, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot;
    assert_int_equal(snapshot->end->state, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN);
    assert_int_equal(stop(&p), 0);
}

/* The broker's death is not the guest's; the core's own is everybody's, seen at the life pipe. */
static void test_broker_death(void **state)
{
    struct process p;
    struct code c;

    (void)state;
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

    (void)state;
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

    (void)state;
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

    (void)state;
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

int main(int argc, char **argv)
{
    const struct CMUnitTest without_kvm[] = { cmocka_unit_test(test_bad_configure) };
    const struct CMUnitTest with_kvm[] = {
        cmocka_unit_test(test_early_end),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_reboot),       cmocka_unit_test(test_serial_and_shutdown),
        cmocka_unit_test(test_triple_fault), cmocka_unit_test(test_pause),
        cmocka_unit_test(test_power_button), cmocka_unit_test(test_device),
        cmocka_unit_test(test_hotplug),      cmocka_unit_test(test_resync),
        cmocka_unit_test(test_broker_death), cmocka_unit_test(test_orphan_ends),
    };

    if (argc > 1 && strcmp(argv[1], "configure") == 0)
        return cmocka_run_group_tests(without_kvm, NULL, NULL);
    if (!kvm_there()) {
        fprintf(stderr, "needs /dev/kvm\n");
        return 77;
    }
    return cmocka_run_group_tests(with_kvm, NULL, NULL);
}
