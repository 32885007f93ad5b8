/* SPDX-License-Identifier: Apache-2.0 */
/* reports.c - see reports.h. */
#include "spawner/reports.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/log.h"

void reports_add(struct reports *reports, const struct spawner_report *report, const int *fds)
{
    unsigned at = (reports->first + reports->n) % REPORTS_MAX;

    if (reports->n == REPORTS_MAX) { /* our own count is wrong */
        log_error("a report is lost");
        return;
    }
    reports->waiting[at].report = *report;
    for (unsigned i = 0; i < SPAWNER_REPORT_FDS; i++)
        reports->waiting[at].fds[i] = !fds || fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    reports->n++;
}

int reports_send_one(int socket_fd, const struct spawner_report *report, const int *fds,
                     unsigned n_fds)
{
    int r = fd_send(socket_fd, report, sizeof *report, fds, n_fds, MSG_DONTWAIT);

    if (r == -ETOOMANYREFS)
        return REPORTS_TOO_MANY;
    return r == -EAGAIN || r == -EWOULDBLOCK || r == -ENOBUFS ? REPORTS_NO_ROOM : r;
}

static int send_first(int socket_fd, const struct spawner_report *report, const int *fds)
{
    unsigned n_fds = 0;

    while (n_fds < SPAWNER_REPORT_FDS && fds[n_fds] >= 0)
        n_fds++;
    return reports_send_one(socket_fd, report, fds, n_fds);
}

static void drop_first(struct reports *reports)
{
    for (unsigned i = 0; i < SPAWNER_REPORT_FDS; i++)
        fd_closep(&reports->waiting[reports->first].fds[i]);
    reports->first = (reports->first + 1) % REPORTS_MAX;
    reports->n--;
}

int reports_send(struct reports *reports, int socket_fd)
{
    while (reports->n > 0) {
        int r = send_first(socket_fd, &reports->waiting[reports->first].report,
                           reports->waiting[reports->first].fds);

        if (r != 0)
            return r == REPORTS_NO_ROOM ? 0 : r;
        drop_first(reports);
    }
    return 0;
}

void reports_clear(struct reports *reports)
{
    while (reports->n > 0)
        drop_first(reports);
}

bool reports_have_room(const struct reports *reports)
{
    return reports->n < REPORTS_REQUESTS;
}
