/* SPDX-License-Identifier: Apache-2.0 */
/* excess.c - see excess.h. */
#include "spawner/excess.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "base/log.h"
#include "sandbox/cgroup.h"
#include "spawner/cgroups.h"
#include "spawner/children.h"

enum { PATH_BYTES = SPAWNER_NAME_BYTES + 64, EVENTS_BYTES = 4096 };

void excess_init(struct excess *excess)
{
    excess->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    for (unsigned i = 0; i < SPAWNER_MAX_SLOTS; i++)
        excess->watches[i] = -1;
}

bool excess_watch(struct state *s, uint32_t slot)
{
    const struct spawner_slot *setup = &s->slots.of[slot];
    char path[PATH_BYTES];
    int watch;

    if (setup->memory_high == 0 || s->groups->vm_fd < 0)
        return true;
    snprintf(path, sizeof path, "/proc/self/fd/%d/%.*s/memory.events", s->groups->vm_fd,
             SPAWNER_NAME_BYTES, setup->name);
    watch = inotify_add_watch(s->excess.fd, path, IN_MODIFY);
    if (s->excess.watches[slot] >= 0 && s->excess.watches[slot] != watch)
        (void)inotify_rm_watch(s->excess.fd, s->excess.watches[slot]); /* of one that is gone */
    s->excess.watches[slot] = watch;
    return watch >= 0;
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

void excess_look(struct state *s)
{
    union {
        struct inotify_event event;
        char bytes[EVENTS_BYTES];
    } buffer;
    ssize_t n = read(s->excess.fd, buffer.bytes, sizeof buffer.bytes);

    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(buffer.bytes + at);
        bool any = e->mask & IN_Q_OVERFLOW;

        for (uint32_t slot = 0; slot < SPAWNER_MAX_SLOTS; slot++)
            if (s->excess.watches[slot] >= 0 && (any || s->excess.watches[slot] == e->wd))
                look_at(s, slot);
        at += (ssize_t)(sizeof *e + e->len);
    }
}
