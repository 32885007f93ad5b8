/* SPDX-License-Identifier: Apache-2.0 */
/* replace.h - a device's worker is replaced: it died or hangs (repair), there is a new build (upgrade), or
 * what it was connected to is no more (passt). One table of stages for all of them:
 *
 * | stage    | event -> next |
 * | FIRST    | the VM runs -> SERVED; gone -> the start fails (boot.c) |
 * | SERVED   | gone by itself -> VACANT; gone -> REPAIR, or DEAD by the crash limit; upgrade -> PROBE;
 * |          | its stream is stale -> MAKE_WAY |
 * | VACANT   | the core is gone too -> the VM ends; deadline -> as gone |
 * | REPAIR   | ready -> SERVED, or HANDOVER if an upgrade waits; gone -> counted again; the host has no
 * |          | room for a process -> asked again later |
 * | PROBE    | the candidate is ready -> DRAIN, or HANDOVER if idle; one of an exclusive kind said Hello ->
 * |          | MAKE_WAY; candidate gone, or reset -> SERVED; worker gone -> REPAIR with the old build |
 * | DRAIN    | quiesced -> HANDOVER; deadline, reset, candidate gone -> SERVED; worker gone -> REPAIR |
 * | HANDOVER | activated -> SERVED, on probation; gone -> rolled back, REPAIR |
 * | MAKE_WAY | gone -> REPAIR |
 * | DEAD     | repaired by hand -> REPAIR |
 * | ADD, LEAVING are hotplug.c's |
 *
 * A device that failed answers: a disk's worker is started once more in a mode that gives every request
 * an I/O error; a network device's link goes down; the others tell the driver that they need a reset, and
 * the broker acknowledges that reset itself. */
#pragma once

#include "vm/vm.h"

/* The worker, the candidate, or one that was told to leave, has ended. */
void replace_gone(struct vm *vm, struct child *child, bool clean, const char *how);
/* The host could not start it. */
void replace_not_started(struct vm *vm, struct child *child, const char *why);
/* The candidate's program could not be opened. */
void replace_no_program(struct vm *vm, struct device *device, const struct fault *fault);
void replace_program_opened(struct vm *vm, struct device *device);
void replace_vacancy_ends(struct vm *vm, struct device *device);
void replace_try_again(struct vm *vm, struct device *device);
/* The device leaves the VM, and its processes are told to; who waits for a repair or an upgrade is told. */
void replace_leave(struct vm *vm, struct device *device);
/* The candidate is given up, the old worker goes on. */
void replace_give_up(struct vm *vm, struct device *device, const char *why);

/* Both: 0, or -EINVAL with one line in *ret_fault. opened: the candidate's program is held already. */
int replace_by_hand(struct vm *vm, struct device *device, struct ticket ticket,
                    struct fault *ret_fault) must_check;
int replace_check_upgrade(const struct vm *vm, const struct device *device,
                          struct fault *ret_fault) must_check;
void replace_upgrade(struct vm *vm, struct device *device, struct ticket ticket, bool opened);
int replace_upgrade_all(struct vm *vm, struct ticket ticket, struct fault *ret_fault) must_check;
bool replace_settle(struct vm *vm, struct device *device);
