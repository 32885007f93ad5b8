/* SPDX-License-Identifier: Apache-2.0 */
/* uids.h - root's VMs have 64 uids each, one for each process (sandbox_uid()). Which 64, is
 * claimed for the life of the VM, in two places, since neither is enough:
 *
 * - a lock on one byte of UIDS_FILE, which only root can take; but a container may have a /run of
 *   its own;
 * - a lock on one byte of /proc/self/ns/user: uids are a user namespace's, and all who share it
 *   find the same file there, in whatever mount and process id namespaces they are; but any user
 *   can put locks there. So a claim that is refused there again and again counts by the first
 *   alone.
 *
 * The search starts at a random range: what neither sees is a collision of 1 in 4194304. Broker
 * and spawner hold both until the VM is sealed, then the spawner alone the first; the locks go with the last
 * of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

#define UIDS_FILE "/run/bulkhead.uids"

struct uids {
    uint32_t range;    /* for sandbox_uid() */
    bool claimed;      /* else `range` means nothing */
    int file_fd;       /* -1: not to be had */
    int ns_fd;         /* -1: not to be had */
    const char *path;  /* of file_fd; not owned */
    char why_not[160]; /* claimed is false */
};

void uids_init(struct uids *uids);
/* Searches from range `first` on (any number). path: UIDS_FILE, but in tests. On failure
 * ret_uids->claimed is false, with the reason. */
void uids_claim(struct uids *ret_uids, const char *path, uint32_t first);
/* The same within some of the ranges: `count` from `low` on; count 0: all of them. */
void uids_claim_within(struct uids *ret_uids, const char *path, uint32_t first, uint32_t low,
                       uint32_t count);
/* Which ranges these uids are. False: no whole ranges of the pool. */
bool uids_find_ranges(uint32_t first_uid, uint32_t uid_count, uint32_t *ret_low,
                      uint32_t *ret_count);
/* A number to start from. */
uint32_t uids_random(void);
/* Closes; the last VM's removes the file. May be called in each process that has them. */
void uids_release(struct uids *uids);
