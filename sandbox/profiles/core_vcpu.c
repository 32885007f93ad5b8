/* SPDX-License-Identifier: Apache-2.0 */
/* core_vcpu.c - a thread that runs a vCPU: not even profile_base, since it closes nothing and never
 * allocates. */
#include <linux/futex.h>
#include <linux/kvm.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(ioctl, "run the guest", ARG_IS(1, KVM_RUN)),
    ALLOW(ioctl, "the entry state", ARG_IS(1, KVM_SET_REGS)),
    ALLOW(ioctl, "the entry state", ARG_IS(1, KVM_SET_SREGS)),
    ALLOW(ioctl, "the entry state", ARG_IS(1, KVM_GET_SREGS)),
    ALLOW(ioctl, "where the guest was when it failed", ARG_IS(1, KVM_GET_REGS)),
    ALLOW(ioctl, "does it wait for its INIT", ARG_IS(1, KVM_GET_MP_STATE)),
    ALLOW(ioctl, "tell the guest's clock about a pause", ARG_IS(1, KVM_KVMCLOCK_CTRL)),
    ALLOW(ioctl, "the driver masks and unmasks a vector", ARG_IS(1, KVM_IRQFD)),
    ALLOW(ioctl, "the driver enables a queue or moves a BAR", ARG_IS(1, KVM_IOEVENTFD)),
    ALLOW(ioctl, "the driver writes a vector's address and data", ARG_IS(1, KVM_SET_GSI_ROUTING)),
    ALLOW(ioctl, "a line of the serial port or of power management", ARG_IS(1, KVM_IRQ_LINE)),
    ALLOW(ioctl, "a configuration interrupt", ARG_IS(1, KVM_SIGNAL_MSI)),
    ALLOW(futex, "locks between the threads",
          ARG_BITS(1, 0xffffffffu & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), FUTEX_WAIT)),
    ALLOW(futex, "locks between the threads",
          ARG_BITS(1, 0xffffffffu & ~FUTEX_PRIVATE_FLAG, FUTEX_WAKE)),
    ALLOW(
        futex, "waits between the threads",
        ARG_BITS(1, 0xffffffffu & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), FUTEX_WAIT_BITSET)),
    ALLOW(poll, "is an interrupt pending while its vector is masked: one eventfd", ARG_IS(1, 1)),
    ALLOW(read, "take note of an interrupt that came while its vector was masked"),
    ALLOW(write, "tell the control thread and the console by eventfd; the log pipe"),
    ALLOW(clock_gettime, "the guest's clock chip, where the vdso has no clock source of its own"),
    ALLOW(rt_sigreturn, "back from the signal that takes it out of the guest"),
    ALLOW(restart_syscall, "a wait that was stopped or traced goes on"),
    ALLOW(exit_group, "end"),
};
static PROFILE_SET(set, rules);

const struct profile profile_core_vcpu = {
    .id = SANDBOX_CORE_VCPU,
    .name = "core_vcpu",
    .max_syscalls = 20,
    .sets = { &set, &profile_extra },
};
