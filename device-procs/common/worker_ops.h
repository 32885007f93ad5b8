/* SPDX-License-Identifier: Apache-2.0 */
/* worker_ops.h - what a device supplies to its skeleton; types only.
 *
 * worker_main() (worker_main.h) does, top to bottom: check inherited fds, Hello, receive Configure,
 * map RAM and journal and stats page, device's setup, sandbox_enter, Ready, loop. No guest byte is
 * read before seccomp is on.
 *
 * Descriptors that Configure carries, in this order (docs/protocol.md):
 *   [the memfds of guest RAM if ram_size != 0] [stats memfd] [life pipe, read end] [journal memfd if the
 *   device has queues] [kick eventfd x num_queues] [call eventfd x num_queues] [the device's own]
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "control.pb-c.h"
#include "sandbox/ring.h"
#include "sandbox/seccomp.h"

struct worker;

enum {
    WORKER_PART_MS = 500, /* for part(): half of what the broker waits for a worker that it stops */
    WORKER_PART_DEAD_MS = 50, /* the same when the core has died */
};

enum worker_found {
    WORKER_FOUND_NOTHING,
    WORKER_FOUND_SOME,
    WORKER_WAITS_FOR_SOON, /* something is in flight whose end poll() may see */
    WORKER_WAITS_FOR_TASK, /* something is in flight that another task works on: leave it the CPU */
};

struct worker_ops {
    Bulkhead__Role role;
    const struct sandbox_filter *filter; /* &sandbox_filter_blk, from bh_filter_blk */
    /* fds: the device's own, after those of the skeleton; take what is kept with fd_take() and
     * name it with worker_keep_fd(). Fill *ret_announce; its config bytes are the device's present ones
     * for as long as the worker lives.
     * A negative errno with an origin ends the worker with Failed. */
    int (*setup)(struct worker *w, const Bulkhead__Configure *cfg, int *fds, unsigned n_fds,
                 Bulkhead__Announce *announce, void **ret_device) must_check;
    /* The guest set DRIVER_OK (or a replacement takes over: resume). Queues are active already. */
    int (*activate)(void *device, uint64_t features, bool resume) must_check;
    /* A kick on queue q, or work left over: pop and start, a bounded number, and none after
     * turn_over(worker_turn()). 0, VQ_E_GUEST, or negative errno. Who stops before VQ_EMPTY calls
     * worker_rerun(), now or when it can go on; after VQ_EMPTY, from wherever it popped, the
     * skeleton asks for kicks again. */
    int (*on_queue)(void *device, unsigned q) must_check;
    /* Before the loop sleeps, while activated; submit batches. May be NULL. */
    void (*before_sleep)(void *device);
    /* With before_sleep(), for a device that takes all its work from rings: what it finds beside the
     * queues (completions), without a system call. Such a device is polled for a moment before the
     * loop sleeps, where that pays (worker_poll.c). May be NULL. */
    enum worker_found (*poll)(void *device);
    /* Stop popping; call worker_drained() (worker_stop.h) once nothing is in flight (now or later).
     * Follows Reset, Quiesce and Stop; after Unquiesce on_queue() runs for every queue again. */
    void (*drain)(void *device);
    /* Told to stop, and drained; or the core has ended, and nobody asked for that. Nothing comes from
     * the guest any more. Gets out what it sent before and the host's side has not taken yet; calls
     * worker_leave(), now or later: after WORKER_PART_MS the worker leaves without. May be NULL. */
    void (*part)(void *device);
    /* All queues are down and drained: forget driver state. May be NULL. */
    void (*reset)(void *device);
    /* Messages other than the skeleton's (SetRateLimit, ConfigUpdate, ...). May be NULL. */
    int (*on_message)(void *device, const Bulkhead__Envelope *envelope, int *fds, unsigned n_fds);
    /* After worker_say_more() (worker_say.h): sends what the device has to say beside the skeleton's, in
     * the state that it has by then; forwards the error of worker_send(). Called again after -EAGAIN
     * and the like, once there is room. May be NULL. */
    int (*say)(void *device);
    /* A new broker wants to know how things are: fills in the device's own part. What has no place there
     * and may have been lost with the old broker is to be said again: worker_say_more(). May be
     * called more often than one is sent. May be NULL. */
    void (*snapshot)(void *device, Bulkhead__Snapshot *snapshot);
};

/* An io_uring that this process was born with; fd is the caller's once it is taken. */
struct worker_ring {
    int fd;    /* -1: none */
    int error; /* of the own one: why there is none */
    struct io_uring_params params;
};
