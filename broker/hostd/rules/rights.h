/* SPDX-License-Identifier: Apache-2.0 */
/* rights.h - named rights: what the guest of a VM may ask the service for, over its vsock. Whoever describes a VM gives it;
 * it is a part of the description, and so as old as that. */
#pragma once

#include "hostd/rules/facts.h"

enum { RIGHTS_MAX_VMS = 64, RIGHTS_MAX_LABELS = 32 };
/* What a guest may have at once, and ask for on each; further requests wait. */
enum { RIGHTS_CONNECTIONS = 4, RIGHTS_REQUESTS_PER_S = 10 };

/* Is the port of its vsock's host side the service's? */
bool rights_has_any(const Bulkhead__VmSpec *spec);
/* The description says so to the VM's broker, whatever who wrote it has put there. */
void rights_fill(Bulkhead__VmSpec *spec);
/* 0, or -EINVAL with one line for who asked. */
int rights_check(const Bulkhead__VmSpec *spec, struct fault *ret_fault) must_check;

/* The VM whose guest that session is; NULL: it is no guest's, or of one that may be nothing any more. */
const struct host_vm *rights_holder(const struct host *host, const struct session *session);
/* May it make such a request at all? Whatever VM it names. */
bool rights_allow(const struct host_vm *holder, Bulkhead__HostEnvelope__BodyCase body);
/* Is that one of those that its right is for? */
bool rights_cover(const struct host_vm *holder, const struct host_vm *vm);
