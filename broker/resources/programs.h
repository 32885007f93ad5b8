/* SPDX-License-Identifier: Apache-2.0 */
/* programs.h - the child binaries, opened once at start, so that what runs is what was installed
 * when the broker started, whatever is replaced on disk meanwhile. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"

enum { PROGRAMS_MAX = 12, PROGRAMS_DIR_BYTES = 1024, PROGRAMS_FOLDERS = 2 };

struct programs {
    char dir[PROGRAMS_DIR_BYTES];  /* of the broker's own binary */
    int folders[PROGRAMS_FOLDERS]; /* it, and ../libexec/bulkhead: O_PATH; -1: not there */
    int fds[PROGRAMS_MAX];         /* by role; -1: not needed, or not found */
};

/* Looks beside the broker's own binary, then in ../libexec/bulkhead. Opens what is there; a
 * missing program is an error only when it is asked for. */
void programs_open(struct programs *programs);
/* Its part for the folders; dir is filled. */
void programs_open_folders(struct programs *programs);
void programs_close(struct programs *programs);
/* The descriptor of a role's program; -ENOENT and one line for the user when it is missing. */
int programs_fd(const struct programs *programs, Bulkhead__Role role,
                struct fault *ret_fault) must_check;
/* Whether a client's descriptor can be a program: a regular, executable file, open for reading. */
int programs_check(int fd, struct fault *ret_fault) must_check;
/* What is installed now in the same folders, for an upgrade after an installation. */
int programs_reopen(const struct programs *programs, Bulkhead__Role role, int *ret_fd,
                    struct fault *ret_fault) must_check;
