/* SPDX-License-Identifier: Apache-2.0 */
/* one_device.c - see one_device.h. */
#include "run/one_device.h"

#include <errno.h>
#include "config/checks.h"
#include "config/config.h"
#include "config/merge.h"

int one_device_take(Bulkhead__VmConfig *c, const Bulkhead__VmConfig *device,
                    Bulkhead__Role *ret_role, struct fault *f)
{
    Bulkhead__VmConfig *copy = config_copy(device);
    unsigned index;
    int r;

    if (!copy || config_fill(c, "vm") < 0) {
        config_free(copy);
        return fault_host(f, ENOMEM, "no memory for the configuration");
    }
    c->rng->enabled = false;
    c->serial->mode = c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    r = config_add(c, copy, ret_role, &index, f);
    if (r == 0 && config_fill(c, "vm") < 0)
        r = fault_host(f, ENOMEM, "no memory for the configuration");
    if (r == 0 && *ret_role == BULKHEAD__ROLE__ROLE_BLK && c->disks[0]->rate_limit_group[0] != '\0')
        c->disks[0]->rate_limit_group[0] = '\0'; /* the VM's affair */
    return r < 0 ? r : validate_devices(c, f);
}
