/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_table.c - the connections: a fixed number, found by their two ports. */
#include "vsock_table.h"

#include <errno.h>
#include <sys/mman.h>
#include "base/err.h"

/* Host ports of host programs start above what a guest's service would ask for. */
#define FIRST_HOST_PORT 0x40000000u

int vsock_table_init(struct vsock_table *table)
{
    size_t bytes = (size_t)VSOCK_MAX_CONNECTIONS * VSOCK_BUFFER_BYTES;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if (p == MAP_FAILED)
        return err_origin(-errno, "connection buffers");
    table->buffers = p;
    table->next_host_port = FIRST_HOST_PORT;
    for (unsigned i = VSOCK_MAX_CONNECTIONS; i-- > 0;) {
        table->conns[i].fd = -1;
        table->conns[i].free_next = table->free;
        table->free = &table->conns[i];
    }
    return 0;
}

static unsigned index_of(const struct vsock_table *table, const struct vsock_conn *conn)
{
    return (unsigned)(conn - table->conns);
}

static struct vsock_conn **slot_of(struct vsock_table *table, uint32_t host_port,
                                   uint32_t guest_port)
{
    /* Fibonacci hashing; a guest that makes its own lookups slow has only itself to blame, and
     * the chain is no longer than the table. */
    uint32_t h = (host_port * 0x9e3779b1u) ^ (guest_port * 0x85ebca77u);

    return &table->hash[(h >> 16) % VSOCK_HASH_SLOTS];
}

struct vsock_conn *vsock_table_new(struct vsock_table *table)
{
    struct vsock_conn *conn = table->free;
    uint32_t generation;

    if (!conn)
        return NULL;
    table->free = conn->free_next;
    table->n_used++;
    generation = conn->generation + 1;
    *conn = (struct vsock_conn){ .fd = -1, .generation = generation };
    fifo_init(&conn->to_host, table->buffers + (size_t)index_of(table, conn) * VSOCK_BUFFER_BYTES,
              VSOCK_BUFFER_BYTES);
    return conn;
}

void vsock_table_enter(struct vsock_table *table, struct vsock_conn *conn, uint32_t host_port,
                       uint32_t guest_port)
{
    struct vsock_conn **slot = slot_of(table, host_port, guest_port);

    conn->host_port = host_port;
    conn->guest_port = guest_port;
    conn->hash_next = *slot;
    *slot = conn;
}

static void leave(struct vsock_table *table, struct vsock_conn *conn)
{
    struct vsock_conn **at = slot_of(table, conn->host_port, conn->guest_port);

    vsock_table_unwait(table, conn);
    while (*at && *at != conn)
        at = &(*at)->hash_next;
    if (*at)
        *at = conn->hash_next;
}

void vsock_table_linger(struct vsock_table *table, struct vsock_conn *conn)
{
    leave(table, conn);
    conn->state = VSOCK_LINGERING;
    conn->lingers_since = ++table->n_lingered;
}

struct vsock_conn *vsock_table_oldest_lingering(struct vsock_table *table)
{
    struct vsock_conn *oldest = NULL;

    for (unsigned i = 0; i < VSOCK_MAX_CONNECTIONS; i++) {
        struct vsock_conn *conn = &table->conns[i];

        if (conn->state == VSOCK_LINGERING &&
            (!oldest || conn->lingers_since < oldest->lingers_since))
            oldest = conn;
    }
    return oldest;
}

void vsock_table_free(struct vsock_table *table, struct vsock_conn *conn)
{
    leave(table, conn);
    conn->state = VSOCK_FREE;
    conn->free_next = table->free;
    table->free = conn;
    table->n_used--;
}

struct vsock_conn *vsock_table_find(struct vsock_table *table, uint32_t host_port,
                                    uint32_t guest_port)
{
    struct vsock_conn *conn = *slot_of(table, host_port, guest_port);

    while (conn && (conn->host_port != host_port || conn->guest_port != guest_port))
        conn = conn->hash_next;
    return conn;
}

uint32_t vsock_table_port(struct vsock_table *table, uint32_t guest_port)
{
    uint32_t port;

    do { /* ends: there are more ports than connections */
        port = table->next_host_port++;
        if (table->next_host_port == UINT32_MAX)
            table->next_host_port = FIRST_HOST_PORT;
    } while (vsock_table_find(table, port, guest_port));
    return port;
}

uint32_t vsock_table_token(const struct vsock_table *table, const struct vsock_conn *conn)
{
    return conn->generation << 16 | index_of(table, conn);
}

struct vsock_conn *vsock_table_by_token(struct vsock_table *table, uint32_t token)
{
    unsigned index = token & 0xffff;
    struct vsock_conn *conn;

    if (index >= VSOCK_MAX_CONNECTIONS)
        return NULL;
    conn = &table->conns[index];
    return conn->state != VSOCK_FREE && vsock_table_token(table, conn) == token ? conn : NULL;
}

void vsock_table_wait(struct vsock_table *table, struct vsock_conn *conn)
{
    if (conn->waiting)
        return;
    conn->waiting = true;
    conn->wait_next = NULL;
    conn->wait_prev = table->wait_last;
    if (table->wait_last)
        table->wait_last->wait_next = conn;
    else
        table->wait_first = conn;
    table->wait_last = conn;
}

void vsock_table_unwait(struct vsock_table *table, struct vsock_conn *conn)
{
    if (!conn->waiting)
        return;
    conn->waiting = false;
    if (conn->wait_prev)
        conn->wait_prev->wait_next = conn->wait_next;
    else
        table->wait_first = conn->wait_next;
    if (conn->wait_next)
        conn->wait_next->wait_prev = conn->wait_prev;
    else
        table->wait_last = conn->wait_prev;
    conn->wait_prev = conn->wait_next = NULL;
}
