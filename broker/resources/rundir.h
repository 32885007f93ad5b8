/* SPDX-License-Identifier: Apache-2.0 */
/* rundir.h - the directory of the VM that runs (client/rundir.h says where it is), mode 0700: its
 * command socket, and a lock file that tells a running VM's directory from one that a crash left.
 *
 * Broker and spawner share the lock (one open file), and either may outlive the other; the next VM
 * of that name may come in between. So whoever makes the directory uses it only when it has the
 * lock and the lock's file is still there by its name; whoever removes it looks whether directory
 * and lock file are still the ones it knows, removes the lock's file only with the lock in hand,
 * and the directory only when it is empty. A user's notes for the spawner are the third that may be in it. */
#pragma once

#include "base/compiler.h"
#include "client/rundir.h"
#include "config/fault.h"

#define RUNDIR_NOTE "-passt" /* how the names of notes end, see spawner/note.h */

/* What is enough to remove the directory. All descriptors -1: there is nothing. */
struct rundir_place {
    int base_fd; /* the directory that it is in */
    int dir_fd;
    int lock_fd;
    char name[RUNDIR_NAME_BYTES]; /* in base_fd */
};

struct rundir {
    struct rundir_place place;
    int listen_fd;
};

void rundir_init(struct rundir *rundir);
/* Makes the directory, takes its lock, listens. A fault leaves nothing of ours behind, and nothing
 * of another VM's is touched. */
int rundir_open(struct rundir *rundir, const char *vm_name, struct fault *ret_fault) must_check;
/* Removes all of it; does nothing if rundir_open() has failed. */
void rundir_close(struct rundir *rundir);
/* Closes the descriptors; another process has them, and removes the directory. */
void rundir_forget(struct rundir *rundir);

void rundir_place_init(struct rundir_place *place);
/* Removes what is still ours and closes the descriptors. May be called in each process that has
 * them. */
void rundir_place_remove(struct rundir_place *place);
/* Whether dir/name is what `fd` has open. */
bool rundir_is_there(int dir_fd, const char *name, int fd);
/* That of a VM that runs, by its path, without its lock; refused to who doesn't own it and the one that it is in.
 * rundir_leave() in any case. */
int rundir_visit(struct rundir_place *place, const char *path, struct fault *ret_fault) must_check;
void rundir_leave(struct rundir_place *place);
