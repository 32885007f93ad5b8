/* SPDX-License-Identifier: Apache-2.0 */
/* open.h - what the broker opens by path on behalf of its children, before it gives up the right to. Paths are opened with openat2() without magic links and their kind is checked
 * before they are opened for use, so that nothing is touched that is not a disk, a kernel, ...
 * All functions: 0, or a negative errno with one line for the user in *ret_fault. Descriptors
 * belong to the struct they are put in. */
#pragma once

#include <sys/stat.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "resources/trees.h"

enum {
    /* The kernel takes an io_uring down, and lets go of its files, after its process was waited for. */
    RESOURCES_PATIENCE_MS = 2000,
    RESOURCES_RETRY_MS = 10,
};

/* trees: where paths are resolved (trees.h).
 *
 * An O_PATH descriptor is looked at first, then the same file is opened with `flags`. kinds: S_IFREG
 * and S_IFBLK etc. as bits (1 << (mode >> 12)). what: "the kernel", "disk0". */
#define RESOURCES_KIND(mode) (1u << ((unsigned)(mode) >> 12))
const char *resources_kind_name(mode_t mode); /* "a directory", ... */
int resources_open(const struct trees *trees, const char *what, const char *path, int flags,
                   unsigned kinds, int *ret_fd, struct fault *ret_fault) must_check;

/* A file that is written to at its end, and made if it isn't there, mode 0600: in trees, a regular one. */
int resources_append(const struct trees *trees, const char *what, const char *path, int *ret_fd,
                     struct fault *ret_fault) must_check;

void resources_wait_a_little(void); /* RESOURCES_RETRY_MS */
/* A lock on the open file description, F_WRLCK or F_RDLCK: it goes with the descriptor to the worker
 * and lasts as long as any process holds it. 0, or -EAGAIN when somebody else has it and keeps it.
 *
 * An io_uring keeps it a little longer than the last process, so this waits for a moment. */
int resources_lock(int fd, short type) must_check;

int resources_kernel(const struct trees *trees, const char *what, const char *path, int *ret_fd,
                     struct fault *ret_fault) must_check;
int resources_kvm(int *ret_fd, struct fault *ret_fault) must_check;
