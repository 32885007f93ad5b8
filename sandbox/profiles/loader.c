/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c - the boot loader, gone before the guest's first instruction. */
#include "common.h"
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(poll, "one descriptor: a full control socket", ARG_IS(1, 1)),
    ALLOW(pread64, "the kernel and the initramfs, into guest RAM"),
    ALLOW(lseek, "the size of a file or a block device"),
};
static PROFILE_SET(set, rules);

const struct profile profile_loader = {
    .id = SANDBOX_LOADER,
    .name = "loader",
    .max_syscalls = 16,
    .sets = { &profile_base, &profile_control, &set, &profile_extra },
};
