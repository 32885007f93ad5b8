/* SPDX-License-Identifier: Apache-2.0 */
/* vouched.h - has who the service is described that VM?
 *
 * What the host's own tenant's VMs have opened is opened with the service's own rights: root's, or the user's. hostd, which says what
 * is to be started, hears every tenant and may have been taken over. So it is not enough there: the command line of who has those rights
 * leaves a copy of the configuration in the folder of what is kept of the VM, HOSTDIR_VOUCHED with a number behind it (cli/vouch.h). hostd
 * can't write there; what it has the starter keep has another name. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"

/* dir_fd: that folder. config: as it came. 0, or -EPERM with one line: there is no copy that says the same. */
int vouched_check(int dir_fd, const Bulkhead__VmConfig *config, struct fault *f) must_check;
