/* SPDX-License-Identifier: Apache-2.0 */
/* core_control.c - the thread of the core that talks to the broker. */
#include <linux/futex.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <signal.h>
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(ioctl, "a queue's notify address of an attached device", ARG_IS(1, KVM_IOEVENTFD)),
    ALLOW(ioctl, "a queue's interrupt of an attached device", ARG_IS(1, KVM_IRQFD)),
    ALLOW(ioctl, "MSI routes of the vectors", ARG_IS(1, KVM_SET_GSI_ROUTING)),
    ALLOW(ioctl, "level of the serial port's and the power button's line",
          ARG_IS(1, KVM_IRQ_LINE)),
    ALLOW(ioctl, "the same, with the level told back", ARG_IS(1, KVM_IRQ_LINE_STATUS)),
    ALLOW(ioctl, "a configuration interrupt", ARG_IS(1, KVM_SIGNAL_MSI)),
    ALLOW(ioctl, "tell the guest's clock about a pause", ARG_IS(1, KVM_KVMCLOCK_CTRL)),
    ALLOW(futex, "wake and wait for the vCPU threads",
          ARG_BITS(1, 0xffffffffu & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), FUTEX_WAIT)),
    ALLOW(futex, "wake and wait for the vCPU threads",
          ARG_BITS(1, 0xffffffffu & ~FUTEX_PRIVATE_FLAG, FUTEX_WAKE)),
    ALLOW(futex, "wait for the vCPU threads with a deadline",
          ARG_BITS(1, 0xffffffffu & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME),
                   FUTEX_WAIT_BITSET)),
    ALLOW(tgkill, "take a vCPU out of the guest"),
    ALLOW(getpid, "tgkill's first argument"),
    ALLOW(gettid, "pthread_kill() to itself"),
    ALLOW(rt_sigprocmask, "pthread_kill() blocks signals meanwhile"),
    ALLOW(munmap, "a joined thread's stack; a detached device's pages"),
    ALLOW(madvise, "a joined thread's stack", ARG_IS(2, MADV_DONTNEED)),
};
static PROFILE_SET(set, rules);

const struct profile profile_core_control = {
    .id = SANDBOX_CORE_CONTROL,
    .name = "core_control",
    .max_syscalls = 32,
    .sets = { &profile_base, &profile_loop, &profile_control, &set, &profile_extra },
};
