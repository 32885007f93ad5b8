/* SPDX-License-Identifier: Apache-2.0 */
/* handed.c - see handed.h. All of it is done within the broker's sandbox. */
#include "devices/handed.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/fd.h"

enum { MISC_MAJOR = 10, KVM_MINOR = 232 }; /* of all Linux hosts */
enum { MIN_BLOCK_BYTES = 512, MAX_BLOCK_BYTES = 4096, MAX_EXP = 8, MAX_ALIGN_BYTES = 65536 };

size_t handed_give(struct backend *b, Bulkhead__Backend *m, int fds[HANDED_MAX_FDS])
{
    size_t n = 0;

    bulkhead__backend__init(m);
    for (unsigned i = 0; i < b->n_own; i++)
        fds[n++] = b->own[i];
    m->own = b->n_own;
    if (b->held[0] >= 0) {
        fds[n++] = b->held[0];
        m->held = 1;
    }
    if (b->held[1] >= 0) {
        fds[n++] = b->held[1];
        m->claim = true;
    }
    m->holder = b->holder;
    m->macvtap = (uint32_t)b->macvtap;
    m->size = b->size_bytes;
    m->block_size = b->block_size;
    m->physical_block_exp = b->physical_block_exp;
    m->direct_align = b->direct_align;
    m->range_align = b->range_align;
    m->block_device = b->block_device;
    m->cache = b->cache_bytes;
    m->discard = b->discard;
    m->pty_path = b->pty_path;
    m->made_tap = b->made_tap;
    m->tap_offloads = b->tap_offloads;
    return n;
}

static int odd(const char *id, const char *what, struct fault *f)
{
    return fault_input(f,
                       "%s: what was handed over does not fit: %s: use the `bulkhead add` of this "
                       "release",
                       id, what);
}

int handed_read(const Bulkhead__Backend *m, const char *id, struct backend *b, struct fault *f)
{
    if (m->holder && m->held == 0)
        return odd(id, "a socket whose file nobody keeps", f);
    if (m->macvtap > INT32_MAX)
        return odd(id, "the number of an interface", f);
    if (strlen(m->pty_path) >= sizeof b->pty_path || strlen(m->made_tap) >= sizeof b->made_tap)
        return odd(id, "the length of a name", f);
    if (m->own > RESOURCES_MAX_OWN || m->held > 1)
        return odd(id, "the number of descriptors", f);
    b->size_bytes = m->size;
    b->block_size = m->block_size;
    b->physical_block_exp = m->physical_block_exp;
    b->direct_align = m->direct_align;
    b->range_align = m->range_align;
    b->block_device = m->block_device;
    b->cache_bytes = m->cache;
    b->discard = m->discard;
    b->holder = m->holder;
    b->macvtap = (int)m->macvtap;
    b->tap_offloads = m->tap_offloads;
    snprintf(b->pty_path, sizeof b->pty_path, "%s", m->pty_path);
    snprintf(b->made_tap, sizeof b->made_tap, "%s", m->made_tap);
    return 0;
}

static int take_fds(const Bulkhead__Backend *m, const char *id, int *fds, size_t n_fds,
                    struct backend *b, struct fault *f)
{
    size_t n = 0;

    if (n_fds != m->own + m->held + (m->claim ? 1 : 0))
        return odd(id, "the number of descriptors", f);
    while (b->n_own < m->own)
        b->own[b->n_own++] = fd_take(&fds[n++]);
    if (m->held == 1)
        b->held[0] = fd_take(&fds[n++]);
    if (m->claim)
        b->held[1] = fd_take(&fds[n]);
    return 0;
}

int handed_take(const Bulkhead__Backend *m, const char *id, int *fds, size_t n_fds,
                struct backend *b, struct fault *f)
{
    int r = handed_read(m, id, b, f);

    return r < 0 ? r : take_fds(m, id, fds, n_fds, b, f);
}

static bool align_fits(uint32_t bytes)
{
    return is_power_of_two(bytes) && bytes <= MAX_ALIGN_BYTES;
}

static bool size_fits(const struct backend *b, const struct stat *st)
{
    uint64_t size = (uint64_t)st->st_size;

    if (b->block_device && (!S_ISBLK(st->st_mode) || ioctl(b->own[0], BLKGETSIZE64, &size) < 0))
        return false;
    if (!b->block_device && !S_ISREG(st->st_mode))
        return false;
    return size == b->size_bytes && size > 0 && size % b->block_size == 0;
}

int handed_check_disk(const Bulkhead__DiskConfig *disk, const struct backend *b, struct fault *f)
{
    int wanted = disk->readonly ? O_RDONLY : O_RDWR, flags;
    struct stat st;

    if (b->n_own != 1 || b->held[0] >= 0 || fstat(b->own[0], &st) < 0)
        return odd(disk->id, "one file is needed", f);
    flags = fcntl(b->own[0], F_GETFL);
    if (flags < 0 || (flags & (O_ACCMODE | O_PATH)) != wanted ||
        (flags & O_DIRECT) != (disk->direct ? O_DIRECT : 0))
        return odd(disk->id, "how the file was opened", f);
    if (!is_power_of_two(b->block_size) || b->block_size < MIN_BLOCK_BYTES ||
        b->block_size > MAX_BLOCK_BYTES || b->physical_block_exp > MAX_EXP ||
        !align_fits(b->direct_align) || !align_fits(b->range_align))
        return odd(disk->id, "its blocks", f);
    return size_fits(b, &st) ? 0 : odd(disk->id, "its kind or its size", f);
}

static bool socket_has(int fd, int option, int value)
{
    int is = -1;
    socklen_t len = sizeof is;

    return getsockopt(fd, SOL_SOCKET, option, &is, &len) == 0 && is == value;
}

/* Of the same interface, and detached: no frame is lost in it. */
static int check_claim(const Bulkhead__NetConfig *n, const struct backend *b, struct fault *f)
{
    bool claims = strcmp(n->mode, "tap") == 0 && b->n_own > 1;
    struct ifreq claim = { 0 }, own = { 0 };

    if ((b->held[1] >= 0) != claims)
        return odd(n->id, "the number of queues", f);
    if (claims &&
        (ioctl(b->held[1], TUNGETIFF, &claim) < 0 || !(claim.ifr_flags & IFF_DETACH_QUEUE) ||
         ioctl(b->own[0], TUNGETIFF, &own) < 0 || strcmp(claim.ifr_name, own.ifr_name) != 0))
        return odd(n->id, "a descriptor is not a detached queue of its tap", f);
    return 0;
}

int handed_check_net(const Bulkhead__NetConfig *n, const struct backend *b, struct fault *f)
{
    const unsigned needed = IFF_TAP | IFF_VNET_HDR | IFF_NO_PI;
    bool macvtap = strcmp(n->mode, "macvtap") == 0, asks = macvtap || strcmp(n->mode, "tap") == 0;

    if (b->holder || (b->held[0] >= 0) != asks || (b->macvtap > 0) != macvtap ||
        (asks && !(socket_has(b->held[0], SO_DOMAIN, AF_NETLINK) &&
                   socket_has(b->held[0], SO_PROTOCOL, NETLINK_ROUTE))))
        return odd(n->id, "who tells of an interface's link", f);
    if (strcmp(n->mode, "user") == 0)
        return b->n_own == 0 && b->held[1] < 0 && b->made_tap[0] == '\0'
                   ? 0
                   : odd(n->id, "a user network needs no descriptors", f);
    if (b->n_own != n->num_queues / 2)
        return odd(n->id, "the number of queues", f);
    for (unsigned i = 0; i < b->n_own; i++) {
        struct ifreq req = { 0 };

        if (ioctl(b->own[i], TUNGETIFF, &req) < 0 || ((unsigned)req.ifr_flags & needed) != needed)
            return odd(n->id, "a descriptor is not a tap with a vnet header", f);
    }
    return check_claim(n, b, f);
}

static int check_listener(const char *id, const struct backend *b, struct fault *f)
{
    if (b->n_own != 1 || !socket_has(b->own[0], SO_TYPE, SOCK_STREAM) ||
        !socket_has(b->own[0], SO_DOMAIN, AF_UNIX) || !socket_has(b->own[0], SO_ACCEPTCONN, 1))
        return odd(id, "a listening socket is needed", f);
    return 0;
}

int handed_check_socket(const char *id, const struct backend *b, struct fault *f)
{
    int r = check_listener(id, b, f);

    if (r < 0)
        return r;
    if (!b->holder || !socket_has(b->held[0], SO_TYPE, SOCK_SEQPACKET) ||
        !socket_has(b->held[0], SO_DOMAIN, AF_UNIX))
        return odd(id, "who keeps the socket's file", f);
    return 0;
}

int handed_check_console(const Bulkhead__ConsoleConfig *c, const struct backend *b, struct fault *f)
{
    bool pty = c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_PTY;
    int in, out;

    if (c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET)
        return handed_check_socket("console", b, f);
    if (b->n_own != 2 || b->holder || pty != (b->held[0] >= 0))
        return odd("console", "an input and an output are needed", f);
    in = fcntl(b->own[0], F_GETFL);
    out = fcntl(b->own[1], F_GETFL);
    if (in < 0 || out < 0 || (in & (O_ACCMODE | O_PATH)) == O_WRONLY ||
        (out & (O_ACCMODE | O_PATH)) == O_RDONLY || ((in | out) & O_PATH))
        return odd("console", "how they were opened", f);
    return 0;
}

/* ---- what a VM of the service starts with ---- */

bool handed_is_needed(const Bulkhead__VmConfig *c, const struct plan_device *d)
{
    switch ((int)d->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
    case BULKHEAD__ROLE__ROLE_VSOCK:
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return true;
    case BULKHEAD__ROLE__ROLE_NET:
        return strcmp(c->nets[d->index]->mode, "user") != 0;
    default:
        return false;
    }
}

static int check_serial(const Bulkhead__ConsoleConfig *serial, const struct backend *b,
                        struct fault *f)
{
    if (serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET || b->holder)
        return handed_check_console(serial, b, f);
    return b->held[0] >= 0 ? odd("serial", "the number of descriptors", f)
                           : check_listener("serial", b, f);
}

int handed_check(const Bulkhead__VmConfig *c, const struct plan_device *d, const struct backend *b,
                 struct fault *f)
{
    if (b->held[1] >= 0 && d->role != BULKHEAD__ROLE__ROLE_NET)
        return odd(d->name, "the number of descriptors", f);
    switch ((int)d->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        return handed_check_disk(c->disks[d->index], b, f);
    case BULKHEAD__ROLE__ROLE_NET:
        return handed_check_net(c->nets[d->index], b, f);
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return handed_check_socket(d->name, b, f);
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return d->pci_slot == 0 ? check_serial(c->serial, b, f)
                                : handed_check_console(c->console, b, f);
    default:
        return odd(d->name, "it has no back end", f);
    }
}

/* KVM's number is its own. What else its descriptor is, the core finds out, which knows KVM's calls. */
int handed_check_kvm(int fd, struct fault *f)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (flags < 0 || (flags & (O_ACCMODE | O_PATH)) != O_RDWR || fstat(fd, &st) < 0 ||
        !S_ISCHR(st.st_mode) || st.st_rdev != makedev(MISC_MAJOR, KVM_MINOR))
        return odd("/dev/kvm", "it is another file, or not open for reading and writing", f);
    return 0;
}

int handed_check_image(const char *what, int fd, struct fault *f)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY || fstat(fd, &st) < 0 ||
        !S_ISREG(st.st_mode))
        return odd(what, "a regular file that is open for reading is needed", f);
    if (st.st_size == 0)
        return fault_input(f, "%s is empty: give a built file", what);
    return 0;
}
