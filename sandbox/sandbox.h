/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.h - the two halves of a process's sandbox.
 *
 * sandbox_spawn() is the parent's half: fork and exec into fresh namespaces, an own uid and gid,
 * an own cgroup where the host delegates one, and exactly the descriptors it is told.
 * sandbox_enter() is the child's half and one call with a fixed order: close_range, empty
 * read-only root, capabilities and bounding set, no_new_privs, not dumpable, rlimits, landlock,
 * seccomp last. Nothing outside sandbox/ calls libseccomp or libcap-ng.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"

/* One per kind of thread; the table of each is sandbox/profiles/<name>.c, its BPF is compiled by
 * libseccomp when Bulkhead is built (sandbox/gen), so that no child carries the compiler. */
enum sandbox_profile_id {
    SANDBOX_BROKER,
    SANDBOX_LOADER,
    SANDBOX_CORE_CONTROL,
    SANDBOX_CORE_VCPU,
    SANDBOX_BLK,
    SANDBOX_RNG,
    SANDBOX_CONSOLE,
    SANDBOX_NET,
    SANDBOX_VSOCK,
    SANDBOX_BALLOON,
    SANDBOX_START, /* from exec until the program enters its sandbox, of a program handed over */
    SANDBOX_PROFILE__MAX,
};

/* Layers, as bits; see invariant I7 for which are mandatory. */
enum {
    SANDBOX_LAYER_USERNS = 1 << 0,
    SANDBOX_LAYER_UID = 1 << 1, /* a uid of its own, not only the caller's in a user namespace */
    SANDBOX_LAYER_PIDNS = 1 << 2,
    SANDBOX_LAYER_MNTNS = 1 << 3,
    SANDBOX_LAYER_NETNS = 1 << 4,
    SANDBOX_LAYER_IPCNS = 1 << 5,
    SANDBOX_LAYER_UTSNS = 1 << 6,
    SANDBOX_LAYER_CGROUPNS = 1 << 7,
    SANDBOX_LAYER_CGROUP = 1 << 8,
    SANDBOX_LAYER_ROOT = 1 << 9,
    SANDBOX_LAYER_CAPS = 1 << 10,
    SANDBOX_LAYER_NNP = 1 << 11,
    SANDBOX_LAYER_UNDUMPABLE = 1 << 12,
    SANDBOX_LAYER_RLIMITS = 1 << 13,
    SANDBOX_LAYER_LANDLOCK = 1 << 14,
    SANDBOX_LAYER_SECCOMP = 1 << 15,
    SANDBOX_LAYER_MDWE = 1 << 16,
    /* Not a layer. A host that makes no user namespaces: the process has a host uid of its own, and
     * neither capabilities nor the host's root from before its first instruction. Reported beside
     * the missing layers, in place of SANDBOX_LAYER_USERNS. */
    SANDBOX_USERNS_REPLACED = 1 << 17,
};
const char *sandbox_layer_name(unsigned layer); /* one bit -> "netns"; NULL: no such layer */
/* What invariant I7 makes mandatory: without these nothing starts, unless --insecure. */
#define SANDBOX_LAYERS_MANDATORY                                                                   \
    (SANDBOX_LAYER_USERNS | SANDBOX_LAYER_NETNS | SANDBOX_LAYER_ROOT | SANDBOX_LAYER_CAPS |        \
     SANDBOX_LAYER_NNP | SANDBOX_LAYER_SECCOMP)

/* A compiled profile. Each one is its own static library bh_filter_<name>, so that a program
 * carries only what it links and names: sandbox_enter(&sandbox_filter_blk, ...). */
struct sock_filter;
struct sandbox_filter {
    enum sandbox_profile_id id;
    const char *name;                 /* "blk" */
    const struct sock_filter *filter; /* classic BPF */
    unsigned n_instructions;
    unsigned n_syscalls; /* distinct numbers the filter allows */
    const int *syscalls; /* ascending */
    const char *sha256;  /* of the instructions, hex */
};
extern const struct sandbox_filter sandbox_filter_broker;       /* bh_filter_broker */
extern const struct sandbox_filter sandbox_filter_loader;       /* bh_filter_loader */
extern const struct sandbox_filter sandbox_filter_core_control; /* bh_filter_core_control */
extern const struct sandbox_filter sandbox_filter_core_vcpu;    /* bh_filter_core_vcpu */
extern const struct sandbox_filter sandbox_filter_blk;          /* bh_filter_blk */
extern const struct sandbox_filter sandbox_filter_rng;          /* bh_filter_rng */
extern const struct sandbox_filter sandbox_filter_console;      /* bh_filter_console */
extern const struct sandbox_filter sandbox_filter_net;          /* bh_filter_net */
extern const struct sandbox_filter sandbox_filter_vsock;        /* bh_filter_vsock */
extern const struct sandbox_filter sandbox_filter_balloon;      /* bh_filter_balloon */
extern const struct sandbox_filter sandbox_filter_start;        /* bh_filter_start */

/* ---- the parent's half ---- */

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
    bool no_userns;       /* see sandbox_try_userns(); needs a uid and root, and a static program
                             unless share_netns */
    bool share_netns;     /* passt alone keeps the host's network namespace */
    /* With no_new_privs put on before exec, for a program that nobody vouches for; NULL: none. */
    const struct sandbox_filter *filter;
};

/* 0 with *ret_pid and *ret_pidfd (owned by the caller), or a negative errno with an origin. exec
 * failure in the child is reported here, not by an exit status. *ret_missing: layers that could
 * not be had. The child starts as uid 0 of its own user namespace; with no_userns as `uid`, without
 * capabilities, in the empty root. It has not the caller's signal mask and dispositions, and ignores
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
    bool no_userns;
};
int sandbox_spawn_begin(const struct sandbox_spawn *spawn,
                        struct sandbox_spawning *ret_spawning) must_check;
/* Takes error_fd. 0: executed, or killed meanwhile; else a negative errno with an origin that names
 * the program, and the child is ending. */
int sandbox_spawn_end(struct sandbox_spawning *spawning, const char *name) must_check;

/* Can this process make user namespaces? Makes one and ends it: 0, or a negative errno with an
 * origin. For a process with one thread. */
int sandbox_try_userns(void) must_check;
/* Which setting such an error comes from, and what an ordinary user can do about it. */
const char *sandbox_userns_cure(int error);
/* Are all of these ids there, as uids and as gids, in the user namespace of this process? */
bool sandbox_ids_mapped(uint32_t first, uint32_t count);
/* The pool of host uids: 0x70000000 | range << 6 | slot. A range is one VM's, which has claimed it;
 * 0..SANDBOX_UID_RANGES - 1, taken modulo that; slot 0..63. */
enum {
    SANDBOX_UID_FIRST = 0x70000000,
    SANDBOX_UID_COUNT = 0x10000000,
    SANDBOX_UIDS_PER_VM = 64,
    SANDBOX_UID_RANGES = SANDBOX_UID_COUNT / SANDBOX_UIDS_PER_VM,
};
uint32_t sandbox_uid(uint32_t range, unsigned slot);

/* ---- the child's half ---- */

/* How far the private memory of a process may grow beyond what it has when it enters; for the
 * allocator's steps and the loop's events. A thread's stack comes on top. */
enum { SANDBOX_DATA_SPARE_BYTES = 1 << 20, SANDBOX_STACK_BYTES = 1 << 20 };
#define SANDBOX_FILE_UNLIMITED UINT64_MAX

struct sandbox_limits {
    uint64_t max_files; /* RLIMIT_NOFILE: one above the highest descriptor ever open; 0: of keep */
    uint64_t stack_bytes; /* of the threads that are made later, in all: added to RLIMIT_DATA */
    uint64_t file_bytes; /* RLIMIT_FSIZE: up to where a regular file may be written; 0: none may be,
                             SANDBOX_FILE_UNLIMITED: no limit */
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

/* For the broker, which stays in the host's namespaces to open what its VMs name: keeps only the
 * capabilities of keep_caps (bits 1 << CAP_*) that it has, then no_new_privs, not dumpable, no core file,
 * no executable memory, no change to any file by its path (landlock, where the kernel has it; also no
 * TCP), seccomp. It closes nothing. */
struct sandbox_broker {
    uint64_t keep_caps;
    bool insecure;
};
int sandbox_enter_broker(const struct sandbox_filter *filter, const struct sandbox_broker *rights,
                         unsigned *ret_missing) must_check;

/* ---- what the build knows, for audit, doctor and tests ---- */

/* All profiles; only in bh_sandbox_info (CLI, tests): children link their own alone. NULL when
 * there is no such profile. */
const struct sandbox_filter *sandbox_profile_info(enum sandbox_profile_id profile);
