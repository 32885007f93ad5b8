// SPDX-License-Identifier: Apache-2.0
// fields.c - see fields.h.
#include "vmconfig/fields.h"
#include <stddef.h>

#define PCI_FIELDS                                                                                 \
    { "id", NULL, TEXT }, { "pci_segment", NULL, NUMBER }, { "iommu", NULL, BOOL },                \
    {                                                                                              \
        "pci_device_id", NULL, NOTHING                                                             \
    }

static const struct field cpus[] = {
    { "boot_vcpus", "boot", NUMBER },
    { "max_vcpus", "max", NUMBER },
    { "nested", NULL, BOOL },
    { "kvm_hyperv", NULL, BOOL },
    { "core_scheduling", NULL, WORD },
    { "topology", NULL, NOTHING },
    { "affinity", NULL, PINNING },
    { "features", NULL, NOTHING },
    { "profile", NULL, NOTHING },
    { "max_phys_bits", NULL, ANY }, /* as many as the host has */
    { NULL, NULL, TEXT },
};
static const struct field memory[] = {
    { "size", NULL, SIZE },
    { "hugepages", NULL, BOOL },
    { "prefault", NULL, BOOL },
    { "thp", NULL, BOOL },
    { "shared", NULL, BOOL },
    { "mergeable", NULL, BOOL },
    { "reserve", NULL, BOOL },
    { "hugepage_size", NULL, SIZE },
    { "hotplug_method", NULL, WORD },
    { "hotplug_size", NULL, SIZE },
    { "hotplugged_size", NULL, SIZE },
    { "zones", NULL, NOTHING },
    { NULL, NULL, TEXT },
};
static const struct field limits[] = {
    /* ours */
    { "cpu_max", NULL, PERCENT },  { "cpu_weight", NULL, NUMBER }, { "memory_max", NULL, SIZE },
    { "io_weight", NULL, NUMBER }, { "pids_max", NULL, NUMBER },   { "cpuset", NULL, CPUS },
    { NULL, NULL, TEXT },
};
static const struct field disk[] = {
    { "path", NULL, TEXT },
    { "readonly", NULL, BOOL },
    { "direct", NULL, BOOL },
    { "num_queues", NULL, NUMBER },
    { "queue_size", NULL, NUMBER },
    { "logical_block_size", NULL, NUMBER },
    { "serial", NULL, TEXT },
    { "rate_limiter_config", NULL, LIMITER },
    { "rate_limit_group", NULL, TEXT },
    { "disable_io_uring", NULL, BOOL },
    { "disable_aio", "_disable_aio", BOOL },
    { "image_type", NULL, WORD },
    { "sparse", NULL, BOOL },
    { "backing_files", NULL, BOOL },
    { "lock_granularity", NULL, WORD },
    { "vhost_user", NULL, BOOL },
    { "vhost_socket", NULL, NOTHING },
    { "queue_affinity", NULL, NOTHING },
    PCI_FIELDS,
    { NULL, NULL, TEXT },
};
static const struct field net[] = {
    { "tap", NULL, TEXT },
    { "ip", NULL, TEXT },
    { "mask", NULL, TEXT },
    { "mac", NULL, TEXT },
    { "host_mac", NULL, TEXT },
    { "mtu", NULL, NUMBER },
    { "num_queues", NULL, NUMBER },
    { "queue_size", NULL, NUMBER },
    { "offload_tso", NULL, BOOL },
    { "offload_ufo", NULL, BOOL },
    { "offload_csum", NULL, BOOL },
    { "rate_limiter_config", NULL, LIMITER },
    { "user", NULL, FLAG },
    { "macvtap", NULL, FLAG },
    { "hostfwd", NULL, TEXTS },
    { "mac_filter", NULL, BOOL },
    { "disable_io_uring", NULL, BOOL },
    { "vhost_user", NULL, BOOL },
    { "vhost_mode", NULL, WORD },
    { "vhost_socket", NULL, NOTHING },
    { "fds", NULL, NOTHING }, /* a number in a file is nobody's descriptor: --net fd=N */
    PCI_FIELDS,
    { NULL, NULL, TEXT },
};
static const struct field vsock[] = {
    { "cid", NULL, NUMBER },
    { "socket", NULL, TEXT },
    PCI_FIELDS,
    { NULL, NULL, TEXT },
};
static const struct field balloon[] = {
    { "size", NULL, SIZE },
    { "deflate_on_oom", NULL, BOOL },
    { "free_page_reporting", NULL, BOOL },
    { NULL, NULL, TEXT },
};
static const struct field rng[] = {
    { "src", NULL, TEXT },
    { "off", NULL, FLAG },
    { "iommu", NULL, BOOL },
    { NULL, NULL, TEXT },
};
static const struct field console[] = {
    { "mode", "", WORD }, /* the bare word */
    { "file", NULL, TEXT }, { "socket", NULL, TEXT }, { "iommu", NULL, BOOL }, { NULL, NULL, TEXT },
};
static const struct field group[] = {
    { "id", NULL, TEXT },
    { "rate_limiter_config", NULL, LIMITER },
    { NULL, NULL, TEXT },
};
const struct field fields_bucket[] = {
    { "size", NULL, NUMBER },
    { "one_time_burst", NULL, NUMBER },
    { "refill_time", NULL, NUMBER },
    { NULL, NULL, TEXT },
};

const struct section fields_sections[FIELDS_SECTIONS] = {
    { "cpus", "--cpus", false, cpus, NULL },
    { "memory", "--memory", false, memory, NULL },
    { "limits", "--limits", false, limits, NULL },
    { "rate_limit_groups", "--rate-limit-group", true, group, NULL },
    { "disks", "--disk", true, disk, NULL },
    { "net", "--net", true, net, "tap=" },
    { "vsock", "--vsock", false, vsock, NULL },
    { "balloon", "--balloon", false, balloon, NULL },
    { "rng", "--rng", false, rng, NULL },
    { "serial", "--serial", false, console, NULL },
    { "console", "--console", false, console, NULL },
};

const struct field fields_payload[] = {
    { "kernel", "--kernel", TEXT },     { "initramfs", "--initramfs", TEXT },
    { "cmdline", "--cmdline", TEXT },   { "firmware", NULL, NOTHING },
    { "igvm", NULL, NOTHING },          { "host_data", NULL, NOTHING },
    { "fw_cfg_config", NULL, NOTHING }, { NULL, NULL, TEXT },
};
const struct field fields_top[FIELDS_TOP] = {
    { "name", "--name", TEXT },
    { "no_reboot", "--no-reboot", FLAG },
    { "insecure", "--insecure", FLAG },
    { "audit", "--audit", FLAG },
    { "crash_limit", "--crash-limit", NUMBER },
    { "crash_window", "--crash-window", NUMBER },
    { "hang_timeout", "--hang-timeout", NUMBER },
    { "stall_timeout", "--stall-timeout", NUMBER },
    { "landlock_enable", NULL, ANY }, /* it always is */
    { "debug_console", NULL, ANY },
    { "landlock_rules", NULL, NOTHING },
    { "fs", NULL, NOTHING },
    { "generic_vhost_user", NULL, NOTHING },
    { "pmem", NULL, NOTHING },
    { "devices", NULL, NOTHING },
    { "user_devices", NULL, NOTHING },
    { "vdpa", NULL, NOTHING },
    { "numa", NULL, NOTHING },
    { "iommu", NULL, NOTHING },
    { "watchdog", NULL, NOTHING },
    { "rtc", NULL, NOTHING },
    { "pvpanic", NULL, NOTHING },
    { "pci_segments", NULL, NOTHING },
    { "platform", NULL, NOTHING },
    { "tpm", NULL, NOTHING },
    { "pvmemcontrol", NULL, NOTHING },
    { "ivshmem", NULL, NOTHING },
    { "gdb", NULL, NOTHING },
    { NULL, NULL, TEXT },
};
