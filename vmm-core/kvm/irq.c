/* SPDX-License-Identifier: Apache-2.0 */
/* irq.c - see irq.h: interrupt routes, irqfds, ioeventfds. */
#include "kvm/irq.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include "base/err.h"
#include "kvm/kvm.h"

/* KVM brings a pair of 8259 with its IOAPIC, which this machine doesn't have (the MADT says so): no
 * route leads to it, so it never interrupts. */
int kvm_irq_init(struct hv *hv)
{
    hv->routes = calloc(1, sizeof *hv->routes + KVM_MAX_ROUTE * sizeof hv->routes->entries[0]);
    if (!hv->routes)
        return err_origin(-ENOMEM, "interrupt routes");
    for (unsigned pin = 0; pin < KVM_IRQCHIP_PINS; pin++)
        hv->routes->entries[hv->routes->nr++] = (struct kvm_irq_routing_entry){
            .gsi = pin,
            .type = KVM_IRQ_ROUTING_IRQCHIP,
            .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = pin },
        };
    if (ioctl(hv->vm_fd, KVM_SET_GSI_ROUTING, hv->routes) < 0)
        return err_origin(-errno, "KVM_SET_GSI_ROUTING");
    return 0;
}

void hv_irq_line(struct hv *hv, unsigned gsi, bool level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level };

    (void)ioctl(hv->vm_fd, KVM_IRQ_LINE, &line);
}

void hv_msi_send(struct hv *hv, uint64_t addr, uint32_t data)
{
    struct kvm_msi msi = { .address_lo = (uint32_t)addr,
                           .address_hi = (uint32_t)(addr >> 32),
                           .data = data };

    (void)ioctl(hv->vm_fd, KVM_SIGNAL_MSI, &msi);
}

int hv_msi_route(struct hv *hv, unsigned gsi, uint64_t addr, uint32_t data)
{
    struct kvm_irq_routing_entry *entry;
    unsigned i = gsi - LAYOUT_GSI_MSI_BASE;
    int r = 0;

    if (gsi < LAYOUT_GSI_MSI_BASE || i >= KVM_MAX_MSI)
        return err_origin(-EINVAL, "GSI %u is not for messages", gsi);
    pthread_mutex_lock(&hv->route_lock);
    if (hv->route_of[i] == 0)
        hv->route_of[i] = (uint16_t)hv->routes->nr++;
    entry = &hv->routes->entries[hv->route_of[i]];
    *entry = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = { .address_lo = (uint32_t)addr,
                   .address_hi = (uint32_t)(addr >> 32),
                   .data = data },
    };
    if (ioctl(hv->vm_fd, KVM_SET_GSI_ROUTING, hv->routes) < 0)
        r = err_origin(-errno, "KVM_SET_GSI_ROUTING");
    if (r < 0) {
        /* KVM kept the old table; an address it refuses must not poison the next change. */
        entry->u.msi.address_lo = LAYOUT_LAPIC_BASE;
        entry->u.msi.address_hi = 0;
    }
    pthread_mutex_unlock(&hv->route_lock);
    return r;
}

/* The last entry takes the place of one that goes. */
static void drop_route(struct hv *hv, unsigned i)
{
    unsigned at = hv->route_of[i], last = hv->routes->nr - 1;

    hv->routes->entries[at] = hv->routes->entries[last];
    hv->route_of[hv->routes->entries[at].gsi - LAYOUT_GSI_MSI_BASE] = (uint16_t)at;
    hv->route_of[i] = 0;
    hv->routes->nr = last;
}

void hv_msi_unroute(struct hv *hv, unsigned gsi, unsigned n)
{
    unsigned first = gsi - LAYOUT_GSI_MSI_BASE;
    bool any = false;

    pthread_mutex_lock(&hv->route_lock);
    for (unsigned i = first; i - first < n && i < KVM_MAX_MSI; i++)
        if (hv->route_of[i] != 0) {
            drop_route(hv, i);
            any = true;
        }
    /* Refused, KVM keeps routes that nothing raises. */
    if (any)
        (void)ioctl(hv->vm_fd, KVM_SET_GSI_ROUTING, hv->routes);
    pthread_mutex_unlock(&hv->route_lock);
}

static int set_irqfd(struct hv *hv, int event_fd, unsigned gsi, unsigned flags)
{
    struct kvm_irqfd irqfd = { .fd = (uint32_t)event_fd, .gsi = gsi, .flags = flags };

    return ioctl(hv->vm_fd, KVM_IRQFD, &irqfd) < 0 ? err_origin(-errno, "KVM_IRQFD") : 0;
}

int hv_irq_attach(struct hv *hv, int event_fd, unsigned gsi)
{
    return set_irqfd(hv, event_fd, gsi, 0);
}

void hv_irq_detach(struct hv *hv, int event_fd, unsigned gsi)
{
    (void)set_irqfd(hv, event_fd, gsi, KVM_IRQFD_FLAG_DEASSIGN);
}

static int set_ioeventfd(struct hv *hv, int event_fd, uint64_t addr, unsigned flags)
{
    /* Any length costs KVM the least: it need not decode the instruction. */
    struct kvm_ioeventfd notify = {
        .addr = addr, .len = hv->notify_any_length ? 0 : 2, .fd = event_fd, .flags = flags
    };

    return ioctl(hv->vm_fd, KVM_IOEVENTFD, &notify) < 0 ? err_origin(-errno, "KVM_IOEVENTFD") : 0;
}

int hv_notify_attach(struct hv *hv, int event_fd, uint64_t addr)
{
    return set_ioeventfd(hv, event_fd, addr, 0);
}

void hv_notify_detach(struct hv *hv, int event_fd, uint64_t addr)
{
    (void)set_ioeventfd(hv, event_fd, addr, KVM_IOEVENTFD_FLAG_DEASSIGN);
}
