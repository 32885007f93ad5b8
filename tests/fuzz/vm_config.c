/* SPDX-License-Identifier: Apache-2.0 */
/* vm_config.c - see vm_config.h. */
#include "vm_config.h"

#include <stdlib.h>
#include <string.h>
#include "config/config.h"

Bulkhead__VmConfig *vm_config_plain(const char *net_mode)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);
    Bulkhead__NetConfig *net = malloc(sizeof *net);
    Bulkhead__DiskConfig *disk = malloc(sizeof *disk);

    bulkhead__net_config__init(net);
    net->mode = strdup(net_mode);
    c->nets = malloc(sizeof *c->nets);
    c->nets[c->n_nets++] = net;
    bulkhead__disk_config__init(disk);
    disk->path = strdup("/d0.raw");
    c->disks = malloc(sizeof *c->disks);
    c->disks[c->n_disks++] = disk;
    if (config_fill(c, "fuzz") < 0)
        abort();
    c->rng->enabled = c->balloon->enabled = true;
    return c;
}

Bulkhead__VmConfig *vm_config_make(const char *net_mode)
{
    Bulkhead__VmConfig *c = vm_config_plain(net_mode);

    c->vsock->enabled = true;
    c->vsock->id = strdup("vsock0");
    c->serial->mode = c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
    return c;
}
