/* SPDX-License-Identifier: Apache-2.0 */
/* instance.h - this broker's one VM with all that belongs to its facts: descriptors, sockets, programs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>
#include "base/loop.h"
#include "devices/backend.h"
#include "ipc/channel.h"
#include "plan/plan.h"
#include "resources/liveness.h"
#include "resources/log_relay.h"
#include "resources/programs.h"
#include "resources/rundir.h"
#include "shm/layout.h"
#include "shm/stats.h"
#include "spawner/spawner.h"
#include "vm/vm.h"

enum { INSTANCE_MAX_PENDING = 64, INSTANCE_PASST_POLL_MS = 2, INSTANCE_MAX_LINES = 4 };

/* The broker's ends of one child. */
struct port {
    struct instance *instance;
    uint32_t id;             /* as in struct child; 0: this place is free */
    struct channel *channel; /* NULL: none (passt), or closed */
    struct loop_event *event;
    struct loop_event *exit_event; /* of pidfd, when there is no spawner to report the exit */
    struct log_relay *log;
    int pidfd;
    int stat_fd; /* its /proc/PID/stat, of passt status, which hidepid may hide from us; -1: none */
    struct starved starved;
};

/* What each worker of a device is given; kept for the next one. */
struct device_ends {
    struct backend backend;
    bool was_added; /* while the VM ran */
    int stats_fd, journal_fd;
    const struct stats_page *stats;
    int kick[LAYOUT_MAX_QUEUES], call[LAYOUT_MAX_QUEUES];
    int shared_own[3];               /* serial: ring and its two eventfds */
    int program_fd, prev_program_fd; /* of an upgraded worker and the one before; -1: installed */
    int candidate_fd;                /* the build that an upgrade tries */
    /* Of backend.held[0], which tells of a macvtap, or is a holder's. */
    struct loop_event *held_event;
    struct instance *instance; /* with held_event */
    bool links_lost;           /* rtnetlink had no room for a change */
    bool said_refused;         /* a peer that the holder may not connect to */
};

/* Who is told what comes of events; api/ is. */
struct audience {
    void (*notice)(void *arg, const struct action *action);
    void (*reply)(void *arg, const struct action *action);
    void (*ended)(void *arg);
    void *arg;
};

struct instance {
    struct vm vm;
    struct loop *loop;
    struct spawner *spawner;
    struct loop_event *spawner_event;
    struct programs programs;
    Bulkhead__VmConfig *config;
    struct plan plan;
    struct plan_host host;
    struct rundir rundir;
    bool
        is_service; /* of the host's service: it opened nothing by name, and its client may leave */
    bool kept;      /* by the spawner, see keeper.h */
    bool is_successor;
    bool fell_back;        /* a new build of the broker was given up for this one */
    struct ticket renewer; /* who asked for a new build: told only if there is none */
    const struct sandbox_filter *holders; /* the filter of who keeps a vsock's socket */
    int record_fd;
    struct record_page *record;
    bool shape_stale[2]; /* a copy of the record has other devices than there are */
    bool sealed;         /* what the spawner may start was told to it */
    bool sandboxed;      /* the broker is: it can remove nothing any more */
    unsigned max_files;  /* how many it may open; 0: no limit is known */
    int ram_fd, kvm_fd, kernel_fd, initramfs_fd;
    int life_read, life_write;
    struct device_ends ends[PLAN_MAX_DEVICES];
    unsigned n_ends; /* devices that were opened */
    struct port ports[VM_MAX_CHILDREN];

    struct audience audience;
    loop_fn on_message, on_exit;                             /* of a port: watch.c */
    int (*watch_held)(struct instance *in, unsigned number); /* of a device: held.c */
    struct message *message;                                 /* of the event that is looked at */

    int lines[INSTANCE_MAX_LINES]; /* lines.h */
    unsigned n_lines;

    struct event pending[INSTANCE_MAX_PENDING]; /* what came of actions */
    unsigned n_pending;
    bool busy;

    struct loop_event *deadline, *tick, *passt_timer;
    uint64_t last_tick_ns;
    int signal_fd;
    struct loop_event *signal_event;

    bool has_tty; /* the caller's terminal, to be put back if he can't */
    int tty_fd;
    struct termios termios;
};

/* *in is all zeroes. */
void instance_init(struct instance *in, struct loop *loop, struct spawner *spawner);
/* The configuration is filled, valid, and taken over; the plan follows from it. */
void instance_plan(struct instance *in, Bulkhead__VmConfig *config);
/* The plan is another one than it was, and the VM's facts begin again. */
void instance_plan_again(struct instance *in);
/* Opens all that the plan names. tty, net_fds: from the client. Before the broker's sandbox. */
int instance_open(struct instance *in, const int *tty, int *net_fds, unsigned n_net_fds,
                  struct fault *ret_fault) must_check;
/* Its part for the devices. */
int instance_open_devices(struct instance *in, const int *tty, int *net_fds, unsigned n_net_fds,
                          struct fault *ret_fault) must_check;
/* The same with kernel, KVM and back ends that a launcher has opened: they are in kernel_fd, ... and in the ends. A device
 * that has none brings an empty one. */
int instance_open_handed(struct instance *in, struct fault *ret_fault) must_check;
/* The next device's ends, empty. */
void instance_add_ends(struct instance *in);
/* Whose they are: of a device whose held_event there is. */
unsigned instance_number_of(const struct device_ends *ends);
/* What rules depend on of what is open for that device. */
void instance_note_backend(struct instance *in, unsigned number);
int instance_map_stats(struct instance *in, unsigned number) must_check;
/* A device that is added while the VM runs: its ends, with a back end that is taken over; then the rest of what its
 * workers get. */
void instance_begin_device(struct instance *in, unsigned number, struct backend *backend);
int instance_make_device(struct instance *in, unsigned number, struct fault *ret_fault) must_check;
void instance_close_device(struct instance *in, unsigned number);
/* What belongs to one boot: guest RAM, rings, eventfds. */
int instance_make_boot(struct instance *in, struct fault *ret_fault) must_check;
void instance_free_boot(struct instance *in);
void instance_deinit(struct instance *in);
struct port *instance_port(struct instance *in, uint32_t id); /* NULL: none */
struct port *instance_new_port(struct instance *in, uint32_t id);
/* Takes over fd, the broker's end, of which the spawner has a copy if `kept`. What may bring no descriptors has none taken:
 * closing one may wait for the server of its file, and the spawner lets go of what is left there by a clone. */
int port_open(struct port *port, int fd, Bulkhead__Role role, bool kept) must_check;
void port_close(struct port *port); /* no more messages; its exit is still to be reported */
void port_free(struct port *port);
