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
 * it takes the slot if that is free, with a worker's role and a ring that fits, and computes the limits itself, but for
 * the memory of one with a file, which follows from that file; passt's only as its user has asked for it, which no
 * broker can (note.h). A program that comes with
 * a start (an upgrade's) runs behind sandbox_filter_start, as the spawner can't know what it is. What
 * doesn't fit is refused, with the reason in the report and on the log.
 *
 * It is the keeper: a broker that dies is started again (successor.c). For that it has a copy of each
 * descriptor that the broker keeps, in numbered places (keep.h), and a child's in its start. It looks at
 * none of them. What it was given before the seal and says so there (KEEP_FIXED) stays as it is. A
 * successor is told all of it, unasked: SPAWNER_KEPT, SPAWNER_CHILD for each child, SPAWNER_ALL. Ends of
 * children are told again until SPAWNER_ACK.
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
    SPAWNER_KEPT_FDS = 32,      /* in one message, at most */
};

enum spawner_kind {
    SPAWNER_SLOT =
        1, /* broker: `setup` is what slot `slot` starts; after the seal a device's, or passt's with a note */
    SPAWNER_HOLD, /* broker, before the seal: fds [folder][socket in it]; path = its name there: to
                      be removed in the end, see socket_path.h */
    SPAWNER_VM,   /* broker, once, before the seal: the VM's directory to remove at the end, as in
                      struct rundir_place: fds [lock][base][directory]; path = its name in base */
    SPAWNER_SEAL, /* broker: no more of these three, but for slots_add(); starts are taken from now on.
                         limit, window_s */
    SPAWNER_START, /* broker: fds [log read end][fd 3 of the child][log write end], for a device's
                         worker perhaps [program], and if `kept` is set [the broker's end of fd 3] */
    SPAWNER_KILL,  /* broker: SIGKILL to child `id` */
    SPAWNER_FREE,  /* broker: the device's slot `slot` is empty again; nobody is alive in it */
    SPAWNER_DROP_RING, /* broker: the duplicate of child `id`'s io_uring is not needed any more */
    SPAWNER_STARTED,   /* spawner: pid, missing layers, has_ring; fds [pidfd], perhaps [its
                        /proc/PID/stat, of passt /proc/PID/status]. Or error, text */
    SPAWNER_EXITED,    /* spawner: wait_code, wait_status as waitid() gave them */
    SPAWNER_ACK,       /* broker: the end of child `id`, or that it was not started, is known */
    SPAWNER_DEPOSIT,   /* broker: fds for the places from `id` on; what was there is closed */
    SPAWNER_DROP,  /* broker: `slot` places from `id` on are empty. Descriptors that come along are
                          closed after that: the far end of a pipe tells the broker */
    SPAWNER_LEAVE, /* broker: it ends in order, and wants no successor */
    SPAWNER_ADOPTED, /* successor: it has taken over */
    SPAWNER_RENEW,   /* broker: the build that is installed now is to take over. spawner: error,
                        text: it is not */
    SPAWNER_KEPT,    /* spawner: fds of the places from `id` on */
    SPAWNER_CHILD,   /* spawner: `kept` says which fds come, and more; the rest as in its reports */
    SPAWNER_ALL,     /* spawner: `id` is the number of the last start; pid: of the spawner; epoch;
                        `kept` is not 0: a new build was given up for this one */
};

/* Bits of a SPAWNER_CHILD's `kept`, in the order of the descriptors; then what is known of it. The last one is also in
 * SPAWNER_EXITED. */
enum {
    SPAWNER_CHILD_LOG = 1,
    SPAWNER_CHILD_CONTROL = 2,
    SPAWNER_CHILD_PIDFD = 4,
    SPAWNER_CHILD_STAT = 8,
    SPAWNER_CHILD_FDS = 15,
    SPAWNER_CHILD_STARTED = 16, /* it has executed its program */
    SPAWNER_CHILD_ENDED = 32,   /* wait_code, wait_status; or error, text */
    SPAWNER_CHILD_OOM = 64,     /* the kernel killed it for want of memory */
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
    uint64_t memory_high; /* of its cgroup, bytes, as memory_max: a device's; 0: none */
    uint64_t memory_max;  /* 0: no limit */
    uint32_t pids_max;    /* of its cgroup, 1..SPAWNER_MAX_PIDS */
    uint32_t mtu;         /* passt's: what it tells the guest; 0: as it likes */
    uint32_t n_forwards;  /* passt's */
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
        ring_of;   /* SPAWNER_START: a dead child of that slot, whose io_uring the new one drains;
                          0: none */
    uint32_t kept; /* SPAWNER_START: the last descriptor is the broker's own end */
    uint32_t limit,
        window_s; /* SPAWNER_SEAL: so many deaths of the broker within that time, and it is
                                 not started again; 0: never is */
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
    uint32_t slot, uid_slot; /* SPAWNER_CHILD */
    uint32_t kept;
    uint32_t epoch; /* SPAWNER_ALL: how many brokers there were before */
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
    int broker_pidfd;  /* of the broker that forks; -1: there is none, and no successor of it */
    uint32_t end_ms;   /* in which a broker is to end when its VM has; 0: the usual */
};
