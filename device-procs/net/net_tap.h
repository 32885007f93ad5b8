/* SPDX-License-Identifier: Apache-2.0 */
/* net_tap.h - a queue pair's port: one queue of a tap, whose frames carry the virtio header as the
 * kernel made it. Knows no virtqueue. */
#pragma once

#include <linux/if_tun.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/compiler.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct net_tap {
    int fd;         /* non-blocking; stays open as long as the process */
    unsigned index; /* of the queue */
};

enum net_tap_state { NET_TAP_UP, NET_TAP_DOWN, NET_TAP_GONE };

/* Before the sandbox: type check. fd is the tap's from here on. 0 or negative errno. */
int net_tap_init(struct net_tap *tap, unsigned index, int fd) must_check;
/* What the driver agreed to (features): frames come as it can take them. 0, or a negative errno without
 * an origin: a tap's interface may be deleted at any time, with the descriptor left over. */
int net_tap_set_offloads(const struct net_tap *tap, uint64_t features);
/* Is the queue attached? The kernel tells only by refusing what is done already. */
bool net_tap_find_attached(const struct net_tap *tap);
/* Attaches or detaches the queue, if it isn't as wanted already. 0 or negative errno. */
int net_tap_attach(const struct net_tap *tap, bool on) must_check;
/* Whether an errno (positive) is that of a tap without its interface. */
bool net_tap_is_gone(int error);
/* Of a queue that is detached, all fails as of one whose interface was deleted; so `first` is that of
 * pair 0, which never is. */
enum net_tap_state net_tap_look(const struct net_tap *first);
/* A read or write of any queue failed with this errno (positive): NET_PORT_DOWN or NET_PORT_GONE if the
 * interface is why, else 0. */
int net_tap_lost(const struct net_tap *first, int error);
/* One frame with its 12-byte header; frame has room for NET_HDR_BYTES + NET_MAX_FRAME_BYTES. 0,
 * NET_PORT_EMPTY, or a negative errno without an origin (-ENODATA: a frame without bytes). */
int net_tap_read(const struct net_tap *tap, uint8_t *frame, size_t *ret_bytes);
/* One frame: iov[0] is the 12-byte header. 0, NET_PORT_FULL, or a negative errno without an origin. */
int net_tap_write(const struct net_tap *tap, const struct iovec *iov, int n_iov);
