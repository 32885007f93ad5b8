/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - taps and macvtaps, made or opened, and the stream to passt. */
#include "devices/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "devices/backend.h"
#include "resources/open.h"
#include "resources/tap.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int set_name(char **field, const char *name)
{
    char *copy = strdup(name);

    if (!copy)
        return -ENOMEM;
    if ((const char *)*field != protobuf_c_empty_string)
        free(*field);
    *field = copy;
    return 0;
}

/* The kernel says no more than EINVAL. */
static int wrong_kind(const Bulkhead__NetConfig *n, const char *name, struct fault *f)
{
    switch ((int)resources_tap_kind(name)) {
    case TAP_KIND_MULTI_QUEUE:
        return fault_input(f,
                           "%s: tap %s has multi_queue, for two pairs of queues or more: "
                           "num_queues=4 fits",
                           n->id, name);
    case TAP_KIND_SINGLE:
        return fault_input(f,
                           "%s: tap %s has no multi_queue: num_queues=2 fits, or make it with "
                           "`ip tuntap add %s mode tap multi_queue`",
                           n->id, name, name);
    default:
        return fault_input(f, "%s: interface %s exists but is not a tap: give another tap=NAME",
                           n->id, name);
    }
}

static int tap_fault(const Bulkhead__NetConfig *n, const char *name, int error, struct fault *f)
{
    switch (error) {
    case EPERM:
    case EACCES:
        return fault_input(f,
                           "%s: no permission to use tap %s: run as root, have it made for this "
                           "user (ip tuntap add %s mode tap user $USER), or use mode user",
                           n->id, name, name);
    case EBUSY:
        return fault_input(f, "%s: interface %s is taken by another process: give another tap=NAME",
                           n->id, name);
    case EINVAL:
        return wrong_kind(n, name, f);
    default:
        return fault_host(f, error, "%s: tap %s: %s", n->id, name, strerror(error));
    }
}

/* The kernel tells only by taking them. It is asked once, while nobody uses the tap: a worker that did
 * would take the offloads away from the one that runs beside it. */
static unsigned probe_offloads(int fd)
{
    static const unsigned tries[] = {
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO | TUN_F_USO4 | TUN_F_USO6,
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO,
        TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
        TUN_F_CSUM,
    };

    for (size_t i = 0; i < ARRAY_SIZE(tries); i++)
        if (ioctl(fd, TUNSETOFFLOAD, tries[i]) == 0)
            return tries[i];
    return 0;
}

/* The vnet header's size, byte order and a clean start: the worker turns offloads on when the
 * driver has agreed to them. */
static int prepare_tap(const Bulkhead__NetConfig *n, int fd, struct backend *b, struct fault *f)
{
    int header = RESOURCES_VNET_HDR_BYTES, little = 1;

    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
        return fault_input(f, "%s: the descriptor is not a tap with a vnet header: %s", n->id,
                           strerror(errno));
    ioctl(fd, TUNSETVNETLE, &little); /* the default on x86 */
    b->tap_offloads = probe_offloads(fd);
    if (ioctl(fd, TUNSETOFFLOAD, 0ul) < 0)
        return fault_host(f, errno, "%s: tap offloads: %s", n->id, strerror(errno));
    return fd_set_nonblock(fd);
}

static bool is_tap(int sock, const char *name)
{
    struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
    struct ifreq req = { .ifr_data = (char *)&driver };

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", name);
    return ioctl(sock, SIOCETHTOOL, &req) == 0 && strcmp(driver.driver, "tun") == 0 &&
           strcmp(driver.bus_info, "tap") == 0;
}

/* A tap has a carrier while somebody has it open; without this check a tap of many queues would be
 * shared with whom it belongs to. One that isn't there yet is nobody's. */
static int check_free(const Bulkhead__NetConfig *n, struct fault *f)
{
    cleanup_(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (sock < 0)
        return fault_host(f, errno, "%s: socket: %s", n->id, strerror(errno));
    for (int ms = 0; ms <= RESOURCES_PATIENCE_MS; ms += RESOURCES_RETRY_MS) {
        if (!is_tap(sock, n->tap) || !resources_tap_has_carrier(n->tap))
            return 0;
        resources_wait_a_little();
    }
    return tap_fault(n, n->tap, EBUSY, f);
}

short resources_net_tap_flags(const Bulkhead__NetConfig *n)
{
    return IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (n->num_queues > 2 ? IFF_MULTI_QUEUE : 0);
}

static int open_queue(const Bulkhead__NetConfig *n, struct ifreq *req, int *ret_fd, struct fault *f)
{
    cleanup_(fd_closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return fault_input(f, "%s: /dev/net/tun: %s: load the module tun, or use mode user", n->id,
                           strerror(errno));
    if (ioctl(fd, TUNSETIFF, req) < 0)
        return tap_fault(n, req->ifr_name, errno, f);
    *ret_fd = fd_take(&fd);
    return 0;
}

static int open_rtnetlink(const char *id, unsigned groups, struct backend *b, struct fault *f)
{
    const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };

    b->held[0] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (b->held[0] < 0 || bind(b->held[0], (const struct sockaddr *)&address, sizeof address) < 0)
        return fault_host(f, errno, "%s: rtnetlink: %s", id, strerror(errno));
    return 0;
}

/* A queue of the same interface, detached: it gets no frame, and is attached to nothing else as long as the
 * interface is there. */
static int open_claim(const Bulkhead__NetConfig *n, struct ifreq *req, struct backend *b,
                      struct fault *f)
{
    struct ifreq detach = { .ifr_flags = IFF_DETACH_QUEUE };

    if (open_queue(n, req, &b->held[1], f) < 0)
        return -EINVAL;
    if (ioctl(b->held[1], TUNSETQUEUE, &detach) < 0)
        return fault_host(f, errno, "%s: tap %s: %s", n->id, req->ifr_name, strerror(errno));
    return 0;
}

/* Somebody may have opened it since it was free; of two that did, the later one sees it here. */
static int check_queues(const Bulkhead__NetConfig *n, const char *name, const struct backend *b,
                        struct fault *f)
{
    unsigned ours = b->held[1] >= 0 ? b->n_own + 1 : 0; /* of one queue the kernel sees to it */
    struct tap_facts facts;
    int r = resources_tap_ask(b->held[0], name, &facts);

    if (r < 0)
        return fault_host(f, -r, "%s: rtnetlink of %s: %s", n->id, name, strerror(-r));
    return facts.queues == ours ? 0 : tap_fault(n, name, EBUSY, f);
}

static int open_tap(Bulkhead__NetConfig *n, struct backend *b, struct fault *f)
{
    cleanup_(fd_closep) int turn = n->tap[0] ? resources_tap_take_turn(n->tap) : -1;
    struct ifreq req = { .ifr_flags = resources_net_tap_flags(n) };
    unsigned pairs = n->num_queues / 2;
    bool made;

    if (n->tap[0] && check_free(n, f) < 0)
        return -EINVAL;
    made = n->tap[0] == '\0' || if_nametoindex(n->tap) == 0;
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", n->tap[0] ? n->tap : "bhtap%d");
    for (unsigned i = 0; i < pairs; i++) {
        int fd;

        if (open_queue(n, &req, &fd, f) < 0)
            return -EINVAL;
        b->own[b->n_own++] = fd;
        if (made)
            snprintf(b->made_tap, sizeof b->made_tap, "%s", req.ifr_name);
        if (prepare_tap(n, fd, b, f) < 0)
            return -EINVAL;
    }
    if (open_rtnetlink(n->id, 0, b, f) < 0 || (pairs > 1 && open_claim(n, &req, b, f) < 0) ||
        check_queues(n, req.ifr_name, b, f) < 0)
        return -EINVAL;
    return set_name(&n->tap, req.ifr_name) < 0 ? fault_host(f, ENOMEM, "%s: no memory", n->id) : 0;
}

/* Whoever opens it gets a share of its frames, so the kernel refuses nobody: VMs tell each other. */
static int lock_macvtap(const Bulkhead__NetConfig *n, int fd, struct fault *f)
{
    int r = resources_lock(fd, F_WRLCK);

    if (r == 0)
        return 0;
    if (r != -EAGAIN)
        return fault_host(f, -r, "%s: locking %s: %s", n->id, n->tap, strerror(-r));
    return fault_input(f, "%s: %s is in use by another VM: make a macvtap for each", n->id, n->tap);
}

int resources_net_watch(const char *id, struct backend *b, struct fault *f)
{
    return open_rtnetlink(id, RTMGRP_LINK, b, f);
}

static int open_macvtap(const Bulkhead__NetConfig *n, struct backend *b, struct fault *f)
{
    unsigned index = if_nametoindex(n->tap);
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    char path[48];

    if (index == 0)
        return fault_input(f,
                           "%s: there is no interface %s: make it first (ip link add link DEV "
                           "name %s type macvtap mode bridge)",
                           n->id, n->tap, n->tap);
    if (n->num_queues > 2)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    b->macvtap = (int)index;
    snprintf(path, sizeof path, "/dev/tap%u", index);
    for (unsigned i = 0; i < n->num_queues / 2; i++) {
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0 && errno == ENOENT)
            return fault_input(f, "%s: %s is not a macvtap (no %s): give another interface", n->id,
                               n->tap, path);
        if (fd < 0)
            return fault_input(f, "%s: can't open %s: %s: run as root or change its mode", n->id,
                               path, strerror(errno));
        b->own[b->n_own++] = fd;
        if (i == 0 && lock_macvtap(n, fd, f) < 0)
            return -EINVAL;
        if (ioctl(fd, TUNSETIFF, &req) < 0)
            return tap_fault(n, n->tap, errno, f);
        if (prepare_tap(n, fd, b, f) < 0)
            return -EINVAL;
    }
    return resources_net_watch(n->id, b, f);
}

/* What the user calls it; the number here is another. */
static unsigned number_of(const Bulkhead__NetConfig *n, unsigned i)
{
    return n->n_fd_numbers == n->num_fds ? n->fd_numbers[i] : i;
}

static int check_fd(const Bulkhead__NetConfig *n, unsigned i, int fd, struct ifreq *ret_req,
                    struct fault *f)
{
    const unsigned needed =
        IFF_TAP | IFF_VNET_HDR | IFF_NO_PI | (n->num_fds > 1 ? IFF_MULTI_QUEUE : 0);

    memset(ret_req, 0, sizeof *ret_req);
    if (ioctl(fd, TUNGETIFF, ret_req) < 0)
        return fault_input(f,
                           "%s: descriptor %u is not a tap: open /dev/net/tun and set it up first",
                           n->id, number_of(n, i));
    if (((unsigned)ret_req->ifr_flags & needed) != needed ||
        resources_tap_has_pi(ret_req->ifr_name))
        return fault_input(f,
                           "%s: descriptor %u (%s) is a tap of the wrong kind: it needs IFF_TAP, "
                           "IFF_VNET_HDR and IFF_NO_PI%s",
                           n->id, number_of(n, i), ret_req->ifr_name,
                           n->num_fds > 1 ? ", and as one of several IFF_MULTI_QUEUE" : "");
    return 0;
}

/* One queue under two numbers: O_NONBLOCK belongs to what is open, not to the number. All have it. */
static bool is_same_queue(int a, int b)
{
    int flags = fcntl(a, F_GETFL);
    bool same;

    if (flags < 0 || fcntl(a, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return false;
    same = !(fcntl(b, F_GETFL) & O_NONBLOCK);
    (void)fcntl(a, F_SETFL, flags);
    return same;
}

static int take_fd(const Bulkhead__NetConfig *n, unsigned i, int fd, struct backend *b,
                   struct fault *f)
{
    struct ifreq req, first;

    b->own[b->n_own++] = fd;
    if (check_fd(n, i, fd, &req, f) < 0 || check_fd(n, 0, b->own[0], &first, f) < 0)
        return -EINVAL;
    if (strcmp(req.ifr_name, first.ifr_name) != 0)
        return fault_input(f,
                           "%s: descriptors %u (%s) and %u (%s) are different interfaces: give "
                           "queues of one",
                           n->id, number_of(n, 0), first.ifr_name, number_of(n, i), req.ifr_name);
    if (prepare_tap(n, fd, b, f) < 0)
        return -EINVAL;
    for (unsigned j = 0; j < i; j++)
        if (is_same_queue(b->own[j], fd))
            return fault_input(f,
                               "%s: descriptors %u and %u are the same queue of %s: open one for "
                               "each pair",
                               n->id, number_of(n, j), number_of(n, i), req.ifr_name);
    return 0;
}

static int take_fds(const Bulkhead__NetConfig *n, int *fds, unsigned n_fds, struct backend *b,
                    struct fault *f)
{
    if (n_fds < n->num_fds || n->num_fds > RESOURCES_MAX_TAPS)
        return fault_input(f, "%s: %u descriptors came, %u are needed", n->id, n_fds, n->num_fds);
    for (unsigned i = 0; i < n->num_fds; i++)
        if (take_fd(n, i, fd_take(&fds[i]), b, f) < 0)
            return -EINVAL;
    return 0;
}

/* Names alone may be of two network namespaces, for a descriptor can come from another. */
bool resources_net_same(const struct backend *a, const struct backend *b)
{
    struct ifreq x = { 0 }, y = { 0 };

    return ioctl(a->own[0], TUNGETIFF, &x) == 0 && ioctl(b->own[0], TUNGETIFF, &y) == 0 &&
           strcmp(x.ifr_name, y.ifr_name) == 0 && ioctl(a->own[0], SIOCGIFHWADDR, &x) == 0 &&
           ioctl(b->own[0], SIOCGIFHWADDR, &y) == 0 &&
           memcmp(x.ifr_hwaddr.sa_data, y.ifr_hwaddr.sa_data, 6) == 0;
}

int resources_stream(const char *what, struct backend *b, struct fault *f)
{
    int pair[2];

    /* passt's end blocks: it finishes a frame that the socket took in part with a send() that has to
     * wait, and would leave the stream out of step if it didn't. The worker sets its own end. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return fault_host(f, errno, "%s: socket: %s", what, strerror(errno));
    b->own[b->n_own++] = pair[0];
    b->held[0] = pair[1];
    return 0;
}

int resources_net(Bulkhead__NetConfig *n, int *fds, unsigned n_fds, struct backend *b,
                  struct fault *f)
{
    if (strcmp(n->mode, "user") == 0)
        return resources_stream(n->id, b, f);
    if (strcmp(n->mode, "fd") == 0)
        return take_fds(n, fds, n_fds, b, f);
    if (strcmp(n->mode, "macvtap") == 0)
        return open_macvtap(n, b, f);
    return open_tap(n, b, f);
}
