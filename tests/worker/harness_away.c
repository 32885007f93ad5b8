/* SPDX-License-Identifier: Apache-2.0 */
/* harness_away.c - see harness_away.h. */
#include "harness_away.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void wh_go_away(struct wh *wh)
{
    if (wh_has_message(wh, 0))
        wh_die("%s has said something before", wh->config.program);
    for (wh->n_unread = 0; send(wh->far_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;)
        wh->n_unread++;
    if (errno != EAGAIN || wh->n_unread == 0)
        wh_die("filling the socket: %s", strerror(errno));
}

void wh_come_back(struct wh *wh)
{
    char byte[2];

    for (; wh->n_unread > 0; wh->n_unread--)
        if (recv(channel_fd(wh->channel), byte, sizeof byte, MSG_DONTWAIT) != 1)
            wh_die("%s said something while there was no room", wh->config.program);
}

void wh_send_resync(struct wh *wh, uint32_t epoch)
{
    Bulkhead__Resync m = BULKHEAD__RESYNC__INIT;
    ENVELOPE(e, RESYNC, resync, &m);

    m.epoch = epoch;
    wh_send(wh, &e);
}

const Bulkhead__Snapshot *wh_resync(struct wh *wh, uint32_t epoch)
{
    const Bulkhead__Snapshot *s;

    wh_send_resync(wh, epoch);
    s = wh_expect(wh, BULKHEAD__ENVELOPE__BODY_SNAPSHOT)->snapshot;
    if (s->epoch != epoch)
        wh_die("a snapshot of epoch %u where %u was asked for", s->epoch, epoch);
    return s;
}

/* Two beats: the first may be of a turn that had begun. */
void wh_let_it_turn(struct wh *wh)
{
    uint64_t until = __atomic_load_n(&wh->stats->heartbeat, __ATOMIC_RELAXED) + 2;
    uint64_t end = wh_now_ns() + WH_PATIENCE_MS * UINT64_C(1000000);

    while (__atomic_load_n(&wh->stats->heartbeat, __ATOMIC_RELAXED) < until) {
        if (wh_now_ns() > end)
            wh_die("%s hangs", wh->config.program);
        usleep(10000);
    }
}

void wh_expect_silence(struct wh *wh)
{
    struct message msg;

    wh_let_it_turn(wh);
    if (!wh_has_message(wh, 0))
        return;
    if (wh_try_receive(wh, &msg) < 0)
        wh_die("%s is gone: %s", wh->config.program, wh->failure);
    wh_die("%s where nothing was due", rules_body_name(msg.envelope->body_case));
}
