/* SPDX-License-Identifier: Apache-2.0 */
/* enter.h - the child's half of a sandbox: one call with a fixed order: close_range, empty read-only
 * root, capabilities and bounding set, no_new_privs, not dumpable, rlimits, landlock, seccomp last.
 * The parent's half is spawn.h. Nothing outside sandbox/ calls libseccomp or libcap-ng.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "sandbox/limits.h"
#include "sandbox/seccomp.h"

struct sandbox_limits {
    uint64_t max_files; /* RLIMIT_NOFILE: one above the highest descriptor ever open; 0: of keep */
    uint64_t stack_bytes; /* of the threads that are made later, in all: added to RLIMIT_DATA */
    uint64_t file_bytes; /* RLIMIT_FSIZE: up to where a regular file may be written; 0: none may be,
                             SANDBOX_FILE_UNLIMITED: no limit */
    bool
        no_new_addresses; /* RLIMIT_AS: heap and stack may grow, all else is mapped only in the place of
                              something else */
};

/* keep: descriptors that stay, all others are closed. For a process with one thread.
 * Returns 0, or a negative errno with an origin: the process must exit. *ret_missing names layers
 * that the kernel lacks; a mandatory one is an error unless insecure. */
int sandbox_enter(const struct sandbox_filter *filter, const int *keep, unsigned n_keep,
                  const struct sandbox_limits *limits, bool insecure,
                  unsigned *ret_missing) must_check;

/* The same for a process whose threads have filters of their own. The kernel keeps capabilities,
 * no_new_privs and landlock per thread, so the order is: sandbox_enter_process() in the only
 * thread (all but seccomp), then the threads are made, then each calls sandbox_enter_thread()
 * before it reads a guest's byte, the main thread last. A thread that was made before is refused
 * with -EPERM. */
int sandbox_enter_process(const int *keep, unsigned n_keep, const struct sandbox_limits *limits,
                          bool insecure, unsigned *ret_missing) must_check;
int sandbox_enter_thread(const struct sandbox_filter *filter) must_check;

enum { SANDBOX_READABLE_MAX = 2 };

struct sandbox_broker {
    uint32_t uid;                       /* and gid, that it becomes; 0: it stays who it is */
    int readable[SANDBOX_READABLE_MAX]; /* folders; -1: none */
    bool insecure;
};

/* For the broker, which stays in the host's namespaces to open what is installed for an upgrade: takes the uid, keeps
 * no capability, then no_new_privs, not dumpable, no core
 * file, no executable memory, by its path no file but for reading, and that in the readable folders alone
 * (landlock, where the kernel has it; also no TCP), seccomp. It closes nothing. */
int sandbox_enter_broker(const struct sandbox_filter *filter, const struct sandbox_broker *rights,
                         unsigned *ret_missing) must_check;

enum { SANDBOX_FOLDER_FD = 4, SANDBOX_HOLDER_FILES = 64 };

/* The uid, and gid, of who keeps capabilities beyond that until it enters its sandbox; 0: it stays who it is. */
int sandbox_take_uid(uint32_t uid) must_check;
/* For who keeps a socket's file (SANDBOX_HOLDER), in the host's namespaces too: as the broker, but that it keeps its
 * uid, makes no files and no processes, and of all files may remove those in the folder, which is descriptor
 * SANDBOX_FOLDER_FD. */
int sandbox_enter_holder(const struct sandbox_filter *filter, uint64_t keep_caps) must_check;

struct sandbox_hostd {
    uint32_t uid; /* and gid, that it becomes; 0: it stays who it is */
    uint64_t max_files;
    uint64_t data_bytes; /* RLIMIT_DATA: beyond what it has */
    uint64_t
        file_bytes; /* RLIMIT_FSIZE, for a log that is a file: as struct sandbox_limits has it */
};

/* For the host's service (SANDBOX_HOSTD), which keeps the host's user namespace, since it is told the uids of others: of its
 * own are mount namespace, with an empty root, and network, for root's. As a process with threads: all but the filter,
 * then the threads are made, then each calls sandbox_enter_thread(). It closes nothing. */
int sandbox_enter_hostd(const struct sandbox_hostd *rights, unsigned *ret_missing) must_check;
