/* SPDX-License-Identifier: Apache-2.0 */
/* keep.h - the places in which the spawner keeps a copy of each descriptor that the broker has, beside those
 * of children. The numbers are the broker's and its successors' affair; to the spawner they are numbers. */
#pragma once

#include "plan/plan.h"
#include "shm/layout.h"

/* Of the VM. */
enum keep_place {
    KEEP_SEALED, /* configuration and what was found when all was opened: a sealed memfd */
    KEEP_RECORD, /* the broker's facts: record.h */
    KEEP_FIXED,  /* both of these, and nothing from here on, can't be replaced after the seal */
    KEEP_RUN_CLIENT = KEEP_FIXED, /* the connection of the one that asked for the VM */
    KEEP_LISTEN,
    KEEP_KVM,
    KEEP_KERNEL,
    KEEP_INITRAMFS,
    KEEP_TTY,
    KEEP_GROUP_KILL,
    KEEP_RAM, /* these two belong to one boot */
    KEEP_LIFE,
    KEEP_DEVICES = 16, /* KEEP_PER_DEVICE places of each */
};

/* Of a device. */
enum { KEEP_MAX_OWN = 18 }; /* RESOURCES_MAX_OWN */
enum keep_of_device {
    KEEP_STATS,
    KEEP_PROGRAM,
    KEEP_PREV_PROGRAM,
    KEEP_SOCKET_DIR,
    KEEP_SOCKET,
    KEEP_CONSOLE_CLIENT,
    KEEP_HELD,
    KEEP_OWN = KEEP_HELD + 2,
    KEEP_JOURNAL = KEEP_OWN + KEEP_MAX_OWN, /* from here on: of one boot */
    KEEP_SHARED,
    KEEP_KICK = KEEP_SHARED + 3,
    KEEP_CALL = KEEP_KICK + LAYOUT_MAX_QUEUES,
    KEEP_PER_DEVICE = KEEP_CALL + LAYOUT_MAX_QUEUES,
};

enum { KEEP_PLACES = KEEP_DEVICES + PLAN_MAX_DEVICES * KEEP_PER_DEVICE };

static inline unsigned keep_of(unsigned device, unsigned what)
{
    return KEEP_DEVICES + device * KEEP_PER_DEVICE + what;
}
