/* SPDX-License-Identifier: Apache-2.0 */
/* out.c - see out.h. */
#include "hostd/starter/out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/log.h"

struct out_item {
    struct out_item *next;
    int fds[STARTER_MAX_FDS];
    unsigned n_fds;
    size_t len; /* of the datagram */
    uint8_t datagram[];
};

void out_init(struct out *out)
{
    *out = (struct out){ 0 };
    out->last = &out->first;
}

static void drop_first(struct out *out)
{
    struct out_item *item = out->first;

    out->first = item->next;
    if (!out->first)
        out->last = &out->first;
    out->n--;
    for (unsigned i = 0; i < item->n_fds; i++)
        fd_closep(&item->fds[i]);
    free(item);
}

void out_clear(struct out *out)
{
    while (out->first)
        drop_first(out);
}

void out_add(struct out *out, const struct starter_report *report, const void *bytes, int *fds,
             unsigned n_fds)
{
    struct out_item *item = malloc(sizeof *item + sizeof *report + report->len);

    if (!item) {
        log_error("no memory for a report to hostd");
        for (unsigned i = 0; i < n_fds; i++)
            fd_closep(&fds[i]);
        return;
    }
    *item = (struct out_item){ .n_fds = n_fds, .len = sizeof *report + report->len };
    memcpy(item->datagram, report, sizeof *report);
    if (report->len > 0)
        memcpy(item->datagram + sizeof *report, bytes, report->len);
    for (unsigned i = 0; i < n_fds; i++)
        item->fds[i] = fd_take(&fds[i]);
    *out->last = item;
    out->last = &item->next;
    out->n++;
}

int out_send(struct out *out, int socket_fd)
{
    while (out->first) {
        const struct out_item *item = out->first;
        int r = fd_send(socket_fd, item->datagram, item->len, item->fds, item->n_fds, MSG_DONTWAIT);

        if (r == -EAGAIN)
            return OUT_NO_ROOM;
        if (r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM)
            return OUT_LATER;
        if (r < 0)
            return r;
        drop_first(out);
    }
    return 0;
}
