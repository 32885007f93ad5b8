/* SPDX-License-Identifier: Apache-2.0 */
/* life.h - a VM's start, its end, and what lies between. */
#pragma once

#include "config/fault.h"
#include "hostd/rules/facts.h"

enum {
    LIFE_MAX_AUTOSTARTS = 8,    /* at once */
    LIFE_MAX_SAVES = 32,        /* at once: no more than the starter does, STARTER_MAX_SAVES */
    LIFE_MS_BETWEEN_LOOKS = 20, /* at who is about to go; doubled up to the next */
    LIFE_MAX_WAIT_MS = 5000,
    LIFE_MAX_BUSY_MS =
        30000, /* for processes that nobody knew of to leave its directory, or be killed */
};

/* May it start now? asker: who sees the reason. The VM may have no place yet (NULL). */
int life_check_start(const struct host *host, const struct host_vm *vm, const char *tenant,
                     const Bulkhead__VmSpec *spec, const Bulkhead__Tenant *asker,
                     struct fault *f) must_check;
/* It is to stop: when its guest has had grace_ns after the power button, or at once. What was to start does not. */
void life_halt(struct host *host, struct host_vm *vm, uint64_t grace_ns);
/* It is to stop at once, and to start again, whoever dies in between. */
void life_reboot(struct host *host, struct host_vm *vm);
void life_launched(struct host *host, struct host_vm *vm);
void life_start_failed(struct host *host, struct host_vm *vm, const struct fault *why);
/* The guest's end, as somebody tells it. */
void life_ended(struct host *host, struct host_vm *vm, const struct vm_end_fact *end);
/* All of its processes are to be killed, for want of another way. */
void life_kill(struct host *host, struct host_vm *vm, const char *why);
/* The starter finds its directory held although nothing of it was left: a broker that an earlier starter began with, say.
 * What was wanted is put off until that has gone. False: it has had its time. */
bool life_put_off(struct host *host, struct host_vm *vm) must_check;
/* Nothing of it is left. */
void life_gone(struct host *host, struct host_vm *vm);
/* How long to wait before the next try, and counts it. */
uint64_t life_next_try(const struct host *host, unsigned *tries);
/* Descriptions that differ are written, of all tenants alike. False: none can be right now. */
bool life_settle_saves(struct host *host);
/* What follows from the facts; false: nothing more. The VM may be gone after it. */
bool life_settle(struct host *host, struct host_vm *vm);
