/* SPDX-License-Identifier: Apache-2.0 */
/* reports.h - what the spawner has to tell, until the broker takes it: sending never waits. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "spawner/wire.h"

/* While fewer than REPORTS_REQUESTS are waiting a request may be read, which may add one; a child
 * adds two at most, that it started and that it ended. */
enum {
    REPORTS_REQUESTS = 64,
    REPORTS_MAX = REPORTS_REQUESTS + 2 * SPAWNER_MAX_CHILDREN,
};

struct reports {
    unsigned first, n;
    struct {
        struct spawner_report report;
        int fds[SPAWNER_REPORT_FDS]; /* go along, as many as there are; -1: none */
    } waiting[REPORTS_MAX];
};

/* fds (NULL, -1: none, nor any behind it) stay the caller's; duplicates are sent. */
void reports_add(struct reports *reports, const struct spawner_report *report, const int *fds);
enum {
    REPORTS_NO_ROOM = 1, /* until the socket can be written to */
    REPORTS_TOO_MANY,    /* descriptors in flight of this uid: to be tried again later */
};

/* Sends what the socket has room for. 0, REPORTS_TOO_MANY, or a negative errno: the broker is gone. */
int reports_send(struct reports *reports, int socket_fd) must_check;
/* One message at once, past those that wait: fds stay the caller's, SPAWNER_KEPT_FDS at most. 0, one
 * of the two above, or a negative errno. */
int reports_send_one(int socket_fd, const struct spawner_report *report, const int *fds,
                     unsigned n_fds) must_check;
void reports_clear(struct reports *reports);
/* May another request be read? */
bool reports_have_room(const struct reports *reports);
