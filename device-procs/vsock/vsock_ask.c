/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_ask.c - see vsock_ask.h. */
#include "vsock_ask.h"

#include "base/err.h"
#include "common/worker.h"
#include "common/worker_say.h"
#include "ipc/channel.h"

static bool is_due(const struct vsock_conn *conn)
{
    return conn->state == VSOCK_OPENING && conn->ask_due;
}

/* One by one: only while the broker is behind with reading are there any. */
static unsigned n_due(const struct vsock *v)
{
    unsigned n = 0;

    for (unsigned i = 0; v->ask_due && i < VSOCK_MAX_CONNECTIONS; i++)
        n += is_due(&v->table.conns[i]);
    return n;
}

bool vsock_ask_may(const struct vsock *v)
{
    return v->n_asked + n_due(v) < VSOCK_MAX_ASKED;
}

void vsock_ask(struct vsock_conn *conn)
{
    struct vsock *v = conn->vsock;

    conn->ask_due = v->ask_due = true;
    worker_say_more(v->worker);
}

void vsock_ask_answered(struct vsock *v)
{
    v->n_asked -= v->n_asked > 0;
}

static int say(struct vsock_conn *conn)
{
    Bulkhead__VsockConnect connect = BULKHEAD__VSOCK_CONNECT__INIT;
    ENVELOPE(e, VSOCK_CONNECT, vsock_connect, &connect);

    connect.port = conn->host_port;
    connect.token = vsock_table_token(&conn->vsock->table, conn);
    return worker_send(conn->vsock->worker, &e);
}

int vsock_ask_say(void *device)
{
    struct vsock *v = device;

    for (unsigned i = 0; v->ask_due && i < VSOCK_MAX_CONNECTIONS; i++) {
        struct vsock_conn *conn = &v->table.conns[i];
        int r;

        if (!is_due(conn))
            continue;
        r = say(conn);
        if (r < 0)
            return err_trace(r);
        conn->ask_due = false;
        v->n_asked++;
    }
    v->ask_due = false;
    return 0;
}

/* The old broker's answers have all arrived; to what is still open there will be none from it. */
void vsock_ask_snapshot(void *device, Bulkhead__Snapshot *snapshot)
{
    struct vsock *v = device;

    (void)snapshot;
    v->n_asked = 0;
    for (unsigned i = 0; i < VSOCK_MAX_CONNECTIONS; i++)
        v->table.conns[i].ask_due = v->table.conns[i].state == VSOCK_OPENING;
    v->ask_due = true;
    worker_say_more(v->worker);
}
