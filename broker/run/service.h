/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - a VM of the host's service (bulkhead-broker --service): this broker opens nothing by name but its
 * programs. What the plan needs is brought open by a launcher, which has the tenant's rights (launcher.h), and is
 * checked here as a device that is added to a VM which runs. */
#pragma once

#include "run/instance.h"

/* In place of instance_open(). fds: /dev/kvm, the kernel, the initramfs if the configuration names one, then those of each
 * back end, in the order of the plan's devices; taken over. */
int service_open(struct instance *in, Bulkhead__Backend *const *backends, size_t n_backends,
                 int *fds, size_t n_fds, struct fault *ret_fault) must_check;
