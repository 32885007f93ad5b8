/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c - the boot loader, gone before the guest's first instruction. */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include "profile.h"

static const struct profile_rule rules[] = {
    ALLOW(poll, "one descriptor: a full control socket", ARG_IS(1, 1)),
    ALLOW(pread64, "the kernel and the initramfs"),
    ALLOW(preadv, "the kernel and the initramfs, into guest RAM"),
    ALLOW(lseek, "the size of a block device"),
    ALLOW(newfstatat, "the size of a file that is open; the root is empty",
          ARG_BITS(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
    ALLOW(mmap, "scratch memory, never executable", ARG_BITS(2, PROT_EXEC, 0),
          ARG_IS(3, MAP_PRIVATE | MAP_ANONYMOUS)),
    ALLOW(munmap, "scratch memory"),
};
static PROFILE_SET(set, rules);

const struct profile profile_loader = {
    .id = SANDBOX_LOADER,
    .name = "loader",
    .max_syscalls = 20,
    .sets = { &profile_base, &profile_control, &set, &profile_extra },
};
