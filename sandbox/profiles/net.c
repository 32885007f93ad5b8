/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - the network device. */
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(io_uring_enter,
          "many frames to the tap at once; the ring itself only takes writes to the taps "
          "(IORING_REGISTER_RESTRICTIONS)",
          ARG_ONLY(3, IORING_ENTER_GETEVENTS)),
    ALLOW(writev, "a frame from the guest's buffers to the tap or passt"),
    ALLOW(recvfrom, "look at passt's frames before they are taken", ARG_NULL(4),
          ARG_ONLY(3, MSG_PEEK | MSG_DONTWAIT)),
    ALLOW(ioctl, "the offloads that the driver took at DRIVER_OK", ARG_IS(1, TUNSETOFFLOAD)),
    ALLOW(ioctl, "attach and detach queue pairs as the driver asks", ARG_IS(1, TUNSETQUEUE)),
};
static PROFILE_SET(set, rules);

const struct profile profile_net = {
    .id = SANDBOX_NET,
    .name = "net",
    .max_syscalls = 20,
    .sets = { &profile_base, &profile_loop, &profile_control, &profile_ram, &set, &profile_extra },
};
