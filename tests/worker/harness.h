/* SPDX-License-Identifier: Apache-2.0 */
/* harness.h - runs a real worker program in its real sandbox without KVM: the caller plays the
 * broker (messages) and the guest's driver (split rings in a memfd). For tests, benchmarks and
 * fault tests.
 *
 * Functions named wh_try_* and those that return a value report failure; all others end the
 * process with a message (a test's failure), so that callers read as the story they tell.
 * Nothing waits longer than WH_PATIENCE_MS.
 */
#pragma once

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "control.pb-c.h"
#include "ipc/channel.h"
#include "ipc/rules.h"
#include "sandbox/ring.h"
#include "shm/inflight.h"
#include "shm/stats.h"

enum { WH_MAX_QUEUES = 16, WH_MAX_OWN_FDS = 8, WH_PATIENCE_MS = 30000 };

struct wh_config {
    const char *program; /* "bulkhead-dev-blk": looked up in $BULKHEAD_BIN */
    unsigned n_queues, queue_size;
    uint64_t ram_bytes;   /* 0: 64 MiB */
    uint64_t address_end; /* of regions that are added later; 0: none are */
    /* Fills in the role's part of Configure; its memory must outlive the harness. */
    void (*configure)(Bulkhead__Configure *configure, void *arg);
    void *arg;
    int own_fds
        [WH_MAX_OWN_FDS]; /* the device's own, kept by the harness, duplicated to the child */
    unsigned n_own_fds;
    bool insecure;         /* plain fork and exec, no namespaces */
    const char *failpoint; /* "after_used:3", in builds with BH_FAILPOINTS */
    /* Not 0: messages are judged as the broker does, by the table of legal messages. A bad one is a
     * failure like Failed, with wh->refused set; the worker is then to be killed. */
    Bulkhead__Role judge_as;
    bool handed_over; /* behind sandbox_filter_start, as an upgrade is */
    bool away;        /* for harness_away.h */
    bool no_ring;     /* the host gives none, though one is wanted */
    int log_fd;       /* the worker's log, the harness's; 0: stderr */
};

struct wh_ring {
    int fd; /* duplicate; -1: none */
    struct io_uring_params params;
};

struct wh_queue {
    unsigned size;
    struct vring vring;         /* over the memfd: scribble freely */
    uint64_t desc, avail, used; /* guest-physical */
    uint16_t next_avail, last_used, kicked;
    uint16_t free_head; /* list of free descriptors through next */
    unsigned n_free;
    int kick_fd, call_fd;
    bool event_idx;
    uint64_t kicks, interrupts;
};

struct wh {
    struct wh_config config;
    uint8_t *ram;
    uint64_t ram_bytes;
    int ram_fd, stats_fd, journal_fd;
    int life_write_fd, life_read_fd;
    struct stats_page *stats;
    uint8_t *journal;
    struct wh_queue queues[WH_MAX_QUEUES];
    struct channel *channel;
    pid_t pid;
    int pidfd;
    struct wh_ring ring;     /* the worker's io_uring, made before it as the spawner does */
    struct wh_ring old_ring; /* a dead worker's, until one has said that it is drained */
    unsigned missing_layers; /* that sandbox_spawn() could not make */
    uint64_t features;       /* announced */
    uint32_t virtio_id, n_announced_queues;
    uint8_t device_config[256];
    unsigned device_config_len;
    char failure[256];      /* what Failed said, or why a message was refused */
    enum child_state state; /* only with judge_as */
    bool refused;
    unsigned starts;
    int far_fd;          /* a duplicate of the worker's end of the socket, with `away` */
    unsigned n_unread;   /* datagrams that fill it */
    uint64_t activation; /* for the next Activate; 0: unnamed */
};

/* ---- broker ---- */
struct wh *wh_new(const struct wh_config *config);
void wh_free(struct wh *wh); /* ends the worker too */
/* Hello, Configure, Ready. The second and later starts are restarts: the journal is in use and the
 * old ring is handed over. 0, or -1 when the worker said Failed or went away (wh->failure). */
int wh_try_start(struct wh *wh);
void wh_start(struct wh *wh);
/* Fresh rings, unless resume. */
void wh_send_activate(struct wh *wh, uint64_t features, bool resume);
/* The same, and Activated. */
void wh_activate(struct wh *wh, uint64_t features, bool resume);
void wh_send(struct wh *wh, const Bulkhead__Envelope *envelope);
/* With a descriptor, which stays the caller's; -1: none. */
void wh_send_fd(struct wh *wh, const Bulkhead__Envelope *envelope, int fd);
/* Next message; ends the process unless it is this one. Valid until the next receive. */
const Bulkhead__Envelope *wh_expect(struct wh *wh, Bulkhead__Envelope__BodyCase body);
bool wh_has_message(struct wh *wh, int timeout_ms);
/* 0, or -1 at the end of the connection, after Failed or a message that was refused. */
int wh_try_receive(struct wh *wh, struct message *ret_msg);
void wh_send_reset(struct wh *wh);
void wh_reset(struct wh *wh);   /* Reset and ResetDone */
void wh_quiesce(struct wh *wh); /* Quiesce and Quiesced */
void wh_unquiesce(struct wh *wh);
void wh_kill(struct wh *wh);     /* SIGKILL, and waits for it */
int wh_stop(struct wh *wh);      /* Stop; returns the wait status */
int wh_wait_exit(struct wh *wh); /* wait status of a worker that ends by itself */
bool wh_is_dead(struct wh *wh);  /* ended by itself; then wh_wait_exit() */
/* Kill, start, activate with resume: what the broker does when a worker dies. */
void wh_restart(struct wh *wh, uint64_t features);
/* An upgrade: a new worker is made Ready beside the one that runs, which is *ret_old from here on,
 * for wh_quiesce() and wh_stop() alone; the rings and all else stay in wh. */
void wh_start_beside(struct wh *wh, struct wh *ret_old);
void wh_drop_control(struct wh *wh); /* the broker's end is gone */

/* ---- guest driver ---- */
struct wh_buf {
    uint64_t addr;
    uint32_t len;
    bool write;
};
/* Pointer to guest memory: [addr, addr + len) must be inside. */
void *wh_mem(struct wh *wh, uint64_t addr, uint64_t len);
/* Guest memory free for the caller's data starts here. */
uint64_t wh_data_base(const struct wh *wh);
/* Adds a chain, direct or in an indirect table, and publishes it. -1: no descriptor is free. */
int wh_add(struct wh *wh, unsigned q, const struct wh_buf *bufs, unsigned n, bool indirect);
/* Publishes a head as it is: for hostile chains built by hand. */
void wh_publish(struct wh *wh, unsigned q, uint16_t head);
void wh_kick(struct wh *wh, unsigned q); /* if the device wants it */
void wh_kick_always(struct wh *wh, unsigned q);
/* Takes one used entry if there is one, and frees its chain. */
bool wh_try_used(struct wh *wh, unsigned q, uint16_t *ret_head, uint32_t *ret_len);
/* Asks for an interrupt with the next used entry; look once more before sleeping. */
void wh_want_interrupt(struct wh *wh, unsigned q);
/* wh_try_used(), sleeping on the interrupt; ends the process after WH_PATIENCE_MS. */
void wh_wait_used(struct wh *wh, unsigned q, uint16_t *ret_head, uint32_t *ret_len);
/* Sleeps until an interrupt or the time is over; consumes it. */
bool wh_wait_interrupt(struct wh *wh, unsigned q, int timeout_ms);
/* Rings as a driver finds them after a reset. */
void wh_fresh_rings(struct wh *wh);

/* A tap of one or many queues with a virtio header of 12 bytes, its name given or the kernel's. -1:
 * errno says why. */
int wh_try_tap(const char *name, bool multi_queue);
_Noreturn void wh_die(const char *fmt, ...) printf_like(1, 2);
uint64_t wh_now_ns(void);
/* How many requests the worker's latencies are of. */
uint64_t wh_latencies(const struct wh *wh);
