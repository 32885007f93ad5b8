/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.h - a valid configuration that a test then breaks in one place. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/config.h"
#include <cmocka.h>

static inline void fixture_text(char **field, const char *text)
{
    if ((const char *)*field != protobuf_c_empty_string)
        free(*field);
    *field = strdup(text);
}

static inline Bulkhead__DiskConfig *fixture_add_disk(Bulkhead__VmConfig *c, const char *path)
{
    Bulkhead__DiskConfig *disk = malloc(sizeof *disk);

    bulkhead__disk_config__init(disk);
    fixture_text(&disk->path, path);
    c->disks = realloc(c->disks, (c->n_disks + 1) * sizeof *c->disks);
    c->disks[c->n_disks++] = disk;
    return disk;
}

static inline Bulkhead__NetConfig *fixture_add_net(Bulkhead__VmConfig *c, const char *mode)
{
    Bulkhead__NetConfig *net = malloc(sizeof *net);

    bulkhead__net_config__init(net);
    fixture_text(&net->mode, mode);
    c->nets = realloc(c->nets, (c->n_nets + 1) * sizeof *c->nets);
    c->nets[c->n_nets++] = net;
    return net;
}

/* A kernel, two disks, a user network, rng, console: everything filled in. */
static inline Bulkhead__VmConfig *fixture_config(void)
{
    Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__VmConfig *c = config_copy(&empty);

    assert_non_null(c);
    fixture_text(&c->kernel, "/boot/vmlinuz");
    fixture_add_disk(c, "/d0.raw");
    fixture_add_disk(c, "/d1.raw");
    fixture_add_net(c, "user");
    assert_int_equal(config_fill(c, "vm-1"), 0);
    c->rng->enabled = true;
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_TTY;
    c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_PTY;
    return c;
}
