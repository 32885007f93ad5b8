/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - the parent's half of a sandbox: clone and exec into fresh namespaces, an own uid and gid,
 * an own cgroup where the host delegates one, and exactly the descriptors it is told. The child's
 * half is enter.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "sandbox/seccomp.h"

struct sandbox_spawn {
    const char *program; /* path; or NULL and program_fd */
    int program_fd;
    char *const *argv;
    char *const *envp; /* NULL: empty environment */
    const int *fds;    /* fds[i] becomes descriptor i of the child; all others are closed */
    unsigned n_fds;
    uint32_t uid, gid;    /* host ids for the child; 0: keep the caller's (unprivileged start) */
    int cgroup_fd;        /* directory fd of the child's cgroup, -1: none */
    unsigned skip_layers; /* only with --insecure: namespaces not to make */
    /* For a host without them, see sandbox_try_userns() in namespaces.h; needs a uid and root, and a
     * static program unless share_netns. */
    bool no_userns;
    bool share_netns;  /* passt alone keeps the host's network namespace */
    bool wants_status; /* stat_fd is of /proc/PID/status, which tells whether it has a filter */
    /* For a program that nobody vouches for: with no_new_privs put on before exec, in the empty root and
     * without capabilities. It must be static. NULL: none. */
    const struct sandbox_filter *filter;
};

/* 0 with *ret_pid and *ret_pidfd (owned by the caller), or a negative errno with an origin. exec
 * failure in the child is reported here, not by an exit status. *ret_missing: layers that could
 * not be had. The child starts as uid 0 of its own user namespace; with no_userns as `uid`; with that
 * or with a filter without capabilities, in the empty root. It has not the caller's signal mask and dispositions, and ignores
 * SIGTERM, SIGINT and SIGHUP. */
int sandbox_spawn(const struct sandbox_spawn *spawn, pid_t *ret_pid, int *ret_pidfd,
                  unsigned *ret_missing) must_check;
/* The same for a caller that has other things to do while the child executes its program, which may
 * be slow: begin, then end when error_fd is readable. */
struct sandbox_spawning {
    pid_t pid; /* to be reaped by the caller, whatever end says */
    int pidfd; /* owned by the caller, until reaped */
    int error_fd;
    int stat_fd; /* its /proc/PID/stat, owned by the caller; -1: there is none. Opened before the child
                    is anything that hidepid would hide from the caller */
    unsigned missing;
    uint32_t uid;
    bool empty_root;
};
int sandbox_spawn_begin(const struct sandbox_spawn *spawn,
                        struct sandbox_spawning *ret_spawning) must_check;
/* Takes error_fd. 0: executed, or killed meanwhile; else a negative errno with an origin that names
 * the program, and the child is ending. */
int sandbox_spawn_end(struct sandbox_spawning *spawning, const char *name) must_check;
