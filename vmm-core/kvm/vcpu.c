/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu.c - see vcpu.h: what firmware would have set up, the entry state, and exits. */
#include "kvm/vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "base/err.h"
#include "base/fd.h"
#include "kvm/cpuid.h"
#include "kvm/kvm.h"

enum {
    MSR_IA32_MISC_ENABLE = 0x1a0,
    MSR_IA32_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MISC_ENABLE_FAST_STRING = 1,
    MTRR_ENABLE_WRITE_BACK = 0x806, /* MTRRs on, default type write-back; Linux's PAT wants it */
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_MASKED = 1 << 16,
    APIC_MODE_NMI = 0x400,
    CR0_PE = 1 << 0,
    CR0_ET = 1 << 4,
    CR0_NE = 1 << 5,
    CR4_PAE = 1 << 5,
    EFER_LME = 1 << 8,
    EFER_LMA = 1 << 10,
    SELECTOR_CODE = 0x10,
    SELECTOR_DATA = 0x18,
    MAX_RETRIES = 1000,
};
#define CR0_PG (UINT64_C(1) << 31)
#define PAT_DEFAULT UINT64_C(0x0007040600070406)

static int set_cpuid(struct hv *hv, struct hv_vcpu *vcpu, const struct kvm_cpuid2 *supported,
                     bool tsc_deadline)
{
    size_t bytes = sizeof *supported + supported->nent * sizeof supported->entries[0];
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + KVM_CPUID_MAX * sizeof cpuid->entries[0]);
    struct kvm_cpuid_wishes wishes = { .n_vcpus = hv->n_vcpus,
                                       .tsc_deadline = tsc_deadline,
                                       .nested = hv->nested };
    int r = 0;

    if (!cpuid)
        return err_origin(-ENOMEM, "CPUID table");
    memcpy(cpuid, supported, bytes);
    kvm_cpuid_adjust(cpuid, vcpu->index, &wishes);
    if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
        r = err_origin(-errno, "KVM_SET_CPUID2");
    free(cpuid);
    return r;
}

/* Best effort one by one: a host that lacks one of them has a guest that does without. */
static void set_msrs(struct hv_vcpu *vcpu)
{
    static const struct {
        uint32_t index;
        uint64_t value;
    } msrs[] = {
        { MSR_IA32_MISC_ENABLE, MISC_ENABLE_FAST_STRING },
        { MSR_IA32_PAT, PAT_DEFAULT },
        { MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WRITE_BACK },
    };

    for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry entry;
        } one = { .head = { .nmsrs = 1 },
                  .entry = { .index = msrs[i].index, .data = msrs[i].value } };

        (void)ioctl(vcpu->fd, KVM_SET_MSRS, &one);
    }
}

/* LINT0 is where an 8259 would be. KVM opens it on vCPU 0 for firmware that relies on that. */
static int set_lapic(struct hv_vcpu *vcpu)
{
    struct kvm_lapic_state lapic;
    uint32_t masked = APIC_LVT_MASKED, nmi = APIC_MODE_NMI;

    if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
        return err_origin(-errno, "KVM_GET_LAPIC");
    memcpy(lapic.regs + APIC_LVT_LINT0, &masked, sizeof masked);
    memcpy(lapic.regs + APIC_LVT_LINT1, &nmi, sizeof nmi);
    if (ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0)
        return err_origin(-errno, "KVM_SET_LAPIC");
    return 0;
}

int kvm_vcpu_init(struct hv *hv, int device_fd, unsigned index, const struct kvm_cpuid2 *supported,
                  bool tsc_deadline)
{
    struct hv_vcpu *vcpu = &hv->vcpus[index];
    struct kvm_mp_state mp = { .mp_state = index == 0 ? KVM_MP_STATE_RUNNABLE
                                                      : KVM_MP_STATE_UNINITIALIZED };
    int bytes = ioctl(device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    int r;

    vcpu->index = index;
    if (bytes < (int)sizeof *vcpu->run)
        return err_origin(-EOPNOTSUPP, "KVM_GET_VCPU_MMAP_SIZE");
    vcpu->fd = ioctl(hv->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (vcpu->fd < 0)
        return err_origin(-errno, "KVM_CREATE_VCPU %u", index);
    vcpu->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED) {
        vcpu->run = NULL;
        return err_origin(-errno, "mapping vCPU %u", index);
    }
    vcpu->run_bytes = (size_t)bytes;
    r = set_cpuid(hv, vcpu, supported, tsc_deadline);
    if (r < 0)
        return err_trace(r);
    set_msrs(vcpu);
    r = set_lapic(vcpu);
    if (r < 0)
        return err_trace(r);
    if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp) < 0)
        return err_origin(-errno, "KVM_SET_MP_STATE");
    return 0;
}

void kvm_vcpu_deinit(struct hv_vcpu *vcpu)
{
    if (vcpu->run)
        munmap(vcpu->run, vcpu->run_bytes);
    vcpu->run = NULL;
    fd_closep(&vcpu->fd);
}

struct hv_vcpu *hv_vcpu_at(struct hv *hv, unsigned index)
{
    return &hv->vcpus[index];
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool code64)
{
    return (struct kvm_segment){ .limit = 0xffffffff,
                                 .selector = selector,
                                 .type = type,
                                 .present = 1,
                                 .db = !code64,
                                 .s = 1,
                                 .l = code64,
                                 .g = 1 };
}

static void set_segments(struct kvm_sregs *sregs, bool code64)
{
    struct kvm_segment data = flat_segment(SELECTOR_DATA, 3, false);

    sregs->cs = flat_segment(SELECTOR_CODE, 11, code64);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    /* VM entry wants a busy TSS; nothing ever switches to it. */
    sregs->tr = (struct kvm_segment){ .limit = 0x67, .type = 11, .present = 1 };
    sregs->idt = (struct kvm_dtable){ 0 };
}

int hv_vcpu_enter(struct hv_vcpu *vcpu, const struct hv_entry *entry)
{
    struct kvm_regs regs = { .rip = entry->rip, .rflags = 2 };
    struct kvm_sregs sregs;
    bool linux64 = entry->kind == HV_ENTRY_LINUX64;

    if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
        return err_origin(-errno, "KVM_GET_SREGS");
    set_segments(&sregs, linux64);
    sregs.gdt = (struct kvm_dtable){ .base = entry->gdt, .limit = entry->gdt_limit };
    sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
    sregs.cr4 = 0;
    sregs.efer = 0;
    if (linux64) {
        sregs.cr3 = entry->page_table;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
        sregs.cr0 |= CR0_PG;
        regs.rsi = entry->boot_data;
    } else {
        regs.rbx = entry->boot_data;
    }
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
        return err_origin(-errno, "KVM_SET_SREGS");
    if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
        return err_origin(-errno, "KVM_SET_REGS");
    return 0;
}

static uint64_t guest_rip(struct hv_vcpu *vcpu)
{
    struct kvm_regs regs;

    return ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

static void describe_internal_error(struct hv_vcpu *vcpu, struct hv_exit *exit)
{
    const struct kvm_run *run = vcpu->run;
    static const char *const names[] = { "?", "emulation failed", "simultaneous exceptions",
                                         "event delivery", "unexpected exit" };
    unsigned sub = run->internal.suberror;

    snprintf(exit->what, sizeof exit->what,
             "KVM internal error %u (%s) on vCPU %u at rip 0x%llx, data 0x%llx", sub,
             names[sub < ARRAY_SIZE(names) ? sub : 0], vcpu->index,
             (unsigned long long)guest_rip(vcpu),
             run->internal.ndata > 0 ? (unsigned long long)run->internal.data[0] : 0ull);
}

static void translate(struct hv_vcpu *vcpu, struct hv_exit *exit)
{
    struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exit->kind = HV_EXIT_PIO;
        exit->addr = run->io.port;
        exit->size = run->io.size;
        exit->count = run->io.count;
        exit->write = run->io.direction == KVM_EXIT_IO_OUT;
        exit->data = (uint8_t *)run + run->io.data_offset;
        break;
    case KVM_EXIT_MMIO:
        exit->kind = HV_EXIT_MMIO;
        exit->addr = run->mmio.phys_addr;
        exit->size = run->mmio.len;
        exit->count = 1;
        exit->write = run->mmio.is_write;
        exit->data = run->mmio.data;
        break;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        break;
    case KVM_EXIT_SHUTDOWN:
        exit->kind = HV_EXIT_TRIPLE_FAULT;
        snprintf(exit->what, sizeof exit->what, "triple fault on vCPU %u", vcpu->index);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        exit->kind = HV_EXIT_ERROR;
        describe_internal_error(vcpu, exit);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        exit->kind = HV_EXIT_ERROR;
        snprintf(exit->what, sizeof exit->what, "VM entry failed on vCPU %u, reason 0x%llx",
                 vcpu->index, (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        break;
    default:
        exit->kind = HV_EXIT_ERROR;
        snprintf(exit->what, sizeof exit->what, "unexpected KVM exit %u on vCPU %u at rip 0x%llx",
                 run->exit_reason, vcpu->index, (unsigned long long)guest_rip(vcpu));
        break;
    }
}

/* KVM waits for the INIT itself, until something else is pending, an NMI that another vCPU sent say:
 * then each run ends with EAGAIN. */
static bool waits_for_init(struct hv_vcpu *vcpu)
{
    struct kvm_mp_state mp;

    return ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) == 0 && mp.mp_state == KVM_MP_STATE_UNINITIALIZED;
}

void hv_vcpu_run(struct hv_vcpu *vcpu, struct hv_exit *ret_exit)
{
    int error;

    ret_exit->kind = HV_EXIT_NONE;
    if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
        vcpu->retries = 0;
        translate(vcpu, ret_exit);
        return;
    }
    error = errno;
    if (error == EINTR)
        return;
    if (error == EAGAIN && waits_for_init(vcpu)) {
        ret_exit->kind = HV_EXIT_IDLE;
        return;
    }
    /* A vCPU that got its INIT says so once; more is a host that can't. */
    if (error == EAGAIN && ++vcpu->retries < MAX_RETRIES)
        return;
    ret_exit->kind = HV_EXIT_HOST_ERROR;
    snprintf(ret_exit->what, sizeof ret_exit->what, "%s: KVM_RUN on vCPU %u: %s, rip 0x%llx",
             error == EFAULT || error == EHWPOISON
                 ? "the host can't supply memory that the guest uses"
                 : "the host's KVM can't go on",
             vcpu->index, strerrordesc_np(error), (unsigned long long)guest_rip(vcpu));
}

/* Since Linux 6.13 the first KVM_RUN makes a kernel thread that counts as one of this process: past
 * RLIMIT_NPROC it fails with EAGAIN, for ever. Made here, it inherits the vCPU thread's filter. */
int hv_vcpu_first_run(struct hv_vcpu *vcpu)
{
    int r = 0;

    hv_vcpu_interrupt(vcpu, true);
    if (ioctl(vcpu->fd, KVM_RUN, 0) < 0 && errno != EINTR)
        r = err_origin(-errno, "the first KVM_RUN");
    hv_vcpu_interrupt(vcpu, false);
    return r;
}

void hv_vcpu_interrupt(struct hv_vcpu *vcpu, bool on)
{
    __atomic_store_n(&vcpu->run->immediate_exit, on ? 1 : 0, __ATOMIC_RELEASE);
}

void hv_vcpu_was_paused(struct hv_vcpu *vcpu)
{
    /* EINVAL: this guest has no kvmclock, so there is nobody to tell. */
    (void)ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}
