/* SPDX-License-Identifier: Apache-2.0 */
/* ids.h - the pool of host uids, which are gids too: one of its own for each child of a root's VM. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

/* The pool of host uids: 0x70000000 | range << 6 | slot. A range is one VM's, which has claimed it;
 * 0..SANDBOX_UID_RANGES - 1, taken modulo that; slot 0..63. */
enum {
    SANDBOX_UID_FIRST = 0x70000000,
    SANDBOX_UID_COUNT = 0x10000000,
    SANDBOX_UIDS_PER_VM = 64,
    SANDBOX_UID_RANGES = SANDBOX_UID_COUNT / SANDBOX_UIDS_PER_VM,
};
uint32_t sandbox_uid(uint32_t range, unsigned slot);

/* This thread gets these ids, and no other group if it leaves those that it has. 0, or -1 with errno. */
int sandbox_ids_take(uint32_t uid, uint32_t gid, bool leave_groups) must_check;

/* Are all of these ids there, as uids and as gids, in the user namespace of this process? */
bool sandbox_ids_mapped(uint32_t first, uint32_t count);
