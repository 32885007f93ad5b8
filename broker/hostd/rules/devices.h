/* SPDX-License-Identifier: Apache-2.0 */
/* devices.h - what a VM's guest may ask for while it runs: those devices of its description that it starts without. They were
 * checked, and count, as if they were there. One is on its way to a VM, or back, at a time. */
#pragma once

#include "hostd/rules/facts.h"

enum { DEVICES_MAX_ON_REQUEST = 16, DEVICES_GIVE_MS = 60000 };

/* 0, or -EINVAL with one line for who asked. */
int devices_check(const Bulkhead__VmSpec *spec, const Bulkhead__Tenant *tenant,
                  struct fault *ret_fault) must_check;
/* What the VM starts with: on the heap, config_free(). NULL: no memory. */
Bulkhead__VmConfig *devices_at_start(const Bulkhead__VmSpec *spec);
/* A configuration that has that one alone, which stays the description's. False: it is none that may be asked for. */
bool devices_find(const Bulkhead__VmSpec *spec, const char *id, Bulkhead__VmConfig *ret_one);

/* The guest of that VM asks for it, or gives it back. False: *ret_fault says why not. */
bool devices_ask(struct host *host, struct host_vm *vm, const char *id, bool back,
                 const struct host_ticket *ticket, struct fault *ret_fault);
/* fault->error 0: it is there, or gone. Nothing if none is on its way. */
void devices_done(struct host *host, struct host_vm *vm, const struct fault *fault);
