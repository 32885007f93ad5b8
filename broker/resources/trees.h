/* SPDX-License-Identifier: Apache-2.0 */
/* trees.h - the directories that a tenant's paths lie below, and how a path is resolved there.
 *
 * Others may write to a tree, its tenant above all, and rename, link and mount there while a path is walked. So the walk
 * begins at a descriptor of the tree and is the kernel's (openat2): nothing leaves the tree, no link is followed, and
 * no file system that is mounted below belongs to it. Who wants one of these names its directory as a tree of its own: the
 * longest one that fits counts. Two kinds of trees are other:
 *
 * - "/" is the whole host, so what is mounted is in it;
 * - in a directory at or below /dev that root alone may write to, links are followed, for those are udev's, and the name
 *   of a volume that lasts is a link (/dev/vg/data). They may lead out of that directory, to a device, and to nothing else.
 *
 * Block devices are opened in these two alone: a node in any other is somebody's mischief. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include "base/compiler.h"
#include "config/fault.h"

/* Where a function takes trees, NULL stands for none: a path is resolved as the kernel does, but for magic links. */
struct trees {
    unsigned n;
    char *const *paths; /* absolute */
    const int *fds;     /* their directories, O_PATH; not owned */
};

/* A path, in its tree. */
struct trees_way {
    int dir_fd;
    const char *rest; /* of the path, from there; "." if that is all */
    uint64_t resolve; /* RESOLVE_* */
    bool strict;      /* files may be others' mischief: trees_check_file() */
    bool devices;     /* block devices may be opened */
    bool only_devices;
};

/* 0, or a negative errno with an origin: the trees make no sense. */
int trees_check(const struct trees *trees) must_check;
/* what: "disk0". 0, or a negative errno with one line for the user. *ret_way is of use as long as path is. */
int trees_find(const struct trees *trees, const char *what, const char *path,
               struct trees_way *ret_way, struct fault *ret_fault) must_check;
/* The descriptor, or a negative errno: -EXDEV, -ELOOP where it would leave the tree. rest: the way's, or a part of it. flags:
 * O_CLOEXEC is added. */
int trees_open(const struct trees_way *way, const char *rest, int flags, mode_t mode) must_check;
/* What such an error means, for the user; else strerror()'s. */
const char *trees_error_text(int error);
/* Whether a file that was found is one that may be opened: no block device but where they are allowed, and no
 * file that is another's and has a second name, which could be anybody's. */
int trees_check_file(const struct trees_way *way, const char *what, const char *path,
                     const struct stat *st, struct fault *ret_fault) must_check;
