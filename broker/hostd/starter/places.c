/* SPDX-License-Identifier: Apache-2.0 */
/* places.c - see places.h. */
#include "hostd/starter/places.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/fd.h"

struct place *places_find(struct starter *s, const char *tenant, const char *vm)
{
    for (unsigned i = 0; i < STATE_MAX_VMS; i++)
        if (strcmp(s->places[i].vm, vm) == 0 && strcmp(s->places[i].tenant, tenant) == 0)
            return &s->places[i];
    return NULL;
}

struct place *places_take(struct starter *s, const char *tenant, const char *vm)
{
    struct place *place = places_find(s, tenant, vm);

    for (unsigned i = 0; !place && i < STATE_MAX_VMS; i++) {
        if (s->places[i].vm[0] != '\0')
            continue;
        place = &s->places[i];
        *place = (struct place){ .starter = s };
        snprintf(place->tenant, sizeof place->tenant, "%s", tenant);
        snprintf(place->vm, sizeof place->vm, "%s", vm);
        process_forget(&place->broker);
        process_forget(&place->launcher);
        process_forget(&place->console);
        place->fifo_fd = -1;
        place->console_starts = (struct sandbox_spawning){ .error_fd = -1, .pidfd = -1 };
    }
    if (!place)
        err_origin(-ENOSPC, "%d VMs have processes", STATE_MAX_VMS);
    return place;
}

void places_settle(struct place *place)
{
    if (place->broker.pid != 0 || place->broker_leaves || place->launcher.pid != 0 ||
        place->console.pid != 0 || place->console_next)
        return;
    fd_closep(&place->fifo_fd);
    place->vm[0] = place->tenant[0] = '\0';
}

bool places_lives(struct starter *s, const char *tenant, const char *vm)
{
    const struct place *place = places_find(s, tenant, vm);

    return (place && place->broker.pid != 0) || folders_is_held(&s->folders, tenant, vm);
}

void places_tick(struct starter *s)
{
    if (!s->ticks)
        (void)loop_timer_arm(s->tick, STATE_TICK_MS, false);
    s->ticks = true;
}

void places_ignore_end(void *arg, int status)
{
    (void)arg;
    (void)status;
}
