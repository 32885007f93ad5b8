/* SPDX-License-Identifier: Apache-2.0 */
/* slow_disk.h - a block device whose writes stay on their way for as long as a test wants: a file
 * served by a process of the test's over FUSE, behind a loop device. What its writer has submitted
 * lives on when the writer is killed, as on a slow medium. Needs root, /dev/fuse and a loop device;
 * nothing of it is left when the process ends, in whatever way. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct slow_disk;

/* NULL with *ret_why where the host has not what it needs. */
struct slow_disk *slow_disk_new(uint64_t bytes, const char **ret_why);
/* Everything that is on its way has arrived before it returns. */
void slow_disk_free(struct slow_disk *disk);
/* The block device with the delay. */
const char *slow_disk_path(const struct slow_disk *disk);
/* The file that the loop device stands on: the same delay, of a file system in user space. */
const char *slow_disk_fuse_path(const struct slow_disk *disk);
/* The file behind it, where a write arrives at once. */
const char *slow_disk_fast_path(const struct slow_disk *disk);
/* Writes are held from now on, for WH_PATIENCE_MS at most / those that are held and all later ones arrive, after delay_ms. */
void slow_disk_hold(struct slow_disk *disk);
void slow_disk_release(struct slow_disk *disk, unsigned delay_ms);
/* Bytes that have arrived since slow_disk_hold(). */
uint64_t slow_disk_arrived(struct slow_disk *disk);
