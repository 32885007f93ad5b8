/* SPDX-License-Identifier: Apache-2.0 */
/* spawner.h - the one process that clones, executes and reaps; it never reads a byte of a child.
 *
 * The broker forks it first thing. Requests and reports are fixed-size structs over a private
 * SOCK_SEQPACKET pair. It has no seccomp filter, since filters are inherited by those it starts;
 * in exchange it parses nothing. It outlives the broker: when the broker is gone and the core ends,
 * it kills and reaps what is left and removes the VM's directory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"

enum {
    SPAWNER_MAX_CHILDREN = 64,
    SPAWNER_ARGS_BYTES = 1024,
    SPAWNER_PATH_BYTES = 256,
    SPAWNER_GROUP_BYTES = 48,
    SPAWNER_CORE_GRACE_MS = 80, /* from the core's death until the rest is killed */
};

enum spawner_kind {
    SPAWNER_START = 1,  /* broker: fds [log read end][fd 3 of the child][log write end][program] */
    SPAWNER_KILL,       /* broker: SIGKILL to child `id` */
    SPAWNER_HOLD,       /* broker, before SPAWNER_VM: fds [folder][socket in it]; path = its name
                           there: to be removed in the end, see socket_path.h */
    SPAWNER_VM,         /* broker, once: the VM's directory to remove at the end, as in struct
                           rundir_place: fds [lock][base][directory]; path = its name in base */
    SPAWNER_TAKE_RING,  /* broker: duplicate child `id`'s descriptor ring_fd, its io_uring, and hold
                          it beyond the child's death (no socket carries an io_uring) */
    SPAWNER_DROP_RING,  /* broker: close what was taken from child `id` */
    SPAWNER_STARTED,    /* spawner: pid, missing layers; one fd: the pidfd. Or error and text */
    SPAWNER_RING_TAKEN, /* spawner: the answer to SPAWNER_TAKE_RING; or error (ESRCH: child `id` is
                           ending) and text */
    SPAWNER_EXITED,     /* spawner: wait_code, wait_status as waitid() gave them */
};

struct spawner_request {
    uint32_t kind;
    uint32_t id; /* names the child until its exit is reported; chosen by the broker */
    uint32_t is_core;
    uint32_t uid, gid;
    uint32_t skip_layers;
    uint32_t share_netns;
    uint32_t pids_max; /* of its cgroup; 0: no limit */
    uint32_t ring_of;  /* SPAWNER_START: the ring of that child becomes descriptor 4; 0: none */
    uint32_t ring_fd;  /* SPAWNER_TAKE_RING: its number in the child */
    uint32_t args_bytes;
    uint64_t memory_max;             /* of its cgroup, bytes; 0: no limit */
    char group[SPAWNER_GROUP_BYTES]; /* the name of its cgroup below the VM's */
    char args[SPAWNER_ARGS_BYTES];   /* argv, each string ends with a NUL */
    char path[SPAWNER_PATH_BYTES];   /* SPAWNER_VM, SPAWNER_HOLD: the name */
};

struct spawner_report {
    uint32_t kind;
    uint32_t id;
    int32_t error; /* positive errno: not started */
    int32_t pid;
    uint32_t missing;
    int32_t wait_code;
    int32_t wait_status;
    char text[160];
};

struct groups;
struct uids;
struct socket_path;

/* What the spawner has from its start on, and no request changes. */
struct spawner_terms {
    struct groups *groups;
    struct uids *uids;
    bool no_userns; /* for every child, see sandbox_spawn() */
};

struct spawner {
    int fd; /* the broker's end */
    pid_t pid;
};

/* Forks the spawner; the caller is single-threaded and has opened nothing the spawner must not
 * have, but for close_fd (-1: none), which the spawner closes. Groups and uids are then both
 * processes': each ends the groups and releases the uids when it ends, and the later one's counts. */
int spawner_start(struct spawner *ret_spawner, int close_fd,
                  const struct spawner_terms *terms) must_check;
/* Never blocks for long: the socket has room for more requests than there are children. */
int spawner_send(struct spawner *spawner, const struct spawner_request *request, const int *fds,
                 unsigned n_fds) must_check;
/* It removes that socket when broker and VM are gone. */
int spawner_hold(struct spawner *spawner, const struct socket_path *socket) must_check;
/* 0, 1 when there is no report, or a negative errno (-EPIPE: the spawner is gone). *ret_fd is the
 * pidfd or -1, owned by the caller. */
int spawner_receive(struct spawner *spawner, struct spawner_report *ret_report,
                    int *ret_fd) must_check;
/* Closes the socket and waits for the spawner, which leaves when it has no children. */
void spawner_stop(struct spawner *spawner);

/* The spawner's own side; does not return. */
_Noreturn void spawner_main(int fd, const struct spawner_terms *terms);
