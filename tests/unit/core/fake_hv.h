/* SPDX-License-Identifier: Apache-2.0 */
/* fake_hv.h - kvm/irq.h without a hypervisor: remembers what the devices asked of it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "kvm/irq.h"

enum { FAKE_GSIS = 4096, FAKE_NOTIFIES = 256 };

struct hv {
    bool line[32];
    unsigned rises[32];
    unsigned msis; /* sent at once */
    uint64_t msi_addr;
    uint32_t msi_data;
    unsigned routings; /* times the table was set */
    struct {
        bool attached, routed;
        int event_fd;
        uint64_t addr;
        uint32_t data;
    } gsi[FAKE_GSIS];
    struct {
        uint64_t addr; /* 0: free */
        int event_fd;
    } notify[FAKE_NOTIFIES];
    unsigned mistakes; /* double attach, detach of what isn't there */
    bool refuse;       /* every call that can fail does */
};

unsigned fake_routes(const struct hv *hv);
unsigned fake_notifies(const struct hv *hv);
int fake_notify_at(const struct hv *hv, uint64_t addr); /* event fd, or -1 */
