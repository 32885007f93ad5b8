/* SPDX-License-Identifier: Apache-2.0 */
/* tap.h - tap interfaces of the host: who has them, how they are set up. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"

bool resources_tap_has_carrier(const char *name);
/* A descriptor, owned by the caller, that keeps other VMs from looking at and opening this
 * interface until it is closed; -1 if there is no /dev/net/tun. Any user may take such a lock, so
 * after a while this goes on without: the lock only says which of two that start at once gets the
 * interface. */
int resources_tap_take_turn(const char *name) must_check;
bool resources_tap_has_pi(const char *name); /* frames begin with 4 bytes of their own */
enum tap_kind { TAP_KIND_NONE, TAP_KIND_OTHER, TAP_KIND_SINGLE, TAP_KIND_MULTI_QUEUE };
/* Before the broker's sandbox. */
enum tap_kind resources_tap_kind(const char *name);
struct tap_facts {
    enum tap_kind kind;
    bool has_carrier; /* somebody has it open, be the interface up or down */
    unsigned queues;  /* open, attached or not, of an interface with multi_queue; else 0 */
};
/* Also in the broker's sandbox, over a socket of NETLINK_ROUTE. 0, or a negative errno: -ENODEV where there
 * is no such interface. */
int resources_tap_ask(int rtnetlink, const char *name, struct tap_facts *ret_facts) must_check;
/* Address, MTU and "up" of a tap that was opened; nothing for other modes. It comes last, when nothing
 * can be refused any more: somebody else's tap stays as it was. */
int resources_tap_configure(const Bulkhead__NetConfig *net, struct fault *ret_fault) must_check;
/* After the descriptors of a tap that was made here are closed: waits until the interface is gone. A
 * dead worker's io_uring has it for some 30 ms more. */
void resources_tap_await_gone(const char *tap);
/* IFF_*. False: there is no such interface. */
bool resources_tap_flags(const char *name, short *ret_flags);
