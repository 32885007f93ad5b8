/* SPDX-License-Identifier: Apache-2.0 */
/* fake_hv.c - see fake_hv.h. */
#include "fake_hv.h"

#include <errno.h>
#include "base/err.h"

void hv_irq_line(struct hv *hv, unsigned gsi, bool level)
{
    if (level && !hv->line[gsi])
        hv->rises[gsi]++;
    hv->line[gsi] = level;
}

void hv_msi_send(struct hv *hv, uint64_t addr, uint32_t data)
{
    hv->msis++;
    hv->msi_addr = addr;
    hv->msi_data = data;
}

int hv_msi_route(struct hv *hv, unsigned gsi, uint64_t addr, uint32_t data)
{
    if (hv->refuse)
        return err_origin(-ENOSPC, "refused");
    hv->routings++;
    hv->gsi[gsi].routed = true;
    hv->gsi[gsi].addr = addr;
    hv->gsi[gsi].data = data;
    return 0;
}

void hv_msi_unroute(struct hv *hv, unsigned gsi, unsigned n)
{
    for (unsigned i = gsi; i < gsi + n; i++) {
        hv->mistakes += hv->gsi[i].attached;
        hv->gsi[i].routed = false;
    }
}

int hv_irq_attach(struct hv *hv, int event_fd, unsigned gsi)
{
    if (hv->refuse)
        return err_origin(-EBUSY, "refused");
    hv->mistakes += hv->gsi[gsi].attached;
    hv->gsi[gsi].attached = true;
    hv->gsi[gsi].event_fd = event_fd;
    return 0;
}

void hv_irq_detach(struct hv *hv, int event_fd, unsigned gsi)
{
    hv->mistakes += !hv->gsi[gsi].attached || hv->gsi[gsi].event_fd != event_fd;
    hv->gsi[gsi].attached = false;
}

int hv_notify_attach(struct hv *hv, int event_fd, uint64_t addr)
{
    if (hv->refuse)
        return err_origin(-ENOSPC, "refused");
    if (fake_notify_at(hv, addr) >= 0)
        return err_origin(-EEXIST, "watched already");
    for (unsigned i = 0; i < FAKE_NOTIFIES; i++)
        if (hv->notify[i].addr == 0) {
            hv->notify[i].addr = addr;
            hv->notify[i].event_fd = event_fd;
            return 0;
        }
    return err_origin(-ENOSPC, "full");
}

void hv_notify_detach(struct hv *hv, int event_fd, uint64_t addr)
{
    for (unsigned i = 0; i < FAKE_NOTIFIES; i++)
        if (hv->notify[i].addr == addr && hv->notify[i].event_fd == event_fd) {
            hv->notify[i].addr = 0;
            return;
        }
    hv->mistakes++;
}

unsigned fake_routes(const struct hv *hv)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FAKE_GSIS; i++)
        n += hv->gsi[i].routed;
    return n;
}

unsigned fake_notifies(const struct hv *hv)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FAKE_NOTIFIES; i++)
        n += hv->notify[i].addr != 0;
    return n;
}

int fake_notify_at(const struct hv *hv, uint64_t addr)
{
    for (unsigned i = 0; i < FAKE_NOTIFIES; i++)
        if (hv->notify[i].addr == addr)
            return hv->notify[i].event_fd;
    return -1;
}
