/* SPDX-License-Identifier: Apache-2.0 */
/* checks.c - see checks.h. Each check is one line for the user: what, and what instead. */
#include "config/checks.h"
#include "config/config.h"
#include "config/cpus.h"
#include "config/group.h"

#include <ctype.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>
#include <sys/un.h>
#include "config/hostfwd.h"
#include "config/limits.h"
#include "sandbox/cgroup.h"
#include "shm/layout.h"

enum {
    MAX_NAME = 48,
    MAX_ID = 32,
    MAX_DISK_QUEUES = 16,
    MAX_QUEUE_SIZE = 1024,
    MIN_DISK_QUEUE_SIZE = 4, /* header, data and status of one request need 3 */
    /* Linux stops its queue while fewer than 2 + MAX_SKB_FRAGS (17) entries are free: with a smaller
     * one it sends a single frame, and then none any more. */
    MIN_NET_QUEUE_SIZE = 32,
    MAX_TAP_MTU = 65535 - 14, /* the kernel's limit leaves room for the Ethernet header */
    MAX_DISK_SERIAL = 20,
    MAX_DEVICES = LAYOUT_PCI_SLOTS - 1, /* slot 0 is the host bridge */
    MAX_CRASH_LIMIT = 1024,
    MIN_HANG_MS = 500, /* twice the slowest heartbeat */
    HUGEPAGE_BYTES = 2 << 20,
};

static bool name_chars_ok(const char *name, size_t max)
{
    size_t len = strlen(name);

    if (len == 0 || len > max || name[0] == '.' || name[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

/* Where the first control character is, or NULL; those in `allowed` are none. */
static const char *find_control(const char *text, const char *allowed)
{
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 || *text == 0x7f) && !strchr(allowed, *text))
            return text;
    return NULL;
}

static int check_path(const char *what, const char *path, struct fault *f)
{
    const char *bad;

    if (path[0] == '\0')
        return fault_input(f, "%s has no path: give one", what);
    if (strlen(path) >= PATH_MAX)
        return fault_input(f, "the path of %s is longer than %d bytes: use a shorter one", what,
                           PATH_MAX - 1);
    bad = find_control(path, "");
    if (bad)
        return fault_input(f,
                           "the path of %s has a control character (0x%02x) at byte %zu: rename "
                           "the file",
                           what, (unsigned char)*bad, (size_t)(bad - path) + 1);
    return 0;
}

static int check_socket_path(const char *what, const char *path, size_t suffix, struct fault *f)
{
    size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1 - suffix;
    int r = check_path(what, path, f);

    if (r == 0 && strlen(path) > max)
        r = fault_input(f, "the socket path of %s is longer than %zu bytes: use a shorter one",
                        what, max);
    return r;
}

static int check_bucket(const char *who, const char *what, const Bulkhead__TokenBucket *b,
                        struct fault *f)
{
    if (b && b->size == 0)
        return fault_input(f, "%s: the %s limit has size 0: give at least 1, or leave it out", who,
                           what);
    if (b && b->refill_time_ms == 0)
        return fault_input(f, "%s: the %s limit has refill time 0: give at least 1 ms", who, what);
    return 0;
}

static int check_limit(const char *who, const Bulkhead__RateLimit *limit, struct fault *f)
{
    int r = 0;

    if (limit)
        r = check_bucket(who, "bandwidth", limit->bandwidth, f);
    if (r == 0 && limit)
        r = check_bucket(who, "operations", limit->ops, f);
    return r;
}

static int check_machine(const Bulkhead__VmConfig *c, const struct validate_host *host,
                         struct fault *f)
{
    uint64_t size = c->memory->size;
    uint64_t unit = c->memory->hugepages ? (uint64_t)HUGEPAGE_BYTES : PAGE_BYTES;

    if (!name_chars_ok(c->name, MAX_NAME))
        return fault_input(f,
                           "VM name '%.60s' is not usable: 1 to %d letters, digits, '.', '_' "
                           "or '-', not starting with '.' or '-'",
                           c->name, MAX_NAME);
    if (validate_cpus(c->cpus, host->cpus, f) < 0)
        return -EINVAL;
    if (size == 0)
        return fault_input(f, "memory size 0: give --memory size=S with at least %llu MiB",
                           LAYOUT_RAM_MIN_BYTES >> 20);
    if (size % unit != 0)
        return fault_input(f, "memory size %llu is not a multiple of %s: round it",
                           (unsigned long long)size,
                           c->memory->hugepages ? "2 MiB, the huge page" : "4096, the page");
    if (size < LAYOUT_RAM_MIN_BYTES)
        return fault_input(f, "memory size %llu is too small: give at least %llu MiB",
                           (unsigned long long)size, LAYOUT_RAM_MIN_BYTES >> 20);
    if (size > LAYOUT_RAM_MAX_BYTES)
        return fault_input(f, "memory size %llu is over the limit of %llu GiB: use less",
                           (unsigned long long)size, LAYOUT_RAM_MAX_BYTES >> 30);
    if (host->memory_bytes != 0 && size > host->memory_bytes)
        return fault_input(f, "memory size %llu MiB is more than this host's %llu MiB: use less",
                           (unsigned long long)(size >> 20),
                           (unsigned long long)(host->memory_bytes >> 20));
    if (c->crash_limit > MAX_CRASH_LIMIT)
        return fault_input(f, "crash limit %u is over %d: use less", c->crash_limit,
                           MAX_CRASH_LIMIT);
    if (c->hang_timeout_ms < MIN_HANG_MS)
        return fault_input(f,
                           "hang timeout %u ms is under %d ms: a healthy worker's heartbeat "
                           "can take 250 ms",
                           c->hang_timeout_ms, MIN_HANG_MS);
    if (c->stall_timeout_ms < c->hang_timeout_ms)
        return fault_input(f,
                           "stall timeout %u ms is under the hang timeout, %u ms: a disk may be "
                           "slow for longer than a worker may be silent for no reason",
                           c->stall_timeout_ms, c->hang_timeout_ms);
    return 0;
}

static int check_boot(const Bulkhead__VmConfig *c, struct fault *f)
{
    const char *bad;
    int r;

    if (c->kernel[0] == '\0')
        return fault_input(f, "no kernel: give one with --kernel PATH (a bzImage or an ELF "
                              "vmlinux)");
    r = check_path("the kernel", c->kernel, f);
    if (r == 0 && c->initramfs[0] != '\0')
        r = check_path("the initramfs", c->initramfs, f);
    if (r < 0)
        return r;
    if (strlen(c->cmdline) >= LAYOUT_CMDLINE_MAX)
        return fault_input(f, "the kernel command line has %zu bytes: use at most %u",
                           strlen(c->cmdline), LAYOUT_CMDLINE_MAX - 1);
    bad = find_control(c->cmdline, "\t\n"); /* blanks, to the kernel */
    if (bad)
        return fault_input(f,
                           "the kernel command line has a control character (0x%02x) at byte %zu: "
                           "remove it",
                           (unsigned char)*bad, (size_t)(bad - c->cmdline) + 1);
    return 0;
}

/* `bulkhead set` takes either. */
static bool is_device_id(const Bulkhead__VmConfig *c, const char *id)
{
    return config_has_id(c, id) || strcmp(id, "balloon") == 0;
}

static int check_groups(const Bulkhead__VmConfig *c, struct fault *f)
{
    for (size_t i = 0; i < c->n_rate_limit_groups; i++) {
        const Bulkhead__RateLimitGroup *g = c->rate_limit_groups[i];
        int r;

        if (!name_chars_ok(g->id, MAX_ID))
            return fault_input(f,
                               "rate limit group id '%.40s' is not usable: 1 to %d letters, "
                               "digits, '.', '_' or '-'",
                               g->id, MAX_ID);
        if (group_find(c, g->id) != g)
            return fault_input(f, "rate limit group '%s' is given twice: name each once", g->id);
        if (is_device_id(c, g->id))
            return fault_input(f, "rate limit group '%s' has the id of a device: choose another",
                               g->id);
        r = check_limit(g->id, g->limit, f);
        if (r < 0)
            return r;
    }
    return 0;
}

/* why: what needs as many as min, or "". */
static int check_queue_size(const char *id, uint32_t size, uint32_t min, const char *why,
                            struct fault *f)
{
    if (size < min || size > MAX_QUEUE_SIZE || !is_power_of_two(size))
        return fault_input(f, "%s: queue size %u is not usable: a power of two from %u to %d%s", id,
                           size, min, MAX_QUEUE_SIZE, size < min ? why : "");
    return 0;
}

static int check_block_size(const char *id, uint32_t bytes, struct fault *f)
{
    if (bytes != 0 && (!is_power_of_two(bytes) || bytes < 512 || bytes > 4096))
        return fault_input(f, "%s: logical block size %u is not usable: 512, 1024, 2048 or 4096",
                           id, bytes);
    return 0;
}

static int check_disk(const Bulkhead__VmConfig *c, const Bulkhead__DiskConfig *d, struct fault *f)
{
    int r = check_path(d->id, d->path, f);

    if (r < 0)
        return r;
    if (d->num_queues == 0 || d->num_queues > MAX_DISK_QUEUES)
        return fault_input(f, "%s: %u queues: use 1 to %d", d->id, d->num_queues, MAX_DISK_QUEUES);
    r = check_queue_size(d->id, d->queue_size, MIN_DISK_QUEUE_SIZE, "", f);
    if (r == 0)
        r = check_block_size(d->id, d->logical_block_size, f);
    if (r < 0)
        return r;
    if (strlen(d->serial) > MAX_DISK_SERIAL || find_control(d->serial, ""))
        return fault_input(f, "%s: serial '%.40s' is not usable: at most %d printable characters",
                           d->id, d->serial, MAX_DISK_SERIAL);
    if (d->rate_limit && d->rate_limit_group[0] != '\0')
        return fault_input(f, "%s: has a rate limit and a rate limit group: use one of them",
                           d->id);
    if (d->rate_limit_group[0] != '\0' && !group_of_disk(c, d))
        return fault_input(f,
                           "%s: there is no rate limit group '%.40s': define it with "
                           "--rate-limit-group",
                           d->id, d->rate_limit_group);
    r = check_limit(d->id, d->rate_limit, f);
    if (r < 0)
        return r;
    for (size_t i = 0; i < c->n_disks && c->disks[i] != d; i++)
        if (strcmp(c->disks[i]->path, d->path) == 0 && !(c->disks[i]->readonly && d->readonly))
            return fault_input(f,
                               "%s and %s are the same file %s: give it once, or both with "
                               "readonly=on",
                               c->disks[i]->id, d->id, d->path);
    return 0;
}

static int check_console(const char *what, const Bulkhead__ConsoleConfig *c, struct fault *f)
{
    switch (c->mode) {
    case BULKHEAD__CONSOLE_MODE__CONSOLE_FILE:
        return check_path(what, c->path, f);
    case BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET:
        return check_socket_path(what, c->path, 0, f);
    case BULKHEAD__CONSOLE_MODE__CONSOLE_OFF:
    case BULKHEAD__CONSOLE_MODE__CONSOLE_NULL:
    case BULKHEAD__CONSOLE_MODE__CONSOLE_TTY:
    case BULKHEAD__CONSOLE_MODE__CONSOLE_PTY:
        return 0;
    case _BULKHEAD__CONSOLE_MODE_IS_INT_SIZE:
    default:
        return fault_input(f,
                           "%s: unknown mode: use off, null, tty, pty, file=PATH or "
                           "socket=PATH",
                           what);
    }
}

static int check_consoles(const Bulkhead__VmConfig *c, struct fault *f)
{
    int r = check_console("the serial port", c->serial, f);

    if (r == 0)
        r = check_console("the console", c->console, f);
    if (r < 0)
        return r;
    if (c->serial->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_TTY &&
        c->console->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_TTY)
        return fault_input(f, "the serial port and the console both want the terminal: set one "
                              "to off, null, pty, file= or socket=");
    if (c->serial->path[0] != '\0' && c->serial->mode == c->console->mode &&
        strcmp(c->serial->path, c->console->path) == 0)
        return fault_input(f, "the serial port and the console both use %s: give each its own",
                           c->serial->path);
    return 0;
}

static int check_mac(const char *id, const char *what, const ProtobufCBinaryData *mac,
                     struct fault *f)
{
    static const uint8_t zero[6];

    if (mac->len != 6)
        return fault_input(f,
                           "%s: %s is not a MAC address: give six hex bytes like "
                           "52:54:00:12:34:56",
                           id, what);
    if (mac->data[0] & 1)
        return fault_input(f, "%s: %s is a multicast address: the first byte must be even", id,
                           what);
    if (memcmp(mac->data, zero, 6) == 0)
        return fault_input(f, "%s: %s is all zeroes: give another", id, what);
    return 0;
}

static int check_ifname(const char *id, const char *name, struct fault *f)
{
    if (strlen(name) >= IFNAMSIZ || !name_chars_ok(name, IFNAMSIZ - 1))
        return fault_input(f,
                           "%s: interface name '%.40s' is not usable: 1 to %d letters, digits, "
                           "'.', '_' or '-'",
                           id, name, IFNAMSIZ - 1);
    return 0;
}

static int check_net_mode(const Bulkhead__NetConfig *n, struct fault *f)
{
    struct validate_hostfwd forward;

    if (strcmp(n->mode, "tap") != 0 && strcmp(n->mode, "macvtap") != 0 &&
        strcmp(n->mode, "fd") != 0 && strcmp(n->mode, "user") != 0)
        return fault_input(f, "%s: unknown mode '%.40s': use tap, macvtap, fd or user", n->id,
                           n->mode);
    if (strcmp(n->mode, "macvtap") == 0 && n->tap[0] == '\0')
        return fault_input(f, "%s: macvtap needs the interface: give it with tap=NAME", n->id);
    if (n->tap[0] != '\0' && check_ifname(n->id, n->tap, f) < 0)
        return -EINVAL;
    if (strcmp(n->mode, "fd") == 0 && n->num_fds == 0)
        return fault_input(f, "%s: no descriptors: give them with fd=N", n->id);
    if (strcmp(n->mode, "user") == 0 && n->num_queues != 2)
        return fault_input(f, "%s: user networking has one queue pair: use num_queues=2", n->id);
    if (n->n_hostfwd > 0 && strcmp(n->mode, "user") != 0)
        return fault_input(f, "%s: hostfwd works with user networking only", n->id);
    if (n->n_hostfwd > CONFIG_MAX_FORWARDS)
        return fault_input(f, "%s: %zu ports are forwarded: %d are possible, use another network",
                           n->id, n->n_hostfwd, CONFIG_MAX_FORWARDS);
    for (size_t i = 0; i < n->n_hostfwd; i++)
        if (validate_hostfwd(n->hostfwd[i], &forward, f) < 0)
            return -EINVAL;
    return 0;
}

/* What would set up an interface that is not ours to set up would be ignored. */
static int check_tap_options(const Bulkhead__NetConfig *n, struct fault *f)
{
    const char *option = n->host_mac.len != 0 ? "host_mac="
                         : n->ip != 0         ? "ip="
                         : n->mask != 0       ? "mask="
                                              : NULL;

    if (strcmp(n->mode, "tap") != 0)
        return option ? fault_input(f,
                                    "%s: %s is for taps that Bulkhead sets up: leave it out "
                                    "with %s",
                                    n->id, option, n->mode)
                      : 0;
    if (n->mtu > MAX_TAP_MTU)
        return fault_input(f, "%s: MTU %u is more than a tap takes: use at most %d", n->id, n->mtu,
                           MAX_TAP_MTU);
    if (n->ip != 0 && (n->ip >> 24 == 0 || n->ip >> 28 >= 0xe))
        return fault_input(f, "%s: ip= is no address of a host: give one like 192.0.2.1", n->id);
    if ((~n->mask & (~n->mask + 1)) != 0 && n->mask != 0)
        return fault_input(f, "%s: mask= has holes: give one like 255.255.255.0", n->id);
    return 0;
}

static bool same_mac(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
    return a->len == 6 && b->len == 6 && memcmp(a->data, b->data, 6) == 0;
}

/* Both ends of a wire are stations too. */
static int check_macs(const Bulkhead__VmConfig *c, const Bulkhead__NetConfig *n, struct fault *f)
{
    if (same_mac(&n->mac, &n->host_mac))
        return fault_input(f, "%s: mac= and host_mac= are the same MAC address: give each its own",
                           n->id);
    for (size_t i = 0; i < c->n_nets && c->nets[i] != n; i++) {
        const Bulkhead__NetConfig *o = c->nets[i];

        if (same_mac(&o->mac, &n->mac) || same_mac(&o->mac, &n->host_mac) ||
            same_mac(&o->host_mac, &n->mac) || same_mac(&o->host_mac, &n->host_mac))
            return fault_input(f, "%s and %s have the same MAC address: give each its own", o->id,
                               n->id);
    }
    return 0;
}

static int check_passt(const Bulkhead__VmConfig *c, struct fault *f)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->n_nets; i++)
        n += strcmp(c->nets[i]->mode, "user") == 0;
    if (n > CONFIG_MAX_PASST)
        return fault_input(f, "%u user networks are over the limit: use at most %d", n,
                           CONFIG_MAX_PASST);
    return 0;
}

static int check_net(const Bulkhead__VmConfig *c, const Bulkhead__NetConfig *n, struct fault *f)
{
    if (check_net_mode(n, f) < 0 || check_mac(n->id, "mac", &n->mac, f) < 0 ||
        (n->host_mac.len != 0 && check_mac(n->id, "host_mac", &n->host_mac, f) < 0) ||
        check_queue_size(n->id, n->queue_size, MIN_NET_QUEUE_SIZE,
                         ", for Linux sends nothing while fewer than 19 entries are free", f) < 0 ||
        check_limit(n->id, n->rate_limit, f) < 0)
        return -EINVAL;
    if (n->num_queues < 2 || n->num_queues > 32 || n->num_queues % 2 != 0)
        return fault_input(f,
                           "%s: %u queues: receive and transmit come in pairs, use an even "
                           "number from 2 to 32",
                           n->id, n->num_queues);
    if (strcmp(n->mode, "fd") == 0 && n->num_fds != n->num_queues / 2)
        return fault_input(f, "%s: %u descriptors for %u queue pairs: give one for each pair",
                           n->id, n->num_fds, n->num_queues / 2);
    if (n->mtu != 0 && (n->mtu < 68 || n->mtu > 65535))
        return fault_input(f, "%s: MTU %u is out of range: use 68 to 65535", n->id, n->mtu);
    if (check_tap_options(n, f) < 0 || check_macs(c, n, f) < 0)
        return -EINVAL;
    for (size_t i = 0; i < c->n_nets && c->nets[i] != n; i++)
        if (n->tap[0] != '\0' && strcmp(c->nets[i]->tap, n->tap) == 0)
            return fault_input(f, "%s and %s use the same interface %s: give each its own",
                               c->nets[i]->id, n->id, n->tap);
    return 0;
}

static int check_others(const Bulkhead__VmConfig *c, struct fault *f)
{
    if (c->rng->enabled && c->rng->src[0] != '\0' && strcmp(c->rng->src, "/dev/urandom") != 0 &&
        strcmp(c->rng->src, "/dev/random") != 0)
        return fault_input(f,
                           "rng source %.60s is not supported: entropy comes from the kernel's "
                           "generator, use src=/dev/urandom",
                           c->rng->src);
    if (c->vsock->enabled) {
        if (c->vsock->cid < 3 || c->vsock->cid == UINT32_MAX)
            return fault_input(f, "vsock CID %u is reserved: use 3 to 4294967294", c->vsock->cid);
        if (check_socket_path("vsock", c->vsock->socket, sizeof "_4294967295" - 1, f) < 0)
            return -EINVAL;
    }
    /* A huge page that was given back is the host's: it may be gone when the guest touches it again,
     * and KVM then tries for ever. */
    if (c->balloon->enabled && c->memory->hugepages)
        return fault_input(f, "--balloon can't be had with --memory hugepages=on: huge pages that "
                              "the guest gives back may never be had again: drop one of the two");
    if (c->balloon->enabled && c->balloon->size % PAGE_BYTES != 0)
        return fault_input(f, "balloon size %llu is not a multiple of 4096: round it",
                           (unsigned long long)c->balloon->size);
    if (c->balloon->enabled && c->balloon->size >= c->memory->size)
        return fault_input(f, "balloon size %llu takes all of the guest's memory: use less",
                           (unsigned long long)c->balloon->size);
    return 0;
}

/* Ids name processes and devices in every later command, so they are unique over all kinds. */
static int check_ids(const Bulkhead__VmConfig *c, struct fault *f)
{
    static const char *const reserved[] = { "broker", "spawner", "core", "loader", "vm" };
    const char *ids[2 * MAX_DEVICES + 8];
    size_t n = 0, devices;

    devices = c->n_disks + c->n_nets + (c->rng->enabled ? 1 : 0) + (c->vsock->enabled ? 1 : 0) +
              (c->balloon->enabled ? 1 : 0) +
              (c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF ? 1 : 0);
    if (devices > MAX_DEVICES)
        return fault_input(f, "%zu devices: the PCI bus has room for %d", devices, MAX_DEVICES);
    ids[n++] = "serial";
    if (c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF)
        ids[n++] = "console";
    if (c->rng->enabled)
        ids[n++] = "rng";
    if (c->balloon->enabled)
        ids[n++] = "balloon";
    if (c->vsock->enabled)
        ids[n++] = c->vsock->id;
    for (size_t i = 0; i < c->n_disks; i++)
        ids[n++] = c->disks[i]->id;
    for (size_t i = 0; i < c->n_nets; i++)
        ids[n++] = c->nets[i]->id;
    for (size_t i = 0; i < n; i++) {
        if (!name_chars_ok(ids[i], MAX_ID))
            return fault_input(f,
                               "device id '%.40s' is not usable: 1 to %d letters, digits, '.', "
                               "'_' or '-'",
                               ids[i], MAX_ID);
        if (sandbox_cgroup_is_kernels(ids[i]))
            return fault_input(f,
                               "device id '%s' is named like a file of the kernel's in a control "
                               "group: choose another",
                               ids[i]);
        for (size_t j = 0; j < ARRAY_SIZE(reserved); j++)
            if (strcmp(ids[i], reserved[j]) == 0)
                return fault_input(f, "device id '%s' is taken: choose another", ids[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(ids[i], ids[j]) == 0) {
                fault_input(f, "device id '%s' is used twice: give each its own", ids[i]);
                f->error = EEXIST;
                return -EINVAL;
            }
    }
    return 0;
}

int validate_devices(const Bulkhead__VmConfig *c, struct fault *f)
{
    if (check_ids(c, f) < 0)
        return -EINVAL;
    for (size_t i = 0; i < c->n_disks; i++)
        if (check_disk(c, c->disks[i], f) < 0)
            return -EINVAL;
    for (size_t i = 0; i < c->n_nets; i++)
        if (check_net(c, c->nets[i], f) < 0)
            return -EINVAL;
    if (check_passt(c, f) < 0 || check_consoles(c, f) < 0)
        return -EINVAL;
    return check_others(c, f);
}

int validate_config(const Bulkhead__VmConfig *c, const struct validate_host *host, struct fault *f)
{
    if (check_machine(c, host, f) < 0 || check_boot(c, f) < 0 || check_groups(c, f) < 0)
        return -EINVAL;
    if (validate_devices(c, f) < 0)
        return -EINVAL;
    return validate_cpuset(c->limits, c->cpus, host->cpus, f) < 0 ? -EINVAL : validate_limits(c, f);
}
