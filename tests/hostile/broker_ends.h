/* SPDX-License-Identifier: Apache-2.0 */
/* broker_ends.h - how a broker that was taken over ends, or doesn't: its death is hidden, or it stays when its VM is
 * over. */
#pragma once

#include "broker.h"

/* Somebody has a copy of its end of the spawner's socket when it dies: the spawner itself, or a worker. */
enum broker_verdict broker_die_unseen(struct broker *b);
enum broker_verdict broker_die_unseen_by_a_worker(struct broker *b);
/* It says that it leaves, or only hangs up, and stays: with the VM's uid, disks and locks. */
enum broker_verdict broker_leave_and_stay(struct broker *b);
enum broker_verdict broker_hang_up_and_stay(struct broker *b);
/* Its core has ended, and it goes on as if that were nothing. */
enum broker_verdict broker_stay_beyond_the_core(struct broker *b);
