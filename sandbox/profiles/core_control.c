/* SPDX-License-Identifier: Apache-2.0 */
/* core_control.c - the thread of the core that talks to the broker. */
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(epoll_wait, "sleep until the broker, a vCPU or the console's input has something"),
    ALLOW(epoll_ctl, "watch for room in the control socket"),
    ALLOW(poll, "one descriptor: an eventfd without blocking", ARG_IS(1, 1)),
    ALLOW(ioctl, "a queue's notify address of an attached device", ARG_IS(1, KVM_IOEVENTFD)),
    ALLOW(ioctl, "a queue's interrupt of an attached device", ARG_IS(1, KVM_IRQFD)),
    ALLOW(ioctl, "MSI routes of the vectors", ARG_IS(1, KVM_SET_GSI_ROUTING)),
    ALLOW(ioctl, "level of the serial port's and the event device's line", ARG_IS(1, KVM_IRQ_LINE)),
    ALLOW(ioctl, "a configuration interrupt", ARG_IS(1, KVM_SIGNAL_MSI)),
    ALLOW(futex, "locks between the threads",
          ARG_BITS(1, 0xffffffffu & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), FUTEX_WAIT)),
    ALLOW(futex, "locks between the threads; let the vCPU threads go on",
          ARG_BITS(1, 0xffffffffu & ~FUTEX_PRIVATE_FLAG, FUTEX_WAKE)),
    ALLOW(
        futex, "waits between the threads",
        ARG_BITS(1, 0xffffffffu & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), FUTEX_WAIT_BITSET)),
    ALLOW(tgkill, "take a vCPU out of the guest", ARG_IS(2, SIGUSR1)),
};
static PROFILE_SET(set, rules);

const struct profile profile_core_control = {
    .id = SANDBOX_CORE_CONTROL,
    .name = "core_control",
    .max_syscalls = 32,
    .sets = { &profile_base, &profile_control, &set, &profile_extra },
};
