/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_watch.c - the device's own watches: the listening socket, and the timer of all deadlines. */
#include "vsock_watch.h"

void vsock_watch_listen(struct vsock *v, bool on)
{
    on = on && !v->parting;
    if (v->listen_paused == !on)
        return;
    v->listen_paused = !on;
    if (on)
        (void)loop_event_resume(v->listen_event);
    else
        (void)loop_event_pause(v->listen_event);
}

void vsock_watch_sweep(struct vsock *v)
{
    if (v->sweep_armed)
        return;
    v->sweep_armed = true;
    (void)loop_timer_arm(v->sweep, VSOCK_SWEEP_MS, true);
}

void vsock_watch_deadline(struct vsock_conn *conn, uint64_t ms)
{
    struct vsock *v = conn->vsock;

    conn->deadline_ns = now_ns() + ms * 1000000;
    vsock_watch_sweep(v);
}
