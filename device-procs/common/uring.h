/* SPDX-License-Identifier: Apache-2.0 */
/* uring.h - one io_uring behind a fence; the only file pair that knows liburing.
 *
 * seccomp can't see what is queued in a ring. So the spawner makes the ring disabled and restricts
 * its opcodes to what its purpose needs, on registered files with no other flag and no later
 * registration (sandbox/ring.h). This process inherits it, registers its files and enables it, in
 * uring_new(), before the sandbox. Afterwards io_uring_enter() is the only syscall.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/compiler.h"

struct uring;
struct io_uring_params;

/* Takes ring_fd over, a disabled ring with that layout. -errno where it can't be used: then use plain
 * system calls. The descriptors may be closed later; the ring holds the files. Entries below name
 * them by their place in `files`. */
int uring_new(struct uring **ret_uring, int ring_fd, const struct io_uring_params *params,
              const int *files, unsigned n_files) must_check;
void uring_free(struct uring *u);
int uring_fd(const struct uring *u);

/* Queue one operation; user comes back with its result. False: no room before uring_submit(). The
 * iovecs must stay until then. rw_flags: RWF_*. */
bool uring_rw(struct uring *u, unsigned file, bool write, const struct iovec *iov, unsigned n_iov,
              uint64_t offset, int rw_flags, void *user);
bool uring_fdatasync(struct uring *u, void *user); /* this and the next: of file 0 */
/* Only with RING_BLOCK_DEVICE. */
bool uring_fallocate(struct uring *u, int mode, uint64_t offset, uint64_t len_bytes, void *user);
/* 0, -EAGAIN (try again later; nothing is lost) or another negative errno. */
int uring_submit(struct uring *u);
/* The same, and back when n completions are there. */
int uring_submit_and_wait(struct uring *u, unsigned n);
bool uring_to_submit(const struct uring *u);
/* Whether uring_reap() may find something; no system call. */
bool uring_ready(const struct uring *u);
/* One completion: false when there is none. */
bool uring_reap(struct uring *u, void **ret_user, int *ret_res);

/* The ring of a dead worker: what it had submitted may still be written to the disk. Completions
 * are counted in shared memory, one for each submission taken, so it is still when both agree; or when they
 * never will. */
struct uring_old;
/* Takes ring_fd over, a ring with that layout; this process need not have a ring of its own. */
int uring_old_new(struct uring_old **ret_old, int ring_fd,
                  const struct io_uring_params *params) must_check;
bool uring_old_drained(const struct uring_old *old);
/* Gives up the descriptor and, before the sandbox, the mapping. */
void uring_old_free(struct uring_old *old, bool sandboxed);
