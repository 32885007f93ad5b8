/* SPDX-License-Identifier: Apache-2.0 */
/* caps.c - see caps.h; through libcap-ng. */
#include "sandbox/caps.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"

/* uid 0 means nothing, keeping capabilities over setuid is off, ambient ones can't be raised; and
 * none of this can be changed back. */
static const unsigned long locked_bits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

static int read_sets(uint64_t *ret_all)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *ret_all = data[0].effective | data[0].permitted | data[0].inheritable |
               ((uint64_t)(data[1].effective | data[1].permitted | data[1].inheritable) << 32);
    return 0;
}

static uint64_t bounding_set(void)
{
    uint64_t set = 0;

    for (unsigned cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            set |= 1ull << cap;
    return set;
}

bool caps_none(void)
{
    uint64_t all = 0;

    return read_sets(&all) == 0 && all == 0;
}

static bool has_effective(unsigned cap)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    return syscall(SYS_capget, &header, data) == 0 &&
           (data[cap / 32].permitted & (1u << (cap % 32))) != 0;
}

int caps_enter(uint64_t keep)
{
    bool setpcap = has_effective(CAP_SETPCAP);
    uint64_t left = 0;

    if (setpcap && prctl(PR_SET_SECUREBITS, locked_bits, 0, 0, 0) < 0)
        return err_origin(-errno, "securebits");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return err_origin(-errno, "ambient capabilities");
    for (unsigned cap = 0; cap < 64; cap++)
        if ((keep & (1ull << cap)) && (cap > CAP_LAST_CAP || !has_effective(cap)))
            keep &= ~(1ull << cap); /* keeping is not gaining */
    capng_clear(CAPNG_SELECT_BOTH);
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (keep & (1ull << cap))
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, cap);
    if (capng_apply(setpcap ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0)
        return err_origin(-EPERM, "dropping capabilities");

    /* Believe the kernel, not the library: it may know more capabilities than the build did. */
    if (read_sets(&left) < 0 || (left & ~keep) != 0)
        return err_origin(-EPERM, "capabilities %llx are left", (unsigned long long)left);
    left = bounding_set();
    if (setpcap && (left & ~keep) != 0)
        return err_origin(-EPERM, "bounding set %llx is left", (unsigned long long)left);
    return 0;
}
