/* SPDX-License-Identifier: Apache-2.0 */
/* core_vcpu.c - a thread that runs a vCPU. */
#include <linux/futex.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(ioctl, "run the guest", ARG_IS(1, KVM_RUN)),
    ALLOW(ioctl, "the entry state", ARG_IS(1, KVM_SET_REGS)),
    ALLOW(ioctl, "the entry state", ARG_IS(1, KVM_SET_SREGS)),
    ALLOW(ioctl, "the entry state; where the guest was when it failed", ARG_IS(1, KVM_GET_REGS)),
    ALLOW(ioctl, "the entry state; where the guest was when it failed", ARG_IS(1, KVM_GET_SREGS)),
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
    ALLOW(futex, "waits between the threads",
          ARG_BITS(1, 0xffffffffu & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME),
                   FUTEX_WAIT_BITSET)),
    ALLOW(exit, "the thread ends"),
    ALLOW(rt_sigprocmask, "the kick signal is blocked outside of KVM_RUN; a thread ends"),
    ALLOW(madvise, "the stack of a thread that ends", ARG_IS(2, MADV_DONTNEED)),
    ALLOW(poll, "take an eventfd's count without blocking", ARG_IS(1, 1)),
};
static PROFILE_SET(set, rules);

const struct profile profile_core_vcpu = {
    .id = SANDBOX_CORE_VCPU,
    .name = "core_vcpu",
    .max_syscalls = 20,
    .sets = { &profile_base, &set, &profile_extra },
};
