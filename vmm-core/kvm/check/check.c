// SPDX-License-Identifier: Apache-2.0
// check.c - does this host's KVM run guest code? Prints one JSON object and exits 0 (it does) or 1.
//
// Opening /dev/kvm proves little: some machines have a KVM that emulates instructions and lacks
// those that every distribution kernel uses. So a VM is made the way the core makes one, and a
// few dozen instructions run in it, under a watchdog.
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "base/compiler.h"
#include "device.h"
#include "guest.h"

enum {
    WATCHDOG_S = 4,
    /* The guest's first 2 MiB; the second MiB is left out of RAM so that GUEST_MMIO exits. */
    RAM_BYTES = 0x100000,
    PML4 = 0x1000,
    PDPT = 0x2000,
    PD = 0x3000,
    CODE = 0x10000,
    STACK = 0x20000,
    SCRATCH = 0x30000,
};

static const char bad_kvm_cure[] =
    "run on a machine with a working KVM, or inside the emulated host (tests/host/run COMMAND)";
static const char *const step_names[GUEST_STEP__MAX] = {
    [0] = "its first instruction",
    [GUEST_STEP_INTEGER] = "integer instructions",
    [GUEST_STEP_SSE] = "SSE integer instructions",
    [GUEST_STEP_DOUBLE] = "SSE2 floating point",
    [GUEST_STEP_CMPXCHG16B] = "CMPXCHG16B",
    [GUEST_STEP_XSAVE] = "XSAVE and XRSTOR",
    [GUEST_STEP_MMIO] = "a device access",
};

struct vm {
    int kvm, vm, vcpu;
    uint8_t *ram;
    struct kvm_run *run;
    size_t run_bytes;
};

/* For the watchdog's handler, which has no argument. */
static struct kvm_run *watched;
static volatile sig_atomic_t alarms;

/* The texts are ours, without quotes or control characters. */
static int report(bool ok, const char *cure, const char *fmt, ...) printf_like(3, 4);
static int report(bool ok, const char *cure, const char *fmt, ...)
{
    va_list ap;

    printf("{\"working\": %s, \"detail\": \"", ok ? "true" : "false");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\", \"cure\": \"%s\"}\n", cure);
    fflush(stdout);
    return ok ? 0 : 1;
}

static void on_alarm(int sig)
{
    static const char hung[] =
        "{\"working\": false, \"detail\": \"KVM hangs and can't be interrupted\", "
        "\"cure\": \"run on a machine with a working KVM\"}\n";

    (void)sig;
    if (watched)
        watched->immediate_exit = 1;
    if (++alarms < 2)
        return;
    if (write(1, hung, sizeof(hung) - 1) < 0)
        _exit(2);
    _exit(1);
}

static void start_watchdog(void)
{
    struct sigaction act = { .sa_handler = on_alarm };
    struct itimerval timer = { .it_value.tv_sec = WATCHDOG_S, .it_interval.tv_sec = WATCHDOG_S };

    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* What the core can't do without. */
static int check_capabilities(int kvm)
{
    static const struct {
        int cap;
        const char *name;
    } needed[] = {
        { KVM_CAP_IRQCHIP, "IRQCHIP" },
        { KVM_CAP_USER_MEMORY, "USER_MEMORY" },
        { KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
        { KVM_CAP_EXT_CPUID, "EXT_CPUID" },
        { KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
        { KVM_CAP_IOEVENTFD, "IOEVENTFD" },
        { KVM_CAP_IRQFD, "IRQFD" },
        { KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
        { KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (ioctl(kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
            return report(false, "a newer kernel on the host", "KVM lacks the capability %s",
                          needed[i].name);
    return 0;
}

static int make_vm(struct vm *vm)
{
    struct kvm_userspace_memory_region region = { .memory_size = RAM_BYTES };
    int bytes;

    vm->vm = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    if (vm->vm < 0)
        return report(false, bad_kvm_cure, "KVM_CREATE_VM: %s", strerror(errno));
    vm->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vm->ram == MAP_FAILED)
        return report(false, bad_kvm_cure, "no memory for a test VM");
    region.userspace_addr = (uint64_t)(uintptr_t)vm->ram;
    if (ioctl(vm->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0 ||
        ioctl(vm->vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
        ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return report(false, bad_kvm_cure, "a VM can't be set up: %s", strerror(errno));
    vm->vcpu = ioctl(vm->vm, KVM_CREATE_VCPU, 0);
    bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (vm->vcpu < 0 || bytes < (int)sizeof(struct kvm_run))
        return report(false, bad_kvm_cure, "KVM_CREATE_VCPU: %s", strerror(errno));
    vm->run_bytes = (size_t)bytes;
    vm->run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
    if (vm->run == MAP_FAILED) {
        vm->run = NULL;
        return report(false, bad_kvm_cure, "the vCPU can't be mapped: %s", strerror(errno));
    }
    return 0;
}

static int copy_cpuid(struct vm *vm)
{
    enum { MAX_ENTRIES = 256 };
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));
    int r;

    if (!cpuid)
        return -1;
    cpuid->nent = MAX_ENTRIES;
    r = ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
    if (r == 0)
        r = ioctl(vm->vcpu, KVM_SET_CPUID2, cpuid);
    free(cpuid);
    return r;
}

static void put64(struct vm *vm, size_t at, uint64_t v)
{
    memcpy(vm->ram + at, &v, sizeof(v));
}

/* Long mode with one 2 MiB page, SSE on, no interrupts. */
static int set_registers(struct vm *vm)
{
    struct kvm_segment code = {
        .limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
    };
    struct kvm_segment data = {
        .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
    };
    struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rdi = SCRATCH, .rflags = 2 };
    struct kvm_sregs sregs;

    put64(vm, PML4, PDPT | 3);
    put64(vm, PDPT, PD | 3);
    put64(vm, PD, 0x83);
    memcpy(vm->ram + CODE, guest_code, (size_t)(guest_code_end - guest_code));
    if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs) < 0)
        return -1;
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr3 = PML4;
    sregs.cr4 = 0x620;        /* PAE, OSFXSR, OSXMMEXCPT */
    sregs.cr0 = 0x80000033ul; /* PG, NE, ET, MP, PE */
    sregs.efer = 0x500;       /* LMA, LME */
    if (ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) < 0)
        return -1;
    return ioctl(vm->vcpu, KVM_SET_REGS, &regs);
}

static int say_failure(unsigned step, const char *how)
{
    return report(false, bad_kvm_cure, "/dev/kvm opens, but a guest %s at %s: it can't run Linux",
                  how, step_names[step]);
}

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* Returns the byte the guest wrote, or -1 for any other exit. */
static int port_byte(const struct vm *vm)
{
    const struct kvm_run *run = vm->run;

    if (run->exit_reason != KVM_EXIT_IO || run->io.port != GUEST_PORT ||
        run->io.direction != KVM_EXIT_IO_OUT || run->io.data_offset >= vm->run_bytes)
        return -1;
    return ((const uint8_t *)run)[run->io.data_offset];
}

static int run_guest(struct vm *vm)
{
    uint64_t start = now_us();
    uint32_t value = GUEST_MMIO_VALUE;
    unsigned step = 0;

    watched = vm->run;
    for (;;) {
        int byte;

        if (ioctl(vm->vcpu, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                return say_failure(step, "hangs");
            return say_failure(step, "is refused");
        }
        if (vm->run->exit_reason == KVM_EXIT_MMIO && step == GUEST_STEP_MMIO &&
            vm->run->mmio.phys_addr == GUEST_MMIO && !vm->run->mmio.is_write) {
            memcpy(vm->run->mmio.data, &value, sizeof(value));
            continue;
        }
        byte = port_byte(vm);
        if (byte == GUEST_DONE)
            return report(true, "",
                          "a VM ran integer, SSE, CMPXCHG16B, XSAVE and device code in %u us",
                          (unsigned)(now_us() - start));
        if (byte == GUEST_WRONG)
            return say_failure(step, "computes wrongly");
        if (byte <= 0 || byte >= GUEST_STEP__MAX)
            return say_failure(step, "fails");
        step = (unsigned)byte;
    }
}

int main(void)
{
    struct vm vm = { .kvm = -1, .vm = -1, .vcpu = -1 };
    struct kvm_device_fault fault;
    int r;

    start_watchdog();
    if (kvm_device_open("/dev/kvm", &vm.kvm, &fault) < 0)
        return report(false, fault.cure, "%s", fault.detail);
    r = check_capabilities(vm.kvm);
    if (r == 0)
        r = make_vm(&vm);
    if (r == 0 && (copy_cpuid(&vm) < 0 || set_registers(&vm) < 0))
        r = report(false, bad_kvm_cure, "a vCPU can't be set up: %s", strerror(errno));
    return r != 0 ? r : run_guest(&vm);
}
