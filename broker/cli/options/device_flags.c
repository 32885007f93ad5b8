// SPDX-License-Identifier: Apache-2.0
// device_flags.c - the option tables of each device flag.
#include "options/device_flags.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/fd.h"
#include "options/machine_flags.h"

#define TEXT_PATH 1, 4095
/* Longer ids and the like are the broker's to refuse: only there is it said how long they may be. */
#define TEXT_ID 1, 255
/* What a command line for Cloud Hypervisor may say: words that are the same here, or change nothing. */
#define ONLY(name, words) OPTION_ONE_OF(name, words)
#define NOT_YET(name) ONLY(name, NULL)
#define ONLY_OFF "off|false"
#define ONLY_PCI ONLY("iommu", ONLY_OFF), ONLY("pci_segment", "0"), NOT_YET("pci_device_id")

struct limit_args {
    uint64_t bw_size, bw_burst, bw_refill, ops_size, ops_burst, ops_refill;
};

/* A refill time of 0 or a size of 0 would be no limit or no I/O at all: neither is meant. */
#define LIMIT_SPECS(type, member)                                                                  \
    { "bw_size", OPTION_SIZE, offsetof(type, member.bw_size), 1, UINT64_MAX, "bytes per refill" }, \
        { "bw_one_time_burst", OPTION_SIZE,         offsetof(type, member.bw_burst), 0,            \
          UINT64_MAX,          "bytes on top, once" },                                             \
        { "bw_refill_time",                                                                        \
          OPTION_U64,                                                                              \
          offsetof(type, member.bw_refill),                                                        \
          1,                                                                                       \
          86400000,                                                                                \
          "ms until bw_size is full again" },                                                      \
        { "ops_size", OPTION_U64, offsetof(type, member.ops_size),                                 \
          1,          UINT64_MAX, "operations per refill" },                                       \
        { "ops_one_time_burst",     OPTION_U64, offsetof(type, member.ops_burst), 0, UINT64_MAX,   \
          "operations on top, once" },                                                             \
    {                                                                                              \
        "ops_refill_time", OPTION_U64, offsetof(type, member.ops_refill), 1, 86400000,             \
            "ms until ops_size is full again"                                                      \
    }

static int bucket_make(struct bag *bag, const char *what, const char *kind, uint64_t size,
                       uint64_t burst, uint64_t refill, Bulkhead__TokenBucket **ret_bucket,
                       struct option_error *err)
{
    Bulkhead__TokenBucket *bucket;

    *ret_bucket = NULL;
    if (size == 0 && refill == 0 && burst == 0)
        return 0;
    if (size == 0 || refill == 0)
        return option_fail(err, "%s: %s_size and %s_refill_time belong together", what, kind, kind);
    bucket = bag_alloc(bag, sizeof(*bucket));
    bulkhead__token_bucket__init(bucket);
    bucket->size = size;
    bucket->one_time_burst = burst;
    bucket->refill_time_ms = refill;
    *ret_bucket = bucket;
    return 0;
}

static int limit_make(struct bag *bag, const char *what, const struct limit_args *a,
                      Bulkhead__RateLimit **ret_limit, struct option_error *err)
{
    Bulkhead__TokenBucket *bw, *ops;

    if (bucket_make(bag, what, "bw", a->bw_size, a->bw_burst, a->bw_refill, &bw, err) < 0 ||
        bucket_make(bag, what, "ops", a->ops_size, a->ops_burst, a->ops_refill, &ops, err) < 0)
        return -1;
    *ret_limit = NULL;
    if (bw || ops) {
        *ret_limit = bag_alloc(bag, sizeof(**ret_limit));
        bulkhead__rate_limit__init(*ret_limit);
        (*ret_limit)->bandwidth = bw;
        (*ret_limit)->ops = ops;
    }
    return 0;
}

struct disk_args {
    Bulkhead__DiskConfig config;
    struct limit_args limit;
};
#define DISK(field) offsetof(struct disk_args, config.field)
static const struct option_spec disk_specs[] = {
    { "path", OPTION_TEXT, DISK(path), TEXT_PATH, "raw image or block device" },
    { "readonly", OPTION_SWITCH, DISK(readonly), 0, 1, "the guest can't write" },
    { "direct", OPTION_SWITCH, DISK(direct), 0, 1, "bypass the host's page cache" },
    { "num_queues", OPTION_U32, DISK(num_queues), 1, 16, "queues, 1 to 16" },
    { "queue_size", OPTION_U32, DISK(queue_size), 1, 32768,
      "entries per queue, a power of two, 4 to 1024 (128)" },
    { "logical_block_size", OPTION_U32, DISK(logical_block_size), 1, 65536,
      "bytes the guest counts in, 512 to 4096 (512)" },
    { "serial", OPTION_TEXT, DISK(serial), 1, 20, "serial number the guest sees" },
    { "id", OPTION_TEXT, DISK(id), TEXT_ID, "name of the device (disk0, disk1, ...)" },
    { "disable_io_uring", OPTION_SWITCH, DISK(disable_io_uring), 0, 1,
      "use plain reads and writes" },
    LIMIT_SPECS(struct disk_args, limit),
    { "rate_limit_group", OPTION_TEXT, DISK(rate_limit_group), TEXT_ID,
      "share a --rate-limit-group" },
    { "_disable_io_uring", OPTION_SWITCH, DISK(disable_io_uring), 0, 1, "the same" },
    ONLY("_disable_aio", "on|off|true|false"),
    ONLY("image_type", "raw"),
    ONLY("sparse",
         "on|off|true|false"), /* discard and write zeroes make holes, which it may have */
    ONLY("backing_files", ONLY_OFF),
    ONLY("vhost_user", ONLY_OFF),
    NOT_YET("socket"),
    ONLY("lock_granularity", "full"),
    NOT_YET("queue_affinity"),
    ONLY_PCI,
};

int vm_disk_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    struct disk_args *a = bag_alloc(&o->bag, sizeof(*a));
    void **disks = (void **)o->config.disks;

    bulkhead__disk_config__init(&a->config);
    if (option_parse("--disk", arg, disk_specs, ARRAY_SIZE(disk_specs), a, &o->bag, NULL, err) < 0)
        return -1;
    if (a->config.path[0] == '\0')
        return option_fail(err, "--disk: path= is missing");
    if (limit_make(&o->bag, "--disk", &a->limit, &a->config.rate_limit, err) < 0)
        return -1;
    if (a->config.rate_limit && a->config.rate_limit_group[0])
        return option_fail(err,
                           "--disk: give a rate limit of its own or rate_limit_group=, not both");
    bag_append(&o->bag, &disks, &o->config.n_disks, &a->config);
    o->config.disks = (Bulkhead__DiskConfig **)disks;
    return 0;
}

struct net_args {
    Bulkhead__NetConfig config;
    struct limit_args limit;
    struct option_mac mac, host_mac;
    struct option_list hostfwd, fds;
    int user, macvtap;
};
#define NET(field) offsetof(struct net_args, config.field)
#define NET_ARG(field) offsetof(struct net_args, field)
static const struct option_spec net_specs[] = {
    { "user", OPTION_FLAG, NET_ARG(user), 1, 1, "rootless networking through passt" },
    { "macvtap", OPTION_FLAG, NET_ARG(macvtap), 1, 1, "tap= names a macvtap interface" },
    { "tap", OPTION_TEXT, NET(tap), 0, 15, "tap interface; made when it doesn't exist" },
    { "fd", OPTION_LIST, NET_ARG(fds), 0, 0, "open tap descriptors: fd=3 or fd=[3,4]" },
    { "mac", OPTION_MAC, NET_ARG(mac), 1, 0, "the guest's MAC address" },
    { "host_mac", OPTION_MAC, NET_ARG(host_mac), 1, 0, "the tap's MAC address" },
    { "ip", OPTION_IPV4, NET(ip), 1, 0, "address of the tap on the host" },
    { "mask", OPTION_IPV4, NET(mask), 1, 0, "its netmask" },
    { "mtu", OPTION_U32, NET(mtu), 68, 65535, "MTU offered to the guest" },
    { "num_queues", OPTION_U32, NET(num_queues), 2, 32, "receive and transmit queues, even" },
    { "queue_size", OPTION_U32, NET(queue_size), 1, 32768,
      "entries per queue, a power of two, 32 to 1024 (256)" },
    { "offload_tso", OPTION_SWITCH, NET(offload_tso), 0, 1, "offer TCP segmentation" },
    { "offload_ufo", OPTION_SWITCH, NET(offload_ufo), 0, 1, "offer UDP segmentation" },
    { "offload_csum", OPTION_SWITCH, NET(offload_csum), 0, 1, "offer checksums" },
    { "mac_filter", OPTION_SWITCH, NET(mac_filter), 0, 1, "drop frames with a forged source" },
    { "disable_io_uring", OPTION_SWITCH, NET(disable_io_uring), 0, 1,
      "a system call for each frame to the host" },
    { "hostfwd", OPTION_LIST, NET_ARG(hostfwd), 0, 0, "with user: tcp:127.0.0.1:2222-:22" },
    { "id", OPTION_TEXT, NET(id), TEXT_ID, "name of the device (net0, net1, ...)" },
    LIMIT_SPECS(struct net_args, limit),
    ONLY("vhost_user", ONLY_OFF),
    NOT_YET("socket"),
    ONLY("vhost_mode", "client"),
    ONLY_PCI,
};

static int net_mac(struct bag *bag, const char *key, const struct option_mac *mac,
                   ProtobufCBinaryData *ret_mac, struct option_error *err)
{
    static const uint8_t zero[6];

    if (!mac->given)
        return 0;
    if (mac->bytes[0] & 1 || memcmp(mac->bytes, zero, 6) == 0)
        return option_fail(
            err, "--net: %s= is a multicast or empty address; a station's first byte is even", key);
    ret_mac->data = bag_alloc(bag, 6);
    ret_mac->len = 6;
    memcpy(ret_mac->data, mac->bytes, 6);
    return 0;
}

static int net_addresses(const struct net_args *a, uint64_t seen, struct option_error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(net_specs); i++) {
        if (!(seen & (1ull << i)) || net_specs[i].kind != OPTION_IPV4)
            continue;
        if (*(const uint32_t *)(const void *)((const char *)a + net_specs[i].offset) == 0)
            return option_fail(err, "--net: %s=0.0.0.0 is none: leave it out or give another",
                               net_specs[i].key);
    }
    return 0;
}

static int net_fds(struct vm_options *o, struct net_args *a, struct option_error *err)
{
    uint32_t *numbers = bag_alloc(&o->bag, (a->fds.n_items + 1) * sizeof(*numbers));

    for (size_t i = 0; i < a->fds.n_items; i++) {
        uint64_t fd;

        if (option_u64(a->fds.items[i], &fd) < 0 || fd > 65535)
            return option_fail(err, "--net: fd=%s is not a descriptor's number", a->fds.items[i]);
        if (o->n_net_fds == VM_OPTIONS_MAX_FDS)
            return option_fail(err, "--net: more than %d descriptors", VM_OPTIONS_MAX_FDS);
        o->net_fds[o->n_net_fds++] = (int)fd;
        numbers[i] = (uint32_t)fd;
    }
    a->config.fd_numbers = numbers;
    a->config.n_fd_numbers = a->fds.n_items;
    a->config.num_fds = (uint32_t)a->fds.n_items;
    return 0;
}

int vm_net_fds_check(const struct vm_options *o, struct option_error *err)
{
    for (size_t i = 0; i < o->n_net_fds; i++)
        if (fcntl(o->net_fds[i], F_GETFD) < 0)
            return option_fail(err, "--net: descriptor %d is not open", o->net_fds[i]);
    return 0;
}

/* Root of a user namespace has no say over a network that belongs to another one. */
bool vm_net_makes_taps(void)
{
    cleanup_(fd_closep) int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    cleanup_(fd_closep) int owner = netns >= 0 ? ioctl(netns, NS_GET_USERNS) : -1;

    return geteuid() == 0 && (owner >= 0 || errno != EPERM);
}

static int net_mode(const struct vm_options *o, struct net_args *a, struct option_error *err)
{
    bool makes_taps =
        o->taps == VM_OPTIONS_TAPS_LOOK ? vm_net_makes_taps() : o->taps == VM_OPTIONS_TAPS_YES;

    /* Who can't make a tap, and names none, gets what needs no privilege. */
    if (!makes_taps && !a->config.tap[0] && !a->fds.n_items && !a->macvtap && !a->config.ip)
        a->user = 1;
    if (a->user && (a->config.tap[0] || a->fds.n_items || a->macvtap))
        return option_fail(err, "--net: user excludes tap=, macvtap and fd=");
    if (a->fds.n_items && a->config.tap[0])
        return option_fail(err, "--net: give tap= or fd=, not both");
    if (a->macvtap && !a->config.tap[0])
        return option_fail(err, "--net: macvtap needs tap=INTERFACE");
    if (!a->user && a->hostfwd.n_items)
        return option_fail(err, "--net: hostfwd= needs user (--net user,hostfwd=...)");
    if (a->user && a->config.num_queues > 2)
        return option_fail(err, "--net: user has one pair of queues (num_queues=2)");
    if (a->config.mask && !a->config.ip)
        return option_fail(err, "--net: mask= needs ip=");
    return 0;
}

int vm_net_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    struct net_args *a = bag_alloc(&o->bag, sizeof(*a));
    void **nets = (void **)o->config.nets;
    const char *mode;
    uint64_t seen = 0;

    bulkhead__net_config__init(&a->config);
    a->config.offload_tso = a->config.offload_ufo = a->config.offload_csum = 1;
    if (option_parse("--net", arg, net_specs, ARRAY_SIZE(net_specs), a, &o->bag, &seen, err) < 0 ||
        net_addresses(a, seen, err) < 0 || net_mode(o, a, err) < 0 || net_fds(o, a, err) < 0 ||
        net_mac(&o->bag, "mac", &a->mac, &a->config.mac, err) < 0 ||
        net_mac(&o->bag, "host_mac", &a->host_mac, &a->config.host_mac, err) < 0 ||
        limit_make(&o->bag, "--net", &a->limit, &a->config.rate_limit, err) < 0)
        return -1;
    if (a->config.num_queues % 2 != 0)
        return option_fail(err, "--net: num_queues=%u is odd; queues come in pairs",
                           a->config.num_queues);
    if (a->fds.n_items && a->config.num_queues && a->fds.n_items * 2 != a->config.num_queues)
        return option_fail(err, "--net: %zu descriptors don't fit num_queues=%u (two queues each)",
                           a->fds.n_items, a->config.num_queues);
    mode = a->user ? "user" : a->fds.n_items ? "fd" : a->macvtap ? "macvtap" : "tap";
    a->config.mode = bag_strndup(&o->bag, mode, strlen(mode));
    a->config.hostfwd = a->hostfwd.items;
    a->config.n_hostfwd = a->hostfwd.n_items;
    bag_append(&o->bag, &nets, &o->config.n_nets, &a->config);
    o->config.nets = (Bulkhead__NetConfig **)nets;
    return 0;
}

#define VSOCK(field) offsetof(Bulkhead__VsockConfig, field)
static const struct option_spec vsock_specs[] = {
    { "cid", OPTION_U32, VSOCK(cid), 3, 0xfffffffe, "context id, 3 or more" },
    { "socket", OPTION_TEXT, VSOCK(socket), 1, 95, "unix socket on the host" },
    { "id", OPTION_TEXT, VSOCK(id), TEXT_ID, "name of the device (vsock0)" },
    ONLY_PCI,
};

int vm_vsock_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    Bulkhead__VsockConfig *v = bag_alloc(&o->bag, sizeof(*v));

    if (o->config.vsock)
        return option_fail(err, "--vsock: one per VM");
    bulkhead__vsock_config__init(v);
    if (option_parse("--vsock", arg, vsock_specs, ARRAY_SIZE(vsock_specs), v, &o->bag, NULL, err) <
        0)
        return -1;
    if (v->cid == 0 || v->socket[0] == '\0')
        return option_fail(err, "--vsock: cid= and socket= are both needed");
    v->enabled = 1;
    o->config.vsock = v;
    return 0;
}

#define BALLOON(field) offsetof(Bulkhead__BalloonConfig, field)
static const struct option_spec balloon_specs[] = {
    { "size", OPTION_SIZE, BALLOON(size), 0, 1ull << 40, "bytes to take from the guest at start" },
    { "deflate_on_oom", OPTION_SWITCH, BALLOON(deflate_on_oom), 0, 1,
      "the guest may take it back" },
    { "free_page_reporting", OPTION_SWITCH, BALLOON(free_page_reporting), 0, 1,
      "free pages go back to the host" },
};

int vm_balloon_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    Bulkhead__BalloonConfig *b = bag_alloc(&o->bag, sizeof(*b));

    if (o->config.balloon)
        return option_fail(err, "--balloon: one per VM");
    bulkhead__balloon_config__init(b);
    if (option_parse("--balloon", arg, balloon_specs, ARRAY_SIZE(balloon_specs), b, &o->bag, NULL,
                     err) < 0)
        return -1;
    if (b->size % PAGE_BYTES != 0)
        return option_fail(err, "--balloon: size=%llu is not a multiple of the page (4096 bytes)",
                           (unsigned long long)b->size);
    b->enabled = 1;
    o->config.balloon = b;
    return 0;
}

struct rng_args {
    char *src;
    int off, on;
};
static const struct option_spec rng_specs[] = {
    { "off", OPTION_FLAG, offsetof(struct rng_args, off), 1, 1, "no entropy device" },
    { "on", OPTION_FLAG, offsetof(struct rng_args, on), 1, 1, "entropy from the host's kernel" },
    { "src", OPTION_TEXT, offsetof(struct rng_args, src), TEXT_PATH,
      "/dev/urandom, the only source" },
    ONLY_PCI,
};

int vm_rng_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    struct rng_args a = { 0 };

    if (arg &&
        option_parse("--rng", arg, rng_specs, ARRAY_SIZE(rng_specs), &a, &o->bag, NULL, err) < 0)
        return -1;
    if (a.off && (a.on || a.src))
        return option_fail(err, "--rng: off excludes everything else");
    if (a.src && strcmp(a.src, "/dev/urandom") != 0 && strcmp(a.src, "/dev/random") != 0)
        return option_fail(err, "--rng: src=%s: entropy comes from the kernel only (/dev/urandom)",
                           a.src);
    o->config.rng->enabled = !a.off;
    if (a.src)
        o->config.rng->src = bag_strndup(&o->bag, "/dev/urandom", 12);
    return 0;
}

struct console_args {
    int mode;
    char *file, *socket;
};
#define CONSOLE_FLAG(name, value, text)                                                            \
    {                                                                                              \
        name, OPTION_FLAG, offsetof(struct console_args, mode),                                    \
            BULKHEAD__CONSOLE_MODE__CONSOLE_##value, 0, text                                       \
    }
enum { CONSOLE_WORDS = 6 }; /* of these one is said */
static const struct option_spec console_specs[] = {
    CONSOLE_FLAG("off", OFF, "no such device"),
    CONSOLE_FLAG("null", NULL, "a device whose output is thrown away"),
    CONSOLE_FLAG("tty", TTY, "this terminal"),
    CONSOLE_FLAG("pty", PTY, "a new pseudo terminal"),
    { "file", OPTION_TEXT, offsetof(struct console_args, file), TEXT_PATH,
      "output goes to a file" },
    { "socket", OPTION_TEXT, offsetof(struct console_args, socket), 1, 107,
      "listen on a unix socket" },
    ONLY("iommu", ONLY_OFF),
};

int vm_console_parse(struct vm_options *o, const char *flag, const char *arg,
                     Bulkhead__ConsoleConfig *console, struct option_error *err)
{
    struct console_args a = { .mode = -1, .file = NULL, .socket = NULL };
    uint64_t seen = 0;

    if (option_parse(flag, arg, console_specs, ARRAY_SIZE(console_specs), &a, &o->bag, &seen, err) <
        0)
        return -1;
    seen &= (1ull << CONSOLE_WORDS) - 1;
    if (!is_power_of_two(seen))
        return option_fail(err, "%s: say one of off, null, tty, pty, file=F, socket=S", flag);
    if (a.file) {
        console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_FILE;
        console->path = a.file;
    } else if (a.socket) {
        console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
        console->path = a.socket;
    } else {
        console->mode = (Bulkhead__ConsoleMode)a.mode;
    }
    return 0;
}

struct group_args {
    Bulkhead__RateLimitGroup config;
    struct limit_args limit;
};
static const struct option_spec group_specs[] = {
    { "id", OPTION_TEXT, offsetof(struct group_args, config.id), TEXT_ID, "the group's name" },
    LIMIT_SPECS(struct group_args, limit),
};

int vm_limit_group_parse(struct vm_options *o, const char *arg, struct option_error *err)
{
    struct group_args *a = bag_alloc(&o->bag, sizeof(*a));
    void **groups = (void **)o->config.rate_limit_groups;

    bulkhead__rate_limit_group__init(&a->config);
    if (option_parse("--rate-limit-group", arg, group_specs, ARRAY_SIZE(group_specs), a, &o->bag,
                     NULL, err) < 0 ||
        limit_make(&o->bag, "--rate-limit-group", &a->limit, &a->config.limit, err) < 0)
        return -1;
    if (a->config.id[0] == '\0' || !a->config.limit)
        return option_fail(
            err, "--rate-limit-group: id= and a limit (bw_size= or ops_size=) are needed");
    bag_append(&o->bag, &groups, &o->config.n_rate_limit_groups, &a->config);
    o->config.rate_limit_groups = (Bulkhead__RateLimitGroup **)groups;
    return 0;
}

struct limit_only {
    struct limit_args limit;
};
static const struct option_spec limit_specs[] = { LIMIT_SPECS(struct limit_only, limit) };

int vm_limit_parse(const char *what, const char *arg, struct bag *bag,
                   Bulkhead__RateLimit **ret_limit, struct option_error *err)
{
    struct limit_only a = { { 0 } };

    if (option_parse(what, arg, limit_specs, ARRAY_SIZE(limit_specs), &a, bag, NULL, err) < 0)
        return -1;
    return limit_make(bag, what, &a.limit, ret_limit, err);
}

int vm_devices_check(const struct vm_options *o, struct option_error *err)
{
    const Bulkhead__VmConfig *c = &o->config;

    for (size_t i = 0; i < c->n_disks; i++) {
        const char *group = c->disks[i]->rate_limit_group;
        bool found = group[0] == '\0';

        for (size_t g = 0; g < c->n_rate_limit_groups && !found; g++)
            found = strcmp(c->rate_limit_groups[g]->id, group) == 0;
        if (!found)
            return option_fail(err, "--disk: there is no --rate-limit-group id=%s", group);
    }
    return 0;
}

static const struct option_flag devices[] = {
    { "--disk", disk_specs, ARRAY_SIZE(disk_specs) },
    { "--net", net_specs, ARRAY_SIZE(net_specs) },
    { "--vsock", vsock_specs, ARRAY_SIZE(vsock_specs) },
    { "--balloon", balloon_specs, ARRAY_SIZE(balloon_specs) },
    { "--rng", rng_specs, ARRAY_SIZE(rng_specs) },
    { "--serial, --console", console_specs, ARRAY_SIZE(console_specs) },
    { "--rate-limit-group", group_specs, ARRAY_SIZE(group_specs) },
};
enum { N_FLAGS = VM_MACHINE_FLAGS + ARRAY_SIZE(devices) };

static const struct option_flag *flag_at(size_t i)
{
    return i < VM_MACHINE_FLAGS ? &vm_machine_flags[i] : &devices[i - VM_MACHINE_FLAGS];
}

static void print_specs(FILE *out, const struct option_flag *of)
{
    fprintf(out, "\n  %s\n", of->flag);
    for (size_t i = 0; i < of->n; i++)
        if (of->specs[i].kind != OPTION_ONLY && of->specs[i].key[0] != '_')
            fprintf(out, "    %s%-*s %s\n", of->specs[i].key, 22 - (int)strlen(of->specs[i].key),
                    of->specs[i].kind == OPTION_FLAG ? "" : "=", of->specs[i].help);
}

void vm_devices_print_help(FILE *out)
{
    for (size_t i = 0; i < N_FLAGS; i++)
        print_specs(out, flag_at(i));
}

const struct option_spec *vm_devices_specs(const char *flag, size_t *ret_n)
{
    for (size_t i = 0; i < N_FLAGS; i++) {
        if (!strstr(flag_at(i)->flag, flag))
            continue;
        *ret_n = flag_at(i)->n;
        return flag_at(i)->specs;
    }
    *ret_n = 0;
    return NULL;
}
