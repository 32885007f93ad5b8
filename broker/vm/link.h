/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - a network device's link that the guest sees, a tap that goes and comes again, and passt,
 * which is replaced when it dies, with a new stream. The old one may have ended in the middle of a
 * frame, so the device's worker is replaced as well (replace.c); the guest keeps its link. */
#pragma once

#include "vm/vm.h"

/* What its worker is told: as the user wants it, if there is anything to carry frames. */
bool link_wanted(const struct device *device);
/* Its worker became ready, or took over from another. */
void link_on_ready(struct vm *vm, struct device *device);
void link_set_tap(struct vm *vm, struct device *device, enum tap_state state);
/* Its worker says so. returns: the tap's interface is down and may come up again. */
void link_on_lost(struct vm *vm, struct device *device, bool returns);
void link_on_found(struct vm *vm, struct device *device);
/* Events of a tap that goes and comes again and again are a second apart: the last state is told. */
void link_on_tick(struct vm *vm, struct device *device);
/* Starts passt, if that is how the device is connected and none is there. */
void link_start_passt(struct vm *vm, struct device *device);
/* It has ended; or that of a device which the guest doesn't know, or no more, could not be started. child: NULL where
 * there was no room for one. */
void link_passt_gone(struct device *device, const struct child *child, const char *how);
/* Its start has failed. */
void link_passt_refused(struct vm *vm, struct device *device, const char *why);
/* Why there is no VM, or no device, without the passt that is gone. */
void link_passt_fault(const struct device *device, struct fault *ret_fault);
/* Whether one that is to open its ports before the guest has the device is not through. */
bool link_awaits_passt(const struct vm *vm, const struct device *device);
/* Whether the worker is well but has nothing to carry its frames: `repair` is about that. */
bool link_is_cut_off(const struct device *device);
bool link_settle(struct vm *vm, struct device *device);
