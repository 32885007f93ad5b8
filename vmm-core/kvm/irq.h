/* SPDX-License-Identifier: Apache-2.0 */
/* irq.h - interrupts into a VM, and the guest's writes that signal an eventfd. All that devices know
 * of the hypervisor; their tests link a fake of it. Calls may come from any thread. Failures, which
 * the guest can provoke at run time, are a negative errno with an origin.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

struct hv;

/* A line of the interrupt controller. */
void hv_irq_line(struct hv *hv, unsigned gsi, bool level);
/* A message-signalled interrupt, now. */
void hv_msi_send(struct hv *hv, uint64_t addr, uint32_t data);
/* What gsi (>= LAYOUT_GSI_MSI_BASE) means; costs a millisecond, so only when it changed. */
int hv_msi_route(struct hv *hv, unsigned gsi, uint64_t addr, uint32_t data) must_check;
/* n of them from gsi on mean nothing any more. */
void hv_msi_unroute(struct hv *hv, unsigned gsi, unsigned n);
/* While attached, a signal on the eventfd raises gsi; one that is pending already does at once. */
int hv_irq_attach(struct hv *hv, int event_fd, unsigned gsi) must_check;
void hv_irq_detach(struct hv *hv, int event_fd, unsigned gsi);
/* While attached, a guest's write at addr signals the eventfd and is not seen as an exit. */
int hv_notify_attach(struct hv *hv, int event_fd, uint64_t addr) must_check;
void hv_notify_detach(struct hv *hv, int event_fd, uint64_t addr);

/* For vm.c, once: the fixed routes, GSI n is pin n of the IOAPIC. */
int kvm_irq_init(struct hv *hv) must_check;
