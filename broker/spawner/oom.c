/* SPDX-License-Identifier: Apache-2.0 */
/* oom.c - see oom.h. */
#include "spawner/oom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sandbox/cgroup.h"
#include "spawner/cgroups.h"

/* How many the kernel has killed in the slot's group; 0 where it doesn't count. */
static uint64_t count_kills(const struct state *s, uint32_t slot)
{
    char path[SPAWNER_NAME_BYTES + 32], text[512];
    const char *line;

    if (s->groups->vm_fd < 0)
        return 0;
    snprintf(path, sizeof path, "%.*s/memory.events", SPAWNER_NAME_BYTES, s->slots.of[slot].name);
    if (sandbox_cgroup_read_all(s->groups->vm_fd, path, text, sizeof text) < 0)
        return 0;
    line = strstr(text, "oom_kill ");
    return line ? strtoull(line + strlen("oom_kill "), NULL, 10) : 0;
}

void oom_begin(struct state *s, uint32_t slot)
{
    s->oom_kills[slot] = count_kills(s, slot);
}

bool oom_took(struct state *s, uint32_t slot)
{
    if (count_kills(s, slot) <= s->oom_kills[slot])
        return false;
    s->oom_kills[slot]++;
    return true;
}
