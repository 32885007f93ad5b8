/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - one device: what the guest set up, who serves it, and how well. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "ipc/rules.h"
#include "shm/layout.h"
#include "vm/child.h"

enum { DEVICE_MAX_DEATHS = 1024 }; /* remembered for the crash limit; config/checks.c bounds that */

/* How its worker is being replaced; replace.c has the table of what leads where. */
enum stage {
    STAGE_NONE,     /* before the first start of a boot */
    STAGE_FIRST,    /* first start of this boot */
    STAGE_SERVED,   /* a worker serves it */
    STAGE_VACANT,   /* the worker left by itself: is it the core that has died? */
    STAGE_REPAIR,   /* a new worker starts */
    STAGE_PROBE,    /* upgrade: the new build starts beside the old one */
    STAGE_DRAIN,    /* upgrade: the old one finishes what is in flight */
    STAGE_HANDOVER, /* upgrade: the new one was told to go on where the old one stopped */
    STAGE_MAKE_WAY, /* the worker leaves; its successor starts, or waits (upgrade), until it has */
    STAGE_DEAD,     /* no worker can be had: requests are not answered */
    STAGE_ADD,     /* its first worker starts while the guest runs, which knows nothing of it yet */
    STAGE_LEAVING, /* it is being taken out of the VM: the last of it ends */
};

/* Whether somebody wants it to leave the VM. Not undone: the guest may let go of it at any time after. */
enum removal { REMOVAL_NONE, REMOVAL_ASKED, REMOVAL_FORCED };

/* A part of a configuration space; equal: nothing. */
struct dirty {
    size_t from, to;
};

struct queue {
    uint32_t index, size;
    uint64_t desc, avail, used;
};

struct device {
    unsigned number;
    bool here; /* else the place is free, and plan says nothing */
    const struct plan_device *plan;
    /* What was opened for it, as far as rules depend on it. */
    bool on_socket, has_keys, is_macvtap, is_user;

    /* What the first worker announced; the guest knows the device by it. */
    bool announced, attached;
    bool core_has; /* it said so to this broker, which took over */
    uint32_t virtio_id, num_queues, queue_size;
    uint64_t features;
    uint8_t config[RULE_MAX_CONFIG_BYTES];
    size_t config_len;
    struct dirty for_core, for_worker; /* changed by one side; the other was not told yet */
    unsigned updates;                  /* passed on to the core since the last tick */

    /* What the guest set up, as the core last said. */
    bool active;
    bool touched;        /* a worker of this activation may have begun with the rings */
    uint64_t activation; /* how often a driver has become active; names this one to workers */
    uint64_t guest_features;
    unsigned n_queues;
    struct queue queues[LAYOUT_MAX_QUEUES];
    bool reset_wanted;     /* the core waits for ResetDone */
    bool needs_reset_due;  /* the driver is to be told that */
    bool sees_needs_reset; /* it reads so, as the core said when this broker took over */
    char needs_reset_why[96];
    uint64_t needs_reset_ns; /* when listeners were last told */

    /* Who serves it; ids, 0: nobody. */
    uint32_t worker, candidate, passt;
    uint32_t old_ring; /* a dead worker's io_uring that is not drained yet */
    enum stage stage;
    uint64_t stage_ns; /* since when */
    /* Its worker is gone, and that is not acted on yet. */
    bool vacated, vacated_clean, vacated_input; /* the user's doing */
    char vacated_how[160];
    /* The candidate is gone, or can't be had. */
    bool candidate_lost;
    char candidate_how[160];
    uint64_t retry_ns; /* the host had no room for another process: when to ask again; 0: no */
    unsigned retries;

    /* How well. */
    bool failed; /* the crash limit was reached */
    bool by_hand;
    uint32_t restarts;
    uint64_t deaths_ns[DEVICE_MAX_DEATHS];
    unsigned n_deaths;
    uint64_t died_ns;
    char last_reason[160];
    uint64_t upgraded_ns; /* when an upgrade took over; 0: not on probation */
    struct ticket asker;  /* of a repair or an upgrade */
    bool for_all;         /* the upgrade of all devices asked */

    /* Its way out of the VM. */
    enum removal removal;
    bool removal_told;      /* the core was, of this wish */
    uint64_t removal_ns;    /* since when */
    bool gone;              /* the core has let go of it */
    struct ticket remover;  /* who waits for that; of an addition it is `asker` */
    struct fault not_added; /* error != 0: it goes because of this, which `remover` is told */

    /* Rate limits and the balloon's size, and how often they were changed. */
    Bulkhead__RateLimit *rate_limit; /* NULL: the configuration's */
    uint64_t balloon_bytes;
    unsigned settings;

    /* A network device's link. */
    bool link_down;    /* the user's wish */
    bool link_changed; /* what the guest sees is to be looked at */
    enum tap_state tap, tap_told;
    uint64_t tap_told_ns;
    unsigned stream; /* how often passt was started: the number of its stream */
    bool passt_settled, passt_lost;
    bool passt_failed;           /* it died too often: the link is down */
    bool passt_ran, passt_input; /* the last one: it was executed; the user's doing */
    char passt_how[256];
    uint64_t passt_window_ns;
    unsigned passt_deaths; /* since then */
};

void device_init(struct device *device, unsigned number, const struct plan_device *plan);
/* What belongs to one boot. */
void device_unboot(struct device *device);
void device_deinit(struct device *device);
void device_enter(struct device *device, enum stage stage, uint64_t now);
/* On the PCI bus; else the serial port, or a free place. */
bool device_is_pci(const struct device *device);
/* Two of its workers can't be there at once: they would read from the same place. */
bool device_is_exclusive(const struct device *device);
/* A device of that kind still answers when it has failed: by a worker that fails every request. */
bool device_fails_by_worker(const struct device *device);
/* Whether its worker is being replaced, or a replacement is on its way. */
bool device_in_transit(const struct device *device);
void device_add_dirty(struct dirty *dirty, size_t from, size_t to);
/* Writes to the configuration space; false: beyond it. */
bool device_write_config(struct device *device, size_t offset, const uint8_t *data, size_t len);
/* What the guest set up, for a message: room for LAYOUT_MAX_QUEUES in both. How many there are. */
unsigned device_list_queues(const struct device *device, Bulkhead__QueueState *ret_states,
                            Bulkhead__QueueState **ret_list);
