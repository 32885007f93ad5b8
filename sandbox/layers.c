/* SPDX-License-Identifier: Apache-2.0 */
/* layers.c - see layers.h. */
#include "sandbox/layers.h"

#include <stddef.h>
#include "base/compiler.h"

static const char *const names[] = {
    "userns",        "uid",      "pidns",
    "mntns",         "netns",    "ipcns",
    "utsns",         "cgroupns", "cgroup",
    "root",          "caps",     "nnp",
    "undumpable",    "rlimits",  "landlock",
    "seccomp",       "mdwe",     "userns replaced by a uid without capabilities",
    "cgroup limits",
};

const char *sandbox_layer_name(unsigned layer)
{
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (layer == 1u << i)
            return names[i];
    return NULL;
}
