/* SPDX-License-Identifier: Apache-2.0 */
/* net_tap.c - a queue pair's port: one queue of a tap. */
#include "net_tap.h"

#include <errno.h>
#include <linux/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "net_hdr.h"
#include "net_port.h"

int net_tap_init(struct net_tap *tap, unsigned index, int fd)
{
    int r;

    *tap = (struct net_tap){ .fd = fd, .index = index };
    r = fd_expect(fd, FD_TYPE_CHAR, "tap");
    if (r == 0)
        r = fd_set_nonblock(fd); /* made for this device, shared with nobody */
    return r < 0 ? err_trace(r) : 0;
}

/* A tap takes these in company alone, and refuses all with them: what it would have been told of stays off. */
static unsigned without_lone_flags(unsigned flags)
{
    const unsigned uso = TUN_F_USO4 | TUN_F_USO6;

    if (!(flags & (TUN_F_TSO4 | TUN_F_TSO6)))
        flags &= ~(unsigned)TUN_F_TSO_ECN;
    return (flags & uso) == uso ? flags : flags & ~uso;
}

static unsigned offloads_for(uint64_t features)
{
    static const struct {
        unsigned bit, flag;
    } map[] = {
        { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },   { VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
        { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN }, { VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO },
        { VIRTIO_NET_F_GUEST_USO4, TUN_F_USO4 },   { VIRTIO_NET_F_GUEST_USO6, TUN_F_USO6 },
    };
    unsigned flags = 0;

    if (!(features & NET_BIT(VIRTIO_NET_F_GUEST_CSUM)))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++)
        if (features & NET_BIT(map[i].bit))
            flags |= map[i].flag;
    return without_lone_flags(flags) | TUN_F_CSUM;
}

int net_tap_set_offloads(const struct net_tap *tap, uint64_t features)
{
    return ioctl(tap->fd, TUNSETOFFLOAD, offloads_for(features)) < 0 ? -errno : 0;
}

bool net_tap_find_attached(const struct net_tap *tap)
{
    struct ifreq req = { .ifr_flags = IFF_DETACH_QUEUE };

    if (ioctl(tap->fd, TUNSETQUEUE, &req) < 0)
        return false;
    req.ifr_flags = IFF_ATTACH_QUEUE;
    return ioctl(tap->fd, TUNSETQUEUE, &req) == 0;
}

int net_tap_attach(const struct net_tap *tap, bool on)
{
    struct ifreq req = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

    /* EINVAL: it is as we want it. */
    if (ioctl(tap->fd, TUNSETQUEUE, &req) < 0 && errno != EINVAL)
        return err_origin(-errno, "tap queue %u", tap->index);
    return 0;
}

/* ---- what becomes of the port ---- */

bool net_tap_is_gone(int error)
{
    return error == EBADFD || error == ENOLINK; /* of a tap, of a macvtap */
}

/* A tap without a limit to what it has under way is writable whenever its interface is up. */
enum net_tap_state net_tap_look(const struct net_tap *first)
{
    struct pollfd p = { .fd = first->fd, .events = POLLOUT };

    if (poll(&p, 1, 0) == 1 && (p.revents & POLLERR))
        return NET_TAP_GONE;
    return p.revents & POLLOUT ? NET_TAP_UP : NET_TAP_DOWN;
}

int net_tap_lost(const struct net_tap *first, int error)
{
    enum net_tap_state state = net_tap_look(first);

    if (net_tap_is_gone(error) && state == NET_TAP_GONE)
        return NET_PORT_GONE;
    return (error == EIO || error == ENETDOWN) && state == NET_TAP_DOWN ? NET_PORT_DOWN : 0;
}

/* ---- frames ---- */

int net_tap_read(const struct net_tap *tap, uint8_t *frame, size_t *ret_bytes)
{
    ssize_t n = read(tap->fd, frame, NET_HDR_BYTES + NET_MAX_FRAME_BYTES);

    if (n > NET_HDR_BYTES) {
        *ret_bytes = (size_t)n;
        return 0;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NET_PORT_EMPTY;
    return n < 0 ? -errno : -ENODATA;
}

int net_tap_write(const struct net_tap *tap, const struct iovec *iov, int n_iov)
{
    ssize_t n = writev(tap->fd, iov, n_iov);

    if (n >= 0)
        return 0;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? NET_PORT_FULL : -errno;
}
