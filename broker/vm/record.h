/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - the facts as a message, and back: what a broker writes down before it acts, so that another
 * one can go on after its death. Fixed structs without pointers; of what is waited for only that it is, not
 * since when: for the one who takes over all waits begin anew. What children know better is not in it, or
 * is only what they will be asked about (adopt.h).
 *
 * It may have been written by a broker that was taken over: record_load() believes nothing of it. */
#pragma once

#include "vm/vm.h"

enum { RECORD_VERSION = 2, RECORD_DEATHS = 64, RECORD_TEXT = 160 };

struct record_child {
    uint32_t id, role, device, uid_slot, program, state, missing_layers, old_ring;
    int32_t pid;
    uint32_t debts; /* bit per enum debt */
    uint32_t stream;
    uint8_t closed, has_ring, link_up, needs_reset, leaves, killed, reason_bad_input, unused;
    char build_id[48], reason[RECORD_TEXT];
};

struct record_bucket {
    uint64_t size, one_time_burst, refill_time_ms; /* size 0: none */
};

struct record_queue {
    uint32_t index, size;
    uint64_t desc, avail, used;
};

struct record_device {
    uint64_t features, guest_features, activation, balloon_bytes, upgraded_ns, died_ns;
    uint32_t virtio_id, num_queues, queue_size, config_len, n_queues;
    uint32_t worker, candidate, passt, old_ring, stage, restarts, n_deaths, settings, tap, stream,
        passt_deaths;
    uint8_t announced, attached, active, touched, reset_wanted, failed, by_hand, link_down,
        passt_settled, passt_failed, vacated, vacated_clean, has_limit, here, removal, gone;
    struct record_bucket bandwidth, ops; /* its own limit, or its group's */
    uint64_t deaths_ns[RECORD_DEATHS];   /* the last ones, sooner first */
    struct record_queue queues[LAYOUT_MAX_QUEUES];
    uint8_t config[RULE_MAX_CONFIG_BYTES];
    char last_reason[RECORD_TEXT], vacated_how[RECORD_TEXT], needs_reset_why[96];
};

struct record {
    uint32_t version, bytes; /* of this struct; both are the first thing that is looked at */
    uint32_t n_children, n_devices;
    uint32_t phase, core, loader, next_id, run;
    uint8_t ran, core_told, ended, reboot, by, bad_input, unused[2];
    uint32_t end_state;
    int32_t end_error;
    uint64_t created_ns;
    char end_text[FAULT_TEXT_MAX], end_detail[FAULT_TEXT_MAX];
    struct record_child children[VM_MAX_CHILDREN];
    struct record_device devices[PLAN_MAX_DEVICES];
};

/* Writes what there is; of the two tables only the first n_children and n_devices entries. */
void record_store(const struct vm *vm, struct record *ret_record);
/* vm_init() was called, with the same configuration. The record stays as it is meanwhile. 0, or -EBADMSG
 * with an origin that names what makes no sense: *vm is then to be given up. */
int record_load(struct vm *vm, const struct record *record, uint64_t now) must_check;
