/* SPDX-License-Identifier: Apache-2.0 */
/* net_again.c - a tap that was deleted and made again. The broker is in its sandbox by now: it takes no lock, and
 * the worker has the same descriptors, so a queue that was attached to another VM's tap could not be given back.
 *
 * Of a tap with several queues, which the kernel gives to anybody, one more queue is therefore attached first,
 * the claim (backend.held[1]), which the broker alone has. If it is the only one, the interface is ours: who comes
 * later counts it and gives way (net.c, and here). If it isn't, it is closed, which gives it back. */
#include "devices/net_again.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include "base/fd.h"
#include "devices/backend.h"
#include "devices/net.h"
#include "resources/tap.h"

static bool has_claim(const Bulkhead__NetConfig *n)
{
    return n->num_queues > 2;
}

/* Also of an attempt before that came to no end. */
static bool is_at(int fd, const char *name)
{
    struct ifreq req = { 0 };

    return ioctl(fd, TUNGETIFF, &req) == 0 && strcmp(req.ifr_name, name) == 0;
}

static unsigned count_attached(const Bulkhead__NetConfig *n, const struct backend *b)
{
    unsigned count = 0;

    for (unsigned i = 0; i < b->n_own; i++)
        count += is_at(b->own[i], n->tap);
    return count;
}

static unsigned count_ours(const Bulkhead__NetConfig *n, const struct backend *b)
{
    return count_attached(n, b) + (has_claim(n) && is_at(b->held[1], n->tap));
}

static void detach(int fd)
{
    struct ifreq req = { .ifr_flags = IFF_DETACH_QUEUE };

    (void)ioctl(fd, TUNSETQUEUE, &req); /* EINVAL: it is */
}

static int attach(const Bulkhead__NetConfig *n, int fd, struct fault *f)
{
    struct ifreq req = { .ifr_flags = resources_net_tap_flags(n) };

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", n->tap);
    if (is_at(fd, n->tap) || ioctl(fd, TUNSETIFF, &req) == 0)
        return 0;
    if (errno == EPERM || errno == EACCES)
        return fault_input(f,
                           "%s: no permission to use tap %s: make it again without an owner or, if "
                           "root did not start the VM, for who did, and repair again",
                           n->id, n->tap);
    if (errno == EBUSY)
        return fault_input(f,
                           "%s: interface %s is taken by another process: end that one, or make "
                           "the interface again, and repair again",
                           n->id, n->tap);
    return fault_host(f, errno, "%s: tap %s: %s: repair again, or restart the VM", n->id, n->tap,
                      strerror(errno));
}

/* With none of our queues at it, the claim is closed: detached it would still count, and be able to send. */
static int give_way(const Bulkhead__NetConfig *n, struct backend *b, struct fault *f)
{
    if (!has_claim(n) || count_attached(n, b) > 0 || !is_at(b->held[1], n->tap))
        return fault_input(f,
                           "%s: interface %s is taken by another process: end that one, or make "
                           "the interface again, and repair again",
                           n->id, n->tap);
    fd_closep(&b->held[1]);
    return fault_input(
        f,
        "%s: interface %s was taken by another process in the same moment, and can't be "
        "repaired any more: `bulkhead remove` the device and add it with a tap of its "
        "own, or restart the VM",
        n->id, n->tap);
}

static int look(const Bulkhead__NetConfig *n, struct backend *b, struct fault *f)
{
    enum tap_kind kind = n->num_queues > 2 ? TAP_KIND_MULTI_QUEUE : TAP_KIND_SINGLE;
    unsigned ours = count_ours(n, b);
    struct tap_facts facts;
    int r = resources_tap_ask(b->held[0], n->tap, &facts);

    if (r == -ENODEV)
        return fault_input(f,
                           "%s: there is no interface %s: make it first (ip tuntap add %s mode "
                           "tap%s)",
                           n->id, n->tap, n->tap, n->num_queues > 2 ? " multi_queue" : "");
    if (r < 0)
        return fault_host(f, -r, "%s: rtnetlink of %s: %s: repair again", n->id, n->tap,
                          strerror(-r));
    if (facts.kind != kind)
        return fault_input(
            f, "%s: %s is not a tap with%s multi_queue, as it was before: make it again so", n->id,
            n->tap, n->num_queues > 2 ? "" : "out");
    return (ours == 0 && facts.has_carrier) || facts.queues > ours ? give_way(n, b, f) : 0;
}

static int claim(const Bulkhead__NetConfig *n, struct backend *b, struct fault *f)
{
    struct tap_facts facts;

    if (attach(n, b->held[1], f) < 0)
        return -EINVAL;
    if (resources_tap_ask(b->held[0], n->tap, &facts) < 0 || facts.queues != count_ours(n, b))
        return give_way(n, b, f);
    return 0;
}

static int attach_queues(const Bulkhead__NetConfig *n, const struct backend *b, struct fault *f)
{
    int header = RESOURCES_VNET_HDR_BYTES;

    for (unsigned i = 0; i < b->n_own; i++) {
        if (attach(n, b->own[i], f) < 0)
            return -EINVAL;
        if (ioctl(b->own[i], TUNSETVNETHDRSZ, &header) < 0)
            return fault_host(f, errno, "%s: %s: %s", n->id, n->tap, strerror(errno));
    }
    return 0;
}

/* A claim that is still where the queues are was there all the time: they are at no other interface, which was
 * made in its place meanwhile. It has frames of the host's no longer. */
static int settle(const Bulkhead__NetConfig *n, const struct backend *b, struct fault *f)
{
    bool is_same = count_ours(n, b) == b->n_own + 1;

    for (unsigned i = 0; !is_same && i < b->n_own; i++)
        detach(b->own[i]);
    detach(b->held[1]);
    return is_same
               ? 0
               : fault_input(f,
                             "%s: %s was deleted or renamed meanwhile: make it again, and repair "
                             "again, or restart the VM",
                             n->id, n->tap);
}

/* What is done to an interface that was made for a VM needs no privilege, and one that isn't there is not made. */
int resources_net_attach_again(const Bulkhead__NetConfig *n, struct backend *b, struct fault *f)
{
    int r;

    if (strcmp(n->mode, "tap") != 0)
        return fault_input(f,
                           "%s: only a tap that was given by its name can be used again: restart "
                           "the VM",
                           n->id);
    /* It gave way once, or is of a VM that an older release started. */
    if (b->held[0] < 0 || (has_claim(n) && b->held[1] < 0))
        return fault_input(f,
                           "%s: its interface can't be repaired any more: `bulkhead remove` the "
                           "device and add it again, or restart the VM",
                           n->id);
    r = look(n, b, f);
    if (r == 0 && has_claim(n))
        r = claim(n, b, f);
    if (r == 0)
        r = attach_queues(n, b, f);
    if (r == 0 && has_claim(n))
        r = settle(n, b, f);
    return r;
}
