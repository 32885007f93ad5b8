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

static bool is_leaving(const struct place *place)
{
    return place->broker.pid == 0 && !place->broker_leaves &&
           (place->launcher.pid != 0 || place->old_launcher.pid != 0);
}

static void init(struct place *place, struct starter *s, const char *tenant, const char *vm)
{
    *place = (struct place){ .starter = s };
    snprintf(place->tenant, sizeof place->tenant, "%s", tenant);
    snprintf(place->vm, sizeof place->vm, "%s", vm);
    process_forget(&place->broker);
    process_forget(&place->launcher);
    process_forget(&place->old_launcher);
    process_forget(&place->console);
    process_forget(&place->note);
    process_forget(&place->killer);
    place->fifo_fd = -1;
    place->console_starts = (struct sandbox_spawning){ .error_fd = -1, .pidfd = -1 };
}

static int take(struct starter *s, const char *tenant, const char *vm, unsigned max_leaving,
                struct place **ret_place)
{
    struct place *free_place = NULL;
    unsigned n_leaving = 0;

    *ret_place = places_find(s, tenant, vm);
    if (*ret_place)
        return 0;
    for (unsigned i = 0; i < STATE_MAX_VMS; i++) {
        struct place *place = &s->places[i];

        if (place->vm[0] == '\0')
            free_place = free_place ? free_place : place;
        else if (strcmp(place->tenant, tenant) == 0 && is_leaving(place))
            n_leaving++;
    }
    if (n_leaving >= max_leaving)
        return err_origin(-EAGAIN, "%u earlier starts are not over: a file system doesn't answer",
                          n_leaving);
    if (!free_place)
        return err_origin(-ENOSPC, "%d VMs have processes", STATE_MAX_VMS);
    init(free_place, s, tenant, vm);
    *ret_place = free_place;
    return 0;
}

int places_take(struct starter *s, const char *tenant, const char *vm, struct place **ret_place)
{
    return take(s, tenant, vm, STATE_MAX_LEAVING, ret_place);
}

int places_take_running(struct starter *s, const char *tenant, const char *vm,
                        struct place **ret_place)
{
    return take(s, tenant, vm, STATE_MAX_VMS + 1, ret_place);
}

void places_settle(struct place *place)
{
    if (place->broker.pid != 0 || place->broker_leaves || place->launcher.pid != 0 ||
        place->old_launcher.pid != 0 || place->console.pid != 0 || place->note.pid != 0 ||
        place->console_next || place->killer.pid != 0)
        return;
    fd_closep(&place->fifo_fd);
    place->vm[0] = place->tenant[0] = '\0';
}

bool places_lives(struct starter *s, const char *tenant, const char *vm)
{
    const struct place *place = places_find(s, tenant, vm);

    return (place && (place->broker.pid != 0 || place->killer.pid != 0)) ||
           folders_is_held(&s->folders, tenant, vm);
}

void places_tick(struct starter *s)
{
    if (!s->ticks)
        (void)loop_timer_arm(s->tick, STATE_TICK_MS, false);
    s->ticks = true;
}
