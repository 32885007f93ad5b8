/* SPDX-License-Identifier: Apache-2.0 */
/* loop_disk.h - a file as a block device, for tests. Needs root; the last close of the descriptor
 * takes the device apart. */
#pragma once

#include <stdint.h>

enum { LOOP_DISK_PATH_BYTES = 32 };

/* block_size: bytes, 0 for the usual 512. flags: LO_FLAGS_*, LO_FLAGS_AUTOCLEAR is added. The device,
 * open for reading and writing, and its path; -1 where the host has none. */
int loop_disk_attach(int file_fd, uint32_t block_size, uint32_t flags,
                     char ret_path[LOOP_DISK_PATH_BYTES]);
