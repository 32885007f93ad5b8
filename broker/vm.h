/* SPDX-License-Identifier: Apache-2.0 */
/* vm.h - the one VM of this broker: its devices, its processes, its clients. The files that share
 * it: vm.c (life), child.c (one process), supervise.c (what children say), relay.c (between core
 * and workers), repair.c, upgrade.c, pause.c, session.c (what clients say). One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>
#include "base/compiler.h"
#include "base/loop.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"
#include "ipc/channel.h"
#include "ipc/rules.h"
#include "plan/plan.h"
#include "resources/liveness.h"
#include "resources/log_relay.h"
#include "resources/programs.h"
#include "resources/rundir.h"
#include "shm/layout.h"
#include "shm/stats.h"
#include "spawner/spawner.h"

enum {
    VM_MAX_CHILDREN = SPAWNER_MAX_CHILDREN,
    VM_MAX_CLIENTS = 16,
    VM_MAX_DEATHS = 1024,        /* remembered for the crash limit; config/checks.c bounds that */
    VM_START_TIMEOUT_MS = 60000, /* slow hosts: emulated KVM */
    VM_READY_TIMEOUT_MS = 5000,  /* a replacement's time from exec to Ready */
    VM_TICK_MS = 50,             /* heartbeats are looked at: a hang is found in its limit + this */
    VM_STOP_WORKERS_MS = 1000,   /* time to leave in order, then SIGKILL */
    VM_STOP_CORE_MS = 500,
    VM_UPDATES_PER_TICK = 4, /* changes of a configuration space that are passed on one by one */
};

enum vm_phase {
    VM_STARTING, /* until the core was told to run */
    VM_RUNNING,
    VM_ENDING, /* workers are told to leave, then the core */
    VM_GONE,
};

struct vm;
struct device;

/* One process. Exists from the request to the spawner until its exit was reported. */
struct child {
    struct vm *vm;
    struct device *device; /* NULL: core, loader */
    Bulkhead__Role role;
    char name[PLAN_NAME_BYTES + 8];
    uint32_t id; /* for the spawner */
    uint32_t uid;
    unsigned uid_slot;
    enum child_state state;
    struct channel *channel; /* NULL: none (passt), or closed */
    struct loop_event *event;
    struct loop_event *exit_event; /* of pidfd, when there is no spawner to report the exit */
    struct log_relay *log;
    pid_t pid;
    int pidfd;
    int stat_fd; /* its /proc/PID/stat, which hidepid may hide from us; -1: none */
    char build_id[48];
    unsigned missing_layers;
    uint32_t ring;    /* its id: the spawner holds a duplicate of its io_uring; 0: it has none */
    bool drains_ring; /* it was given a dead one's, and submits nothing before that is still */
    uint64_t started_ns, ready_ns;
    bool loaded;               /* loader: did its work */
    unsigned settings;         /* of its device, as it was told of them last */
    bool killing;              /* SIGKILL is on its way */
    uint32_t owed;             /* bits 1 << body: answers that were asked for */
    bool needs_reset;          /* it said so; again only after a reset */
    uint64_t stop_deadline_ns; /* told to leave; 0: not */
    char reason[160];          /* why it was killed or what it said before it left */
    bool reason_bad_input;
    /* liveness */
    uint64_t heartbeat, heartbeat_ns;
    struct starved starved;
    bool stalled; /* the event was given: it waits for the host's disk */
};

/* Which replacement of a worker is under way. */
enum device_step {
    STEP_NONE,
    STEP_START,     /* first start of this boot */
    STEP_REPAIR,    /* after a death */
    STEP_NEW_READY, /* upgrade: the new build starts beside the old one */
    STEP_DRAIN,     /* upgrade: the old one finishes what is in flight */
    STEP_TAKE_OVER, /* upgrade: the new one was told to go on where the old one stopped */
    STEP_REPLACE,   /* passt died: the worker leaves, the next one gets the new stream */
    STEP_LEAVE,     /* upgrade of a console or vsock: the old one leaves, the new one waits */
};

/* A part of a configuration space; equal: nothing. */
struct dirty {
    size_t from, to;
};

struct device {
    struct vm *vm;
    const struct plan_device *plan;
    struct backend backend;
    /* What each worker of this device is given; the broker keeps it for the next one. */
    int stats_fd, journal_fd;
    const struct stats_page *stats;
    int kick[LAYOUT_MAX_QUEUES], call[LAYOUT_MAX_QUEUES];
    int shared_own[3]; /* serial: ring and its two eventfds */
    uint32_t ring;     /* the id of a dead worker whose io_uring is not drained yet; 0: none */
    Bulkhead__RateLimit *rate_limit; /* changed at run time; NULL: the configuration's */
    uint64_t balloon_bytes;
    unsigned settings; /* how often these two were changed */
    /* What the first worker announced; the guest knows the device by it. */
    bool announced, attached;
    uint32_t virtio_id, num_queues, queue_size;
    uint64_t features;
    uint8_t config[RULE_MAX_CONFIG_BYTES];
    size_t config_len;
    unsigned updates; /* since the last tick */
    /* Changed by one side, but the other was not told yet. */
    struct dirty for_core, for_worker;
    /* What the guest set up, as the core last said. */
    bool active;
    bool worker_activated; /* some worker of this activation has touched the rings */
    uint64_t guest_features;
    unsigned n_queues;
    struct {
        uint32_t index, size;
        uint64_t desc, avail, used;
    } queues[LAYOUT_MAX_QUEUES];
    bool reset_pending; /* the core waits for ResetDone */
    /* Its processes. */
    struct child *worker; /* NULL: none */
    struct child *next;   /* an upgrade's candidate */
    struct child *passt;
    bool link_down; /* the user's wish */
    /* The tap, as its worker or rtnetlink says, and as was last told in an event. */
    enum tap_state { TAP_WELL, TAP_DOWN, TAP_GONE } tap, tap_told;
    uint64_t tap_told_ns;
    bool passt_settled;
    bool passt_failed; /* it died too often: the link is down */
    uint64_t passt_window_ns;
    unsigned passt_deaths; /* since then */
    enum device_step step;
    uint64_t step_deadline_ns;
    int program_fd, prev_program_fd; /* of an upgraded worker and the one before; -1: installed */
    int candidate_fd;                /* the build that an upgrade tries */
    uint64_t upgraded_ns;            /* when it took over; 0: not on probation */
    uint32_t restarts;
    uint64_t deaths_ns[VM_MAX_DEATHS];
    unsigned n_deaths;
    uint64_t died_ns;
    bool left;   /* it left by itself: is it the core that has died? */
    bool failed; /* the crash limit was reached */
    bool dead;   /* not even a failing worker runs: requests are not answered */
    char last_reason[160];
    /* Whom to tell how the repair or upgrade went. */
    uint64_t asker;
    uint32_t asker_request;
};

struct client {
    struct vm *vm;
    uint64_t serial; /* names it in later answers; 0: the place is free */
    struct channel *channel;
    struct loop_event *event;
    bool is_run; /* the one that asked for the VM */
    bool subscribed;
};

struct trace_point {
    char what[40];
    uint64_t ns;
};

struct vm {
    struct loop *loop;
    struct spawner *spawner;
    struct loop_event *spawner_event;
    int signal_fd;
    struct loop_event *signal_event;
    struct programs programs;
    Bulkhead__VmConfig *config;
    struct plan plan;
    struct plan_host host;
    struct rundir rundir;
    enum vm_phase phase;
    bool insecure;

    int ram_fd, kvm_fd, kernel_fd, initramfs_fd;
    int life_read, life_write;
    struct device devices[PLAN_MAX_DEVICES];
    unsigned n_devices;

    struct child *children[VM_MAX_CHILDREN];
    unsigned n_children;
    struct child *core, *loader;
    uint32_t next_id;
    Bulkhead__EntryState entry;
    bool have_entry;

    struct loop_event *start_timer, *stop_timer, *tick, *passt_timer;
    int links_fd; /* rtnetlink, with a macvtap; else -1 */
    struct loop_event *links_event;
    bool links_lost; /* it had no room for a change */
    uint64_t last_tick_ns;
    unsigned stop_stage;
    bool ran;    /* a core was told to run: the guest has existed */
    bool reboot; /* start again when all are gone */
    uint32_t boots;

    /* How it ended. */
    bool ended;
    Bulkhead__GuestStateKind end_state;
    struct fault end_fault; /* error != 0: before the guest ran, or a host failure */
    bool end_by_user, end_host_failure;
    char end_detail[FAULT_TEXT_MAX];

    /* pause */
    bool paused, pausing, resuming;
    uint64_t pause_asker;
    uint32_t pause_request;

    /* upgrade of all devices, one after the other */
    uint64_t all_asker; /* 0: none under way */
    uint32_t all_request;
    unsigned all_next;

    struct client clients[VM_MAX_CLIENTS];
    struct loop_event *listen_event;
    uint64_t next_client;
    bool has_tty;
    int tty_fd;
    struct termios termios;

    uint64_t started_ns;
    struct trace_point trace[64];
    unsigned n_trace;
    bool traced; /* the start is over and was told of */
};

/* ---- vm.c: the life of the VM ---- */
/* *vm is all zeroes. */
void vm_init(struct vm *vm, struct loop *loop, struct spawner *spawner);
void vm_deinit(struct vm *vm);
/* Opens all that the plan names. tty, net_fds: from the client. */
int vm_open(struct vm *vm, const int *tty, int *net_fds, unsigned n_net_fds,
            struct fault *ret_fault) must_check;
/* Its part for the devices. */
int vm_open_devices(struct vm *vm, const int *tty, int *net_fds, unsigned n_net_fds,
                    struct fault *ret_fault) must_check;
/* Makes what one boot needs and asks for its processes. */
int vm_boot(struct vm *vm, struct fault *ret_fault) must_check;
/* Called after every step of the start: does what has become possible. */
void vm_progress(struct vm *vm);
/* Before the guest ran: the start failed, with the reason for the user. */
void vm_fail(struct vm *vm, const struct fault *fault);
/* The guest's own end, or the end that somebody asked for. */
void vm_end(struct vm *vm, Bulkhead__GuestStateKind state, bool by_user, bool host_failure,
            const char *detail_fmt, ...) printf_like(5, 6);
void vm_reboot(struct vm *vm);
/* A child's exit was reported: is the end complete? */
void vm_on_child_gone(struct vm *vm);
/* Once, when the guest runs: sends the points to the clients if the configuration asks for them. */
void vm_report_trace(struct vm *vm);
void vm_trace(struct vm *vm, const char *what_fmt, ...) printf_like(2, 3);

/* ---- child.c: one process ---- */
/* program_fd -1: the spawner's own. NULL with *ret_fault on failure. */
struct child *child_start(struct vm *vm, Bulkhead__Role role, struct device *device,
                          unsigned uid_slot, int program_fd, struct fault *ret_fault);
struct child *child_start_passt(struct device *device, struct fault *ret_fault);
/* SIGKILL; its exit is reported later. reason: for the event, kept if none was set before. */
void child_kill(struct child *child, const char *reason_fmt, ...) printf_like(2, 3);
/* Checks against rules.c and sends. A child that doesn't read is killed. */
int child_send(struct child *child, const Bulkhead__Envelope *envelope, const int *fds,
               size_t n_fds);
void child_stop(struct child *child);
/* The spawner need no longer hold the ring of that child, which is forgotten. */
void child_drop_ring(struct vm *vm, uint32_t *ring);
/* Ready, and not activated yet. */
bool child_is_ready(const struct child *child);
/* No more messages; its exit is still to be reported. */
void child_close(struct child *child);
/* "killed by signal 9 (Killed)", "left with status 1", ... from waitid()'s figures. */
void child_describe_exit(int wait_code, int wait_status, char *ret_text, size_t size);
void child_on_spawner(int fd, unsigned what, void *vm);
/* Takes it off the VM's list and frees it. */
void child_free(struct child *child);

/* ---- spawner_setup.c ---- */
/* Tells the spawner what each slot of the plan starts, and seals that: before the sandbox. */
int spawner_setup(struct vm *vm, struct fault *ret_fault) must_check;

/* ---- configure.c ---- */
int configure_send(struct child *child) must_check;

/* ---- supervise.c: what children say, and their deaths ---- */
void supervise_on_message(int fd, unsigned what, void *child);
void supervise_on_exit(struct child *child, int wait_code, int wait_status);

/* ---- relay.c: between core and workers ---- */
struct device *relay_find_slot(struct vm *vm, uint32_t slot);
void relay_activate(struct vm *vm, const Bulkhead__Activate *activate);
void relay_reset(struct vm *vm, uint32_t slot);
/* A driver may write as often as it likes: a worker that is behind with reading is told of the
 * last state in one piece, with a later tick. */
void relay_config_from_core(struct vm *vm, const Bulkhead__ConfigUpdate *update);
void relay_reset_done(struct device *device);
void relay_needs_reset(struct device *device, const char *why);
/* A worker may change its configuration space as often as it likes: the core hears of a few
 * changes a tick, and of the rest in one piece with the next tick (relay_on_tick()). */
void relay_config_from_worker(struct device *device, const Bulkhead__ConfigUpdate *update);
void relay_on_tick(struct device *device);
void relay_vsock_connect(struct child *child, const Bulkhead__VsockConnect *connect);
/* Brings a worker that became Ready to where the guest's driver is. */
int relay_send_activate(struct device *device, struct child *worker, bool resume);
int relay_attach(struct device *device) must_check;

/* ---- netdev.c: a network device's link, and its passt ---- */
/* Brings worker and guest to the link that is wanted. */
void netdev_update_link(struct device *device);
void netdev_on_ready(struct device *device);
/* What its worker is told: as the user wants it, if there is anything to carry frames. */
bool netdev_link_wanted(const struct device *device);
void netdev_set_tap(struct device *device, enum tap_state state);
void netdev_on_link_lost(struct device *device, bool returns);
void netdev_on_link_found(struct device *device);
/* Events of a tap that goes and comes again and again are a second apart: the last state is told. */
void netdev_on_tick(struct device *device, uint64_t now);
/* Nothing to do for a device without passt, or with one that runs. */
int netdev_start_passt(struct device *device, struct fault *ret_fault) must_check;
/* passt has opened its ports and shut itself in, or there is none. If not, vm_progress() is called
 * again soon. */
bool netdev_passt_settled(struct device *device);
void netdev_on_passt_gone(struct device *device, const char *why);
/* Whether the worker is well but has nothing to carry its frames: `repair` is about that. */
bool netdev_is_cut_off(const struct device *device);
/* Starts passt again, or takes a tap that was made again. *ret_done: what to tell the user. */
int netdev_repair(struct device *device, const char **ret_done, struct fault *ret_fault) must_check;

/* ---- settings.c: what can be set while the VM runs ---- */
void settings_changed(struct device *device);
/* Tells its worker, when that is not what it was configured with. */
void settings_tell(struct device *device);

/* ---- netdev_watch.c: macvtaps, whose workers can't tell ---- */
/* Before the broker's sandbox; the devices are open. */
int netdev_watch(struct vm *vm, struct fault *ret_fault) must_check;
void netdev_on_links(int fd, unsigned what, void *vm);

/* ---- repair.c ---- */
void repair_on_death(struct device *device, const char *how);
/* It left by itself, as workers do when the core is gone: waits a moment for that news. */
void repair_on_leave(struct device *device, const char *how);
void repair_on_ready(struct device *device);
void repair_start_worker(struct device *device);
/* Periodic: heartbeats, deadlines of replacements. */
void repair_on_tick(int fd, unsigned what, void *vm);
int repair_by_hand(struct device *device, uint64_t asker, uint32_t request,
                   struct fault *ret_fault) must_check;

/* ---- upgrade.c ---- */
int upgrade_begin(struct device *device, const char *path, uint64_t asker, uint32_t request,
                  struct fault *ret_fault) must_check;
int upgrade_all_begin(struct vm *vm, uint64_t asker, uint32_t request,
                      struct fault *ret_fault) must_check;
/* Tells whoever asked for a repair or an upgrade of this device how it went. */
void upgrade_answer(struct device *device, const struct fault *fault);
/* True: the candidate is configured when the old one has left, by upgrade_on_left(). */
bool upgrade_on_hello(struct device *device);
void upgrade_on_left(struct device *device);
void upgrade_on_ready(struct device *device);
void upgrade_on_quiesced(struct device *device);
void upgrade_on_next_gone(struct device *device, const char *how);
/* The old worker died meanwhile: the candidate takes over as a repair. */
void upgrade_on_old_gone(struct device *device, const char *how);
void upgrade_on_activated(struct device *device);
/* True when the worker that died was a new build on probation: the old build is used again. */
bool upgrade_roll_back(struct device *device, const char *how);
/* Gives up the candidate and lets the old worker go on. */
void upgrade_abort(struct device *device, const char *why);

/* ---- pause.c ---- */
int pause_begin(struct vm *vm, uint64_t asker, uint32_t request,
                struct fault *ret_fault) must_check;
int pause_end(struct vm *vm, uint64_t asker, uint32_t request, struct fault *ret_fault) must_check;
void pause_on_core_state(struct vm *vm, Bulkhead__GuestStateKind state);
/* The last thing that a pause waits for may have come. */
void pause_on_progress(struct vm *vm);
/* Has the worker finish what is in flight, or go on, as VM and device are now. While it owes an
 * answer nothing is said: call again when that has come. */
void pause_steer(struct device *device);

/* ---- session.c ---- */
int session_listen(struct vm *vm) must_check;
int session_add(struct vm *vm, int fd, bool is_run) must_check;
void session_close_all(struct vm *vm);
void session_reply(struct vm *vm, uint64_t client, uint32_t request, const struct fault *fault);
/* To all who listen: the run client and subscribers. Up to 4 key, value pairs, then NULL. */
void session_event(struct vm *vm, const char *source, const char *event, ...)
    __attribute__((sentinel));
/* The last words: VmEnded, or Reply when the guest never ran. */
void session_ended(struct vm *vm);
int session_send(struct client *client, const Bulkhead__ClientEnvelope *envelope);

/* ---- session_requests.c ---- */
void session_request(struct client *client, const Bulkhead__ClientEnvelope *request);

/* Statement form of a ClientEnvelope with one body. */
#define CLIENT_ENVELOPE(name, CASE, field, ptr)                                                    \
    Bulkhead__ClientEnvelope name = BULKHEAD__CLIENT_ENVELOPE__INIT;                               \
    (name).body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_##CASE;                                     \
    (name).field = (ptr)

/* vm_signals.c: from now on the signals that end a VM do. */
int signals_watch(struct vm *vm) must_check;
