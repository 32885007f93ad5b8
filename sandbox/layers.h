/* SPDX-License-Identifier: Apache-2.0 */
/* layers.h - what a sandbox is made of, as bits; see invariant I7 for which are mandatory. */
#pragma once

enum {
    SANDBOX_LAYER_USERNS = 1 << 0,
    SANDBOX_LAYER_UID = 1 << 1, /* a uid of its own, not only the caller's in a user namespace */
    SANDBOX_LAYER_PIDNS = 1 << 2,
    SANDBOX_LAYER_MNTNS = 1 << 3,
    SANDBOX_LAYER_NETNS = 1 << 4,
    SANDBOX_LAYER_IPCNS = 1 << 5,
    SANDBOX_LAYER_UTSNS = 1 << 6,
    SANDBOX_LAYER_CGROUPNS = 1 << 7,
    SANDBOX_LAYER_CGROUP = 1 << 8,
    SANDBOX_LAYER_ROOT = 1 << 9,
    SANDBOX_LAYER_CAPS = 1 << 10,
    SANDBOX_LAYER_NNP = 1 << 11,
    SANDBOX_LAYER_UNDUMPABLE = 1 << 12,
    SANDBOX_LAYER_RLIMITS = 1 << 13,
    SANDBOX_LAYER_LANDLOCK = 1 << 14,
    SANDBOX_LAYER_SECCOMP = 1 << 15,
    SANDBOX_LAYER_MDWE = 1 << 16,
    /* Not a layer. A host that makes no user namespaces: the process has a host uid of its own, and
     * neither capabilities nor the host's root from before its first instruction. Reported beside
     * the missing layers, in place of SANDBOX_LAYER_USERNS. */
    SANDBOX_USERNS_REPLACED = 1 << 17,
    SANDBOX_LAYER_CGROUP_LIMITS = 1 << 18, /* of its cgroup, all that were wanted */
};

const char *sandbox_layer_name(unsigned layer); /* one bit -> "netns"; NULL: no such layer */

/* What invariant I7 makes mandatory: without these nothing starts, unless --insecure. */
#define SANDBOX_LAYERS_MANDATORY                                                                   \
    (SANDBOX_LAYER_USERNS | SANDBOX_LAYER_NETNS | SANDBOX_LAYER_ROOT | SANDBOX_LAYER_CAPS |        \
     SANDBOX_LAYER_NNP | SANDBOX_LAYER_SECCOMP)
