/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c - see identity.h. */
#include "plan/identity.h"

#include <string.h>
#include <unistd.h>
#include "sandbox/ids.h"
#include "sandbox/namespaces.h"

bool host_has_uids(void)
{
    return geteuid() == 0 && sandbox_ids_mapped(SANDBOX_UID_FIRST, SANDBOX_UID_COUNT);
}

void host_look(int userns_error, struct plan_host *ret_host)
{
    *ret_host = (struct plan_host){ .root = host_has_uids(),
                                    .userns_error = userns_error,
                                    .uid = geteuid(),
                                    .gid = getegid(),
                                    .broker_pid = getpid() };
}

uint32_t host_uid(const struct plan_host *host, unsigned uid_slot)
{
    return host->root ? sandbox_uid(host->uid_range, uid_slot) : host->uid;
}

int host_check(const Bulkhead__VmConfig *config, const struct plan_host *host, struct fault *f)
{
    if (host->userns_error == 0)
        return 0;
    if (!host->root)
        return fault_input(f,
                           "no user namespace can be made here, and without one only root can "
                           "start a VM: %s",
                           sandbox_userns_cure(host->userns_error));
    for (size_t i = 0; i < config->n_nets; i++)
        if (strcmp(config->nets[i]->mode, "user") == 0)
            return fault_input(f,
                               "%s: passt needs a user namespace, and none can be made here: use "
                               "a tap, or have user.max_user_namespaces raised",
                               config->nets[i]->id);
    return 0;
}
