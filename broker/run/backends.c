/* SPDX-License-Identifier: Apache-2.0 */
/* backends.c - see backends.h. */
#include "run/backends.h"

#include "devices/blk.h"
#include "devices/console.h"
#include "devices/net.h"
#include "devices/vsock.h"
#include "resources/tap.h"

static int open_net(Bulkhead__NetConfig *net, int *fds, unsigned n_fds, struct backend *b,
                    struct fault *f)
{
    int r = resources_net(net, fds, n_fds, b, f);

    return r < 0 ? r : resources_tap_configure(net, f);
}

int backends_open(const struct trees *trees, Bulkhead__VmConfig *c, const struct plan_device *d,
                  int *fds, unsigned n_fds, struct backend *b, struct fault *f)
{
    const bool serial = d->pci_slot == 0;

    switch ((int)d->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        return resources_disk(trees, c->disks[d->index], b, f);
    case BULKHEAD__ROLE__ROLE_NET:
        return open_net(c->nets[d->index], fds, n_fds, b, f);
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return resources_console(trees, serial ? "the serial port" : "the console",
                                 serial ? c->serial : c->console, NULL, b, f);
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return resources_vsock(trees, c->vsock, b, f);
    default:
        return fault_input(f, "such a device has nothing to open");
    }
}
