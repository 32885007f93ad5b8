/* SPDX-License-Identifier: Apache-2.0 */
/* blk_config.h - a disk as the broker configures it and as the guest is told of it (virtio 1.2,
 * section 5.2.4). */
#pragma once

#include <linux/virtio_blk.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "control.pb-c.h"

/* cfg: NULL when Configure is not of a disk. 0, or a negative errno with an origin. */
int blk_config_check(const Bulkhead__BlkConfig *cfg, unsigned n_fds, const int *fds) must_check;
/* Bytes. A broker of an older build doesn't name them; then it is the block size. */
uint32_t blk_config_direct_align(const Bulkhead__BlkConfig *cfg);
uint32_t blk_config_range_align(const Bulkhead__BlkConfig *cfg);
/* The features on offer; *ret_config is the configuration space, all zero before. discard: it has an
 * effect on this disk. */
uint64_t blk_config_announce(const Bulkhead__Configure *cfg, bool discard,
                             struct virtio_blk_config *ret_config);
