/* SPDX-License-Identifier: Apache-2.0 */
/* tell.c - see tell.h. */
#include "hostd/starter/tell.h"

#include <stdarg.h>
#include <stdio.h>
#include "base/err.h"
#include "hostd/starter/places.h"

void tell_flush(struct starter *s)
{
    int r = out_send(&s->out, s->fd);
    bool wants_room;

    if (r < 0) /* its end is seen where requests are read */
        out_clear(&s->out);
    if (r == OUT_LATER)
        places_tick(s);
    wants_room = r == OUT_NO_ROOM || s->listing.id != 0; /* of which the rest follows then */
    if (wants_room == s->awaits_room)
        return;
    s->awaits_room = wants_room;
    (void)(s->awaits_room ? loop_event_resume(s->room_event) : loop_event_pause(s->room_event));
}

static void add(struct starter *s, const struct starter_report *report, const void *bytes, int *fds,
                unsigned n_fds)
{
    out_add(&s->out, report, bytes, fds, n_fds);
    tell_flush(s);
}

void tell_failed(struct starter *s, uint32_t id, int r, const char *text)
{
    struct starter_report report = { .kind = STARTER_DONE, .id = id, .error = -r };

    snprintf(report.text, sizeof report.text, "%s", text);
    add(s, &report, NULL, NULL, 0);
}

void tell_done(struct starter *s, uint32_t id, int r, int *fds, unsigned n_fds)
{
    const struct starter_report report = { .kind = STARTER_DONE, .id = id };

    if (r < 0)
        tell_failed(s, id, r, err_text());
    else
        add(s, &report, NULL, fds, n_fds);
}

void tell_bytes(struct starter *s, const struct starter_report *report, const void *bytes)
{
    add(s, report, bytes, NULL, 0);
}

void tell_ended(struct starter *s, uint32_t kind, const struct place *place, const char *fmt, ...)
{
    struct starter_report report = { .kind = kind };
    va_list args;

    snprintf(report.tenant, sizeof report.tenant, "%s", place->tenant);
    snprintf(report.vm, sizeof report.vm, "%s", place->vm);
    va_start(args, fmt);
    vsnprintf(report.text, sizeof report.text, fmt, args);
    va_end(args);
    add(s, &report, NULL, NULL, 0);
}
