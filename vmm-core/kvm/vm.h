/* SPDX-License-Identifier: Apache-2.0 */
/* vm.h - one VM: its memory, its interrupt controllers and its vCPUs, created in one go before the
 * sandbox is entered. Afterwards nothing in this folder allocates or opens. The rest of the core
 * knows a hypervisor by vm.h, vcpu.h and irq.h; only the files of this folder know which one it is.
 */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "shm/gmem.h"

struct hv;

/* Creates the VM with RAM where `mem` has it. nested: the guest may run guests of its own, for which
 * the host's kernel runs far more of its code on the guest's behalf. device_fd is /dev/kvm and stays
 * the caller's; it is not needed afterwards. -EOPNOTSUPP with an origin names what the host lacks. */
int hv_new(struct hv **ret_hv, int device_fd, unsigned n_vcpus, bool nested,
           const struct gmem *mem) must_check;
void hv_free(struct hv *hv);
/* Descriptors that must survive the sandbox; returns how many there are, fills at most max. */
unsigned hv_fds(const struct hv *hv, int *fds, unsigned max);
