/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - a network device's back end: tap, macvtap, descriptors of the client's, passt's stream.
 * All functions: 0, or a negative errno with one line for
 * the user in *ret_fault. Descriptors belong to the struct they are put in. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"

/* fds: the client's tap descriptors (mode "fd"), taken over. */
int resources_net(Bulkhead__NetConfig *net, int *fds, unsigned n_fds, struct backend *backend,
                  struct fault *ret_fault) must_check;
enum { RESOURCES_VNET_HDR_BYTES = 12 }; /* virtio_net_hdr_mrg_rxbuf */
/* IFF_* of a tap's queues, for TUNSETIFF. */
short resources_net_tap_flags(const Bulkhead__NetConfig *net);
/* rtnetlink, which tells when a macvtap goes down or vanishes, in held[0]. id: "net0". */
int resources_net_watch(const char *id, struct backend *backend,
                        struct fault *ret_fault) must_check;
/* Whether two devices, not passt's, were given one interface. */
bool resources_net_same(const struct backend *a, const struct backend *b);
/* A socket pair: the worker's end in own, passt's in held[0]. */
int resources_stream(const char *what, struct backend *backend, struct fault *ret_fault) must_check;
