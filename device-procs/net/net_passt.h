/* SPDX-License-Identifier: Apache-2.0 */
/* net_passt.h - the port of a device without a tap: passt's stream, whose frames have no virtio header.
 * Knows no virtqueue. What goes wrong with the stream is said in the log, once; from then on nothing is
 * read or written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/compiler.h"
#include "shm/stats.h"

struct net_passt;

/* Before the sandbox: type check. fd is the stream's from here on, and stays open as long as the
 * process. stats: its cut_stream is the stream's, and must outlive it. 0 or negative errno. */
int net_passt_new(struct net_passt **ret_passt, int fd, struct stats_page *stats) must_check;
/* One frame behind a 12-byte header of zeroes; frame has room for NET_HDR_BYTES + NET_MAX_FRAME_BYTES. 0,
 * NET_PORT_EMPTY or NET_PORT_GONE. */
int net_passt_read(struct net_passt *passt, uint8_t *frame, size_t *ret_bytes);
/* What was handed to the guest leaves the stream for good; pending_bytes: with its header, of the frame
 * that was read and not handed out yet, or 0. 0 or NET_PORT_GONE. */
int net_passt_commit(struct net_passt *passt, size_t pending_bytes);
/* One frame of frame_bytes: iov[0] is the 12-byte header, and is written to. 0, NET_PORT_FULL (not taken)
 * or NET_PORT_GONE. */
int net_passt_write(struct net_passt *passt, struct iovec *iov, int n_iov, size_t frame_bytes);
/* Sends what is left over of a frame that the stream took only in part. 0, NET_PORT_FULL or
 * NET_PORT_GONE. */
int net_passt_flush(struct net_passt *passt);
bool net_passt_has_rest(const struct net_passt *passt);
