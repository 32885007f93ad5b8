/* SPDX-License-Identifier: Apache-2.0 */
/* net_port.h - what a port to the host says, be it a tap or a stream; types only. */
#pragma once

/* Positive: caller must handle. Other numbers than VQ_EMPTY and VQ_E_GUEST, which meet them. */
enum {
    NET_PORT_EMPTY = 10, /* no frame now */
    NET_PORT_FULL,       /* the frame was not taken: later */
    NET_PORT_BROKEN,     /* the frame is lost, others may go */
    NET_PORT_DOWN,       /* the tap's interface is down: the port is back when it takes frames */
    NET_PORT_GONE,       /* the tap was deleted, the stream has ended: only the broker can help */
};
