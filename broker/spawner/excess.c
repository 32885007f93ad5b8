/* SPDX-License-Identifier: Apache-2.0 */
/* excess.c - see excess.h. */
#include "spawner/excess.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "sandbox/cgroup.h"
#include "spawner/cgroups.h"
#include "spawner/children.h"

enum { PATH_BYTES = SPAWNER_NAME_BYTES + 64 };

void excess_init(struct excess *excess)
{
    for (unsigned i = 0; i < SPAWNER_MAX_SLOTS; i++)
        excess->events[i] = -1;
}

/* Until the next event poll() is quiet then. The group may be gone: that is an error, and would be one for ever. */
static bool take_event(struct excess *excess, uint32_t slot)
{
    char text[256];

    if (pread(excess->events[slot], text, sizeof text, 0) >= 0)
        return true;
    fd_closep(&excess->events[slot]);
    return false;
}

bool excess_watch(struct state *s, uint32_t slot)
{
    const struct spawner_slot *setup = &s->slots.of[slot];
    char path[PATH_BYTES];

    fd_closep(&s->excess.events[slot]); /* perhaps of a group that is gone */
    if (setup->memory_high == 0 || s->groups->vm_fd < 0)
        return true;
    snprintf(path, sizeof path, "%.*s/memory.events", SPAWNER_NAME_BYTES, setup->name);
    s->excess.events[slot] = openat(s->groups->vm_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return s->excess.events[slot] >= 0 && take_event(&s->excess, slot);
}

/* What counts as the memory of that group now; 0: it can't be read. */
static uint64_t memory_of(const struct state *s, const char *name)
{
    char path[PATH_BYTES], text[32];

    snprintf(path, sizeof path, "%.*s/memory.current", SPAWNER_NAME_BYTES, name);
    return sandbox_cgroup_read(s->groups->vm_fd, path, text, sizeof text) < 0
               ? 0
               : strtoull(text, NULL, 10);
}

static void look_at(struct state *s, uint32_t slot)
{
    const struct spawner_slot *setup = &s->slots.of[slot];
    const uint64_t most = setup->memory_high + (setup->memory_max - setup->memory_high) / 4;
    const uint64_t now = memory_of(s, setup->name);

    if (now <= most)
        return;
    for (unsigned i = 0; i < SPAWNER_MAX_CHILDREN; i++) {
        const struct spawned *child = &s->children[i];

        if (child->pid == 0 || child->slot != slot)
            continue;
        log_warn("%s (pid %d) is killed: its group has %llu MiB of memory, %llu are enough",
                 setup->name, (int)child->pid, (unsigned long long)now >> 20,
                 (unsigned long long)setup->memory_high >> 20);
        children_kill(child);
    }
}

bool excess_look(struct state *s, int fd)
{
    for (uint32_t slot = 0; slot < SPAWNER_MAX_SLOTS; slot++) {
        if (fd < 0 || s->excess.events[slot] != fd)
            continue;
        if (take_event(&s->excess, slot))
            look_at(s, slot);
        return true;
    }
    return false;
}
