/* SPDX-License-Identifier: Apache-2.0 */
/* failpoint.c - see failpoint.h. Part of builds with BH_FAILPOINTS only. */
#include "failpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct {
    char name[32];
    unsigned left;
} armed;

int failpoint_arm(const char *spec)
{
    char name[sizeof armed.name];
    unsigned count = 0;

    if (sscanf(spec, "%31[a-z_]:%u", name, &count) != 2 || count == 0)
        return -EINVAL;
    memcpy(armed.name, name, sizeof name);
    armed.left = count;
    return 0;
}

void failpoint_hit(const char *name)
{
    if (armed.left > 0 && strcmp(armed.name, name) == 0 && --armed.left == 0)
        __builtin_trap();
}
