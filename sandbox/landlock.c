/* SPDX-License-Identifier: Apache-2.0 */
/* landlock.c - see landlock.h. Of a child a ruleset without a rule: a second wall behind the empty root and the filter.
 * Of the broker one that lets it read its programs' folders, to see what is installed now; of who keeps a socket's file,
 * one that lets it remove files in that folder; of a program that was handed over one that lets it be executed.
 * The numbers are the kernel's; headers of the build may be older than the running kernel. */
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

struct ruleset { /* struct landlock_ruleset_attr */
    uint64_t fs, net, scoped;
};

/* What each ABI version added. */
static const struct {
    unsigned fs_bits; /* access rights known, from bit 0 */
    uint64_t net;     /* bind and connect TCP */
    uint64_t scoped;  /* abstract unix sockets, signals */
    size_t size;
} abis[] = {
    [1] = { 13, 0, 0, 8 },  [2] = { 14, 0, 0, 8 },  [3] = { 15, 0, 0, 8 },
    [4] = { 15, 3, 0, 16 }, [5] = { 16, 3, 0, 16 }, [6] = { 16, 3, 3, 24 },
};

enum { RULE_PATH_BENEATH = 1 };

struct beneath { /* struct landlock_path_beneath_attr */
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

int landlock_enter(const int *places, unsigned n, enum landlock_right right)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* VERSION */);
    cleanup_(fd_closep) int fd = -1;
    struct ruleset ruleset;
    size_t abi;

    if (version < 1)
        return err_origin(version < 0 ? -errno : -ENOSYS, "landlock");
    abi = MIN((size_t)version, ARRAY_SIZE(abis) - 1);
    ruleset = (struct ruleset){ .fs = (1ull << abis[abi].fs_bits) - 1,
                                .net = abis[abi].net,
                                .scoped = abis[abi].scoped };
    fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, abis[abi].size, 0u);
    if (fd < 0)
        return err_origin(-errno, "landlock ruleset of ABI %zu", abi);
    for (unsigned i = 0; i < n; i++) {
        struct beneath rule = { .allowed = right, .parent_fd = places[i] };

        if (places[i] >= 0 && syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &rule, 0u) < 0)
            return err_origin(-errno, "landlock rule");
    }
    if (syscall(SYS_landlock_restrict_self, fd, 0u) < 0)
        return err_origin(-errno, "landlock");
    return 0;
}
