/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_conn.h - one connection's socket on the host. */
#pragma once

#include "vsock_device.h"

/* NULL: full. Who lingers longest makes room. */
struct vsock_conn *vsock_conn_new(struct vsock *v);
void vsock_conn_close(struct vsock_conn *conn); /* frees it, tells nobody */
void vsock_conn_reset(struct vsock_conn *conn); /* closes the socket, tells the guest */
/* The same for a connection that ends as it should: what the guest sent before still goes out. */
void vsock_conn_finish(struct vsock_conn *conn);
/* The guest's end is gone. The socket is closed when all that the guest sent has gone out. */
void vsock_conn_guest_ended(struct vsock_conn *conn);
void vsock_conn_want(struct vsock_conn *conn, unsigned wants); /* VSOCK_SEND_* */
/* Bytes from the guest: sent now or kept, in order. */
void vsock_conn_deliver(struct vsock_conn *conn, const struct vq_chain *chain, uint32_t len);
/* What the guest will not do any more: VIRTIO_VSOCK_SHUTDOWN_*. */
void vsock_conn_guest_shutdown(struct vsock_conn *conn, uint32_t flags);
/* Whether the loop looks at the socket; does nothing without one. */
void vsock_conn_read_watch(struct vsock_conn *conn, bool on);
void vsock_conn_write_watch(struct vsock_conn *conn, bool on);
/* The socket may be read: takes a greeting's line, or asks for the guest's buffers. Whether there is
 * something for the guest now; if not, the connection may be gone. */
bool vsock_conn_readable(struct vsock_conn *conn);
/* The socket takes bytes again. The connection may be gone afterwards. */
void vsock_conn_writable(struct vsock_conn *conn);
/* End of file from the host's side. */
void vsock_conn_host_ended(struct vsock_conn *conn);
void vsock_conn_opened(struct vsock_conn *conn); /* the guest accepted */
