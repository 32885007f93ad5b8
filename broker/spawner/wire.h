/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - what broker and spawner say to each other.
 *
 * The spawner is the one process that clones, executes and reaps; it never reads a byte of a child.
 *
 * The broker forks it first thing. Requests and reports are fixed-size structs over a private
 * SOCK_SEQPACKET pair. It has no seccomp filter, since filters are inherited by those it starts;
 * in exchange it parses nothing. It outlives the broker: when the broker is gone and the core ends,
 * it kills and reaps what is left and removes the VM's directory.
 *
 * It doesn't obey blindly, for the broker hears hostile processes and may be taken over. Before the
 * broker enters its sandbox it says what each slot of its VM is (SPAWNER_SLOT), where the VM's
 * directory is (SPAWNER_VM), and that this is all (SPAWNER_SEAL). From then on a start names a slot
 * and one of the VM's uids. All else is the spawner's own: the programs, which it opened at its own
 * start; arguments, uids, namespaces, cgroup and limits; a disk's io_uring. Of a device that is added later
 * it takes the slot if that is free, with a worker's role and a ring that fits, and computes the limits itself. A program that comes with
 * a start (an upgrade's) runs behind sandbox_filter_start, as the spawner can't know what it is. What
 * doesn't fit is refused, with the reason in the report and on the log.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SPAWNER_MAX_CHILDREN = 64,
    SPAWNER_MAX_SLOTS = 64,    /* numbered as the uid slots of a plan */
    SPAWNER_MAX_FORWARDS = 64, /* CONFIG_MAX_FORWARDS */
    SPAWNER_PATH_BYTES = 256,
    SPAWNER_NAME_BYTES = 48,
    SPAWNER_MAX_PIDS = 4096,
    SPAWNER_MTU_MIN = 68,
    SPAWNER_MTU_MAX = 65535,
    SPAWNER_CORE_GRACE_MS = 80, /* from the core's death until the rest is killed */
};

enum spawner_kind {
    SPAWNER_SLOT =
        1,        /* broker: `setup` is what slot `slot` starts; after the seal a device's alone */
    SPAWNER_HOLD, /* broker: fds [folder][socket in it]; path = its name there: to be removed in the end,
                      see socket_path.h; after the seal with [listening socket], which proves that it is ours */
    SPAWNER_LET_GO, /* broker: fds [socket]; one of these, to be removed now */
    SPAWNER_VM,     /* broker, once, before the seal: the VM's directory to remove at the end, as in
                      struct rundir_place: fds [lock][base][directory]; path = its name in base */
    SPAWNER_SEAL,   /* broker: no more of these, but as they say; starts are taken from now on */
    SPAWNER_START,  /* broker: fds [log read end][fd 3 of the child][log write end], and for a
                         device's worker perhaps [program] */
    SPAWNER_KILL,   /* broker: SIGKILL to child `id` */
    SPAWNER_FREE,   /* broker: the device's slot `slot` is empty again; nobody is alive in it */
    SPAWNER_DROP_RING, /* broker: the duplicate of child `id`'s io_uring is not needed any more */
    SPAWNER_STARTED,   /* spawner: pid, missing layers, has_ring; fds [pidfd], perhaps [its
                        /proc/PID/stat]. Or error, text */
    SPAWNER_EXITED,    /* spawner: wait_code, wait_status as waitid() gave them */
};

/* A port of the host that leads to the guest. */
struct spawner_forward {
    uint32_t address; /* IPv4 in network order, if has_address */
    uint16_t host_port, guest_port;
    uint8_t has_address, udp, unused[2];
};

struct spawner_slot {
    uint32_t role; /* Bulkhead__Role: core in slot 0, loader in 1, passt from PLAN_UID_PASST on,
                            devices between */
    uint32_t ring; /* enum ring_purpose: disks and networks */
    uint64_t memory_max; /* of its cgroup, bytes; 0: no limit */
    uint32_t pids_max;   /* of its cgroup, 1..SPAWNER_MAX_PIDS */
    uint32_t mtu;        /* passt's: what it tells the guest; 0: as it likes */
    uint32_t n_forwards; /* passt's */
    struct spawner_forward forwards[SPAWNER_MAX_FORWARDS];
    char
        name[SPAWNER_NAME_BYTES]; /* of its cgroup below the VM's: letters, digits, '-', '_', '.' */
};

struct spawner_request {
    uint32_t kind;
    uint32_t id;   /* names the child until its exit is reported; each is larger than the last */
    uint32_t slot; /* SPAWNER_SLOT, SPAWNER_START */
    uint32_t uid_slot; /* SPAWNER_START: no process that is alive has it */
    uint32_t
        ring_of; /* SPAWNER_START: a dead child of that slot, whose io_uring the new one drains;
                          0: none */
    uint32_t unused;
    struct spawner_slot setup;     /* SPAWNER_SLOT */
    char path[SPAWNER_PATH_BYTES]; /* SPAWNER_VM, SPAWNER_HOLD: the name */
};

/* Descriptors of a report. */
enum { SPAWNER_FD_PID, SPAWNER_FD_STAT, SPAWNER_REPORT_FDS };

struct spawner_report {
    uint32_t kind;
    uint32_t id;
    int32_t error; /* positive errno: not started; text says why */
    int32_t pid;
    uint32_t missing;
    uint32_t has_ring; /* the spawner holds a duplicate of its io_uring */
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
    uint32_t uid_base; /* the child of uid slot n has the uid and gid uid_base + n; 0: all keep the
                          caller's */
    bool no_userns;    /* for every child, see sandbox_spawn() */
};
