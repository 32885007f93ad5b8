/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.h - what the spawner keeps beyond this broker's death: a copy of each descriptor, and the record of
 * the facts, which are written down before they are acted on. Does nothing in an instance that is not kept. */
#pragma once

#include "run/instance.h"

struct record;

/* Before the seal: all that was opened, client_fd (stays the caller's), and what was found then. */
int keeper_begin(struct instance *in, int client_fd, int group_kill_fd,
                 struct fault *ret_fault) must_check;
/* What a broker left; on the heap, and the caller's. */
struct testament {
    struct record *record;
    uint8_t *shape; /* shape.h; of length 0: the devices are those that were sealed */
    size_t shape_len;
};

/* The successor's: the record is the one that it was given. 0, or a negative errno with an origin. */
int keeper_go_on(struct instance *in, int record_fd, struct testament *ret_testament) must_check;
/* Writes the facts down, as one piece: whenever this broker dies, one whole state is there. */
void keeper_note(struct instance *in);
/* A device comes or goes: its descriptors, and what keeper_note() writes from now on. */
void keeper_add_device(struct instance *in, unsigned number);
void keeper_remove_device(struct instance *in, unsigned number);

/* A place of a device (keep.h); fd -1: it is empty now. */
void keeper_keep(struct instance *in, unsigned device, unsigned what, int fd);
/* What belongs to one boot. Dropped: nothing holds the guest's memory any more when this returns. */
void keeper_keep_boot(struct instance *in);
void keeper_drop_boot(struct instance *in);
/* Who asked for the VM is gone, and the VM goes on. */
void keeper_drop_client(struct instance *in);
/* That child's end is known. */
void keeper_acknowledge(struct instance *in, uint32_t child);
void keeper_deinit(struct instance *in);
