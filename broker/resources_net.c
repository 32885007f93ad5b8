/* SPDX-License-Identifier: Apache-2.0 */
/* resources_net.c - taps and macvtaps, made or opened, and the stream to passt. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
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
#include "resources.h"

enum { VNET_HDR_BYTES = 12 }; /* virtio_net_hdr_mrg_rxbuf */

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
        return fault_input(f, "%s: interface %s exists but is not a tap%s: give another tap=NAME",
                           n->id, name,
                           n->num_queues > 2 ? " with multi_queue" : ", or has multi_queue");
    default:
        return fault_host(f, error, "%s: tap %s: %s", n->id, name, strerror(error));
    }
}

/* The vnet header's size, byte order and a clean start: the worker turns offloads on when the
 * driver has agreed to them. */
static int prepare_tap(const Bulkhead__NetConfig *n, int fd, struct fault *f)
{
    int header = VNET_HDR_BYTES, little = 1;

    if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
        return fault_input(f, "%s: the descriptor is not a tap with a vnet header: %s", n->id,
                           strerror(errno));
    ioctl(fd, TUNSETVNETLE, &little); /* the default on x86 */
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
    struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
    struct ifreq req = { .ifr_data = (char *)&link };

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", n->tap);
    if (sock < 0)
        return fault_host(f, errno, "%s: socket: %s", n->id, strerror(errno));
    for (int ms = 0; ms <= RESOURCES_PATIENCE_MS; ms += RESOURCES_RETRY_MS) {
        if (ioctl(sock, SIOCETHTOOL, &req) < 0 || link.data == 0 || !is_tap(sock, n->tap))
            return 0;
        resources_wait_a_little();
    }
    return tap_fault(n, n->tap, EBUSY, f);
}

void resources_net_await_gone(const char *tap)
{
    cleanup_(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = { 0 };

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", tap);
    for (int ms = 0; ms < RESOURCES_PATIENCE_MS && ioctl(sock, SIOCGIFFLAGS, &req) == 0;
         ms += RESOURCES_RETRY_MS)
        resources_wait_a_little();
}

static int open_tap(Bulkhead__NetConfig *n, struct backend *b, struct fault *f)
{
    unsigned pairs = n->num_queues / 2;
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    bool made;

    if (n->tap[0] && check_free(n, f) < 0)
        return -EINVAL;
    made = n->tap[0] == '\0' || if_nametoindex(n->tap) == 0;
    if (pairs > 1)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", n->tap[0] ? n->tap : "bhtap%d");
    for (unsigned i = 0; i < pairs; i++) {
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0)
            return fault_input(f, "%s: /dev/net/tun: %s: load the module tun, or use mode user",
                               n->id, strerror(errno));
        b->own[b->n_own++] = fd;
        if (ioctl(fd, TUNSETIFF, &req) < 0)
            return tap_fault(n, req.ifr_name, errno, f);
        if (made)
            snprintf(b->made_tap, sizeof b->made_tap, "%s", req.ifr_name);
        if (prepare_tap(n, fd, f) < 0)
            return -EINVAL;
    }
    return set_name(&n->tap, req.ifr_name) < 0 ? fault_host(f, ENOMEM, "%s: no memory", n->id) : 0;
}

/* Address, MTU and "up", as far as the user asked: an interface that was set up by somebody else
 * needs none of them, and then no privilege. */
static int set_address(int sock, struct ifreq *req, unsigned long what, uint32_t value)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(value) };

    memcpy(&req->ifr_addr, &sin, sizeof sin);
    return ioctl(sock, what, req);
}

static int configure_tap(const Bulkhead__NetConfig *n, struct fault *f)
{
    cleanup_(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = { 0 };

    if (sock < 0)
        return fault_host(f, errno, "%s: socket: %s", n->id, strerror(errno));
    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", n->tap);
    if (n->mtu != 0) {
        req.ifr_mtu = (int)n->mtu;
        if (ioctl(sock, SIOCSIFMTU, &req) < 0)
            return fault_input(f, "%s: %s does not take MTU %u: %s", n->id, n->tap, n->mtu,
                               strerror(errno));
    }
    if (n->host_mac.len == 6) {
        memset(&req.ifr_ifru, 0, sizeof req.ifr_ifru);
        req.ifr_hwaddr.sa_family = ARPHRD_ETHER;
        memcpy(req.ifr_hwaddr.sa_data, n->host_mac.data, 6);
        if (ioctl(sock, SIOCSIFHWADDR, &req) < 0)
            return fault_input(f, "%s: %s does not take this host_mac: %s", n->id, n->tap,
                               strerror(errno));
    }
    if (n->ip != 0 && (set_address(sock, &req, SIOCSIFADDR, n->ip) < 0 ||
                       (n->mask != 0 && set_address(sock, &req, SIOCSIFNETMASK, n->mask) < 0)))
        return fault_input(f, "%s: %s does not take this ip or mask: %s", n->id, n->tap,
                           strerror(errno));
    if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
        return fault_host(f, errno, "%s: flags of %s: %s", n->id, n->tap, strerror(errno));
    if (!(req.ifr_flags & IFF_UP)) {
        req.ifr_flags |= IFF_UP;
        if (ioctl(sock, SIOCSIFFLAGS, &req) < 0)
            return fault_input(f, "%s: can't bring %s up: %s: run as root or bring it up before",
                               n->id, n->tap, strerror(errno));
    }
    return 0;
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
        if (prepare_tap(n, fd, f) < 0)
            return -EINVAL;
    }
    return 0;
}

static int take_fds(const Bulkhead__NetConfig *n, int *fds, unsigned n_fds, struct backend *b,
                    struct fault *f)
{
    if (n_fds < n->num_fds || n->num_fds > RESOURCES_MAX_TAPS)
        return fault_input(f, "%s: %u descriptors came, %u are needed", n->id, n_fds, n->num_fds);
    for (unsigned i = 0; i < n->num_fds; i++) {
        struct ifreq req = { 0 };
        int fd = fd_take(&fds[i]);

        b->own[b->n_own++] = fd;
        if (ioctl(fd, TUNGETIFF, &req) < 0)
            return fault_input(f,
                               "%s: descriptor %u is not a tap: open /dev/net/tun and set it up "
                               "first",
                               n->id, i);
        if (!(req.ifr_flags & IFF_TAP) || !(req.ifr_flags & IFF_VNET_HDR))
            return fault_input(f,
                               "%s: descriptor %u (%s) is a tap of the wrong kind: it needs "
                               "IFF_TAP and IFF_VNET_HDR",
                               n->id, i, req.ifr_name);
        if (prepare_tap(n, fd, f) < 0)
            return -EINVAL;
    }
    return 0;
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
    int r;

    if (strcmp(n->mode, "user") == 0)
        return resources_stream(n->id, b, f);
    if (strcmp(n->mode, "fd") == 0)
        return take_fds(n, fds, n_fds, b, f);
    if (strcmp(n->mode, "macvtap") == 0)
        return open_macvtap(n, b, f);
    r = open_tap(n, b, f);
    return r < 0 ? r : configure_tap(n, f);
}
