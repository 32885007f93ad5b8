// SPDX-License-Identifier: Apache-2.0
// describe.c - see describe.h.
#include "vmconfig/describe.h"
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "ipc/cpu_bits.h"
#include "messages_json.h"

/* ---- one field, if it says something ---- */

static void put_text(json_t *object, const char *key, const char *text)
{
    if (text && text[0])
        json_object_set_new(object, key, json_string(text));
}

static void put_number(json_t *object, const char *key, uint64_t number)
{
    if (number != 0)
        json_object_set_new(object, key, json_integer((json_int_t)number));
}

static void put_true(json_t *object, const char *key, bool value)
{
    if (value)
        json_object_set_new(object, key, json_true());
}

/* Of what is on unless it is said to be off. */
static void put_false(json_t *object, const char *key, bool value)
{
    if (!value)
        json_object_set_new(object, key, json_false());
}

static void put_mac(json_t *object, const char *key, const ProtobufCBinaryData *mac)
{
    char text[18];

    if (mac->len != 6)
        return;
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac->data[0], mac->data[1],
             mac->data[2], mac->data[3], mac->data[4], mac->data[5]);
    put_text(object, key, text);
}

static void put_ipv4(json_t *object, const char *key, uint32_t address)
{
    struct in_addr in = { .s_addr = htonl(address) };
    char text[INET_ADDRSTRLEN];

    if (address != 0 && inet_ntop(AF_INET, &in, text, sizeof(text)))
        put_text(object, key, text);
}

static void put_bucket(json_t *object, const char *key, const Bulkhead__TokenBucket *bucket)
{
    json_t *value;

    if (!bucket)
        return;
    value = json_object();
    put_number(value, "size", bucket->size);
    put_number(value, "one_time_burst", bucket->one_time_burst);
    put_number(value, "refill_time", bucket->refill_time_ms);
    json_object_set_new(object, key, value);
}

static void put_limit(json_t *object, const Bulkhead__RateLimit *limit)
{
    json_t *value;

    if (!limit)
        return;
    value = json_object();
    put_bucket(value, "bandwidth", limit->bandwidth);
    put_bucket(value, "ops", limit->ops);
    json_object_set_new(object, "rate_limiter_config", value);
}

static void put_list(json_t *object, const char *key, json_t *list)
{
    if (json_array_size(list) > 0)
        json_object_set(object, key, list);
    json_decref(list);
}

/* ---- devices ---- */

static json_t *describe_disk(const Bulkhead__DiskConfig *d)
{
    json_t *disk = json_object();

    put_text(disk, "id", d->id);
    put_text(disk, "path", d->path);
    put_true(disk, "readonly", d->readonly);
    put_true(disk, "direct", d->direct);
    put_number(disk, "num_queues", d->num_queues);
    put_number(disk, "queue_size", d->queue_size);
    put_number(disk, "logical_block_size", d->logical_block_size);
    put_text(disk, "serial", d->serial);
    put_true(disk, "disable_io_uring", d->disable_io_uring);
    put_text(disk, "rate_limit_group", d->rate_limit_group);
    put_limit(disk, d->rate_limit);
    return disk;
}

static json_t *describe_net(const Bulkhead__NetConfig *n)
{
    json_t *net = json_object(), *forwards = json_array();

    put_text(net, "id", n->id);
    put_true(net, "user", strcmp(n->mode, "user") == 0);
    put_true(net, "macvtap", strcmp(n->mode, "macvtap") == 0);
    put_text(net, "tap", n->tap);
    put_mac(net, "mac", &n->mac);
    put_mac(net, "host_mac", &n->host_mac);
    put_ipv4(net, "ip", n->ip);
    put_ipv4(net, "mask", n->mask);
    put_number(net, "mtu", n->mtu);
    put_number(net, "num_queues", n->num_queues);
    put_number(net, "queue_size", n->queue_size);
    put_false(net, "offload_tso", n->offload_tso);
    put_false(net, "offload_ufo", n->offload_ufo);
    put_false(net, "offload_csum", n->offload_csum);
    put_true(net, "mac_filter", n->mac_filter);
    put_true(net, "disable_io_uring", n->disable_io_uring);
    for (size_t i = 0; i < n->n_hostfwd; i++)
        json_array_append_new(forwards, json_string(n->hostfwd[i]));
    put_list(net, "hostfwd", forwards);
    put_limit(net, n->rate_limit);
    return net;
}

static json_t *describe_console(const Bulkhead__ConsoleConfig *c)
{
    static const char *const modes[] = {
        [BULKHEAD__CONSOLE_MODE__CONSOLE_OFF] = "Off",
        [BULKHEAD__CONSOLE_MODE__CONSOLE_NULL] = "Null",
        [BULKHEAD__CONSOLE_MODE__CONSOLE_TTY] = "Tty",
        [BULKHEAD__CONSOLE_MODE__CONSOLE_FILE] = "File",
        [BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET] = "Socket",
        [BULKHEAD__CONSOLE_MODE__CONSOLE_PTY] = "Pty",
    };
    json_t *console = json_object();

    if ((unsigned)c->mode < ARRAY_SIZE(modes))
        put_text(console, "mode", modes[c->mode]);
    if (c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_FILE)
        put_text(console, "file", c->path);
    if (c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET)
        put_text(console, "socket", c->path);
    return console;
}

static void put_devices(json_t *vm, const Bulkhead__VmConfig *c)
{
    json_t *groups = json_array(), *disks = json_array(), *nets = json_array(), *one;

    for (size_t i = 0; i < c->n_rate_limit_groups; i++) {
        one = json_object();
        put_text(one, "id", c->rate_limit_groups[i]->id);
        put_limit(one, c->rate_limit_groups[i]->limit);
        json_array_append_new(groups, one);
    }
    for (size_t i = 0; i < c->n_disks; i++)
        json_array_append_new(disks, describe_disk(c->disks[i]));
    for (size_t i = 0; i < c->n_nets; i++)
        json_array_append_new(nets, describe_net(c->nets[i]));
    put_list(vm, "rate_limit_groups", groups);
    put_list(vm, "disks", disks);
    put_list(vm, "net", nets);
    if (c->vsock && c->vsock->enabled) {
        one = json_object();
        put_text(one, "id", c->vsock->id);
        put_number(one, "cid", c->vsock->cid);
        put_text(one, "socket", c->vsock->socket);
        json_object_set_new(vm, "vsock", one);
    }
    if (c->balloon && c->balloon->enabled) {
        one = json_object();
        json_object_set_new(one, "size", json_integer((json_int_t)c->balloon->size));
        put_true(one, "deflate_on_oom", c->balloon->deflate_on_oom);
        put_true(one, "free_page_reporting", c->balloon->free_page_reporting);
        json_object_set_new(vm, "balloon", one);
    }
}

static void put_consoles(json_t *vm, const Bulkhead__VmConfig *c)
{
    json_t *rng = json_object();

    if (c->rng) {
        put_text(rng, "src", c->rng->src);
        put_true(rng, "off", !c->rng->enabled);
    }
    if (json_object_size(rng) > 0)
        json_object_set(vm, "rng", rng);
    json_decref(rng);
    if (c->serial)
        json_object_set_new(vm, "serial", describe_console(c->serial));
    if (c->console && c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF)
        json_object_set_new(vm, "console", describe_console(c->console));
}

static void put_limits(json_t *vm, const Bulkhead__LimitsConfig *l)
{
    json_t *limits = json_object();
    char cpus[CPU_BITS_TEXT_BYTES];

    if (l) {
        put_number(limits, "cpu_max", l->cpu_max);
        put_number(limits, "cpu_weight", l->cpu_weight);
        put_number(limits, "memory_max", l->memory_max);
        put_number(limits, "io_weight", l->io_weight);
        put_number(limits, "pids_max", l->pids_max);
        put_text(limits, "cpuset", cpu_bits_say(&l->cpuset, cpus, sizeof(cpus)));
    }
    if (json_object_size(limits) > 0)
        json_object_set(vm, "limits", limits);
    json_decref(limits);
}

json_t *describe_config(const Bulkhead__VmConfig *c)
{
    json_t *vm = json_object(), *payload = json_object(), *cpus = json_object(),
           *memory = json_object();

    put_text(vm, "name", c->name);
    put_text(payload, "kernel", c->kernel);
    put_text(payload, "initramfs", c->initramfs);
    put_text(payload, "cmdline", c->cmdline);
    json_object_set_new(vm, "payload", payload);
    if (c->cpus) {
        put_number(cpus, "boot_vcpus", c->cpus->boot_vcpus);
        put_true(cpus, "nested", c->cpus->nested);
        put_list(cpus, "affinity", affinity_json(c->cpus->affinity, c->cpus->n_affinity));
    }
    json_object_set_new(vm, "cpus", cpus);
    if (c->memory) {
        put_number(memory, "size", c->memory->size);
        put_true(memory, "hugepages", c->memory->hugepages);
        put_true(memory, "prefault", c->memory->prefault);
        put_false(memory, "thp", c->memory->thp);
    }
    json_object_set_new(vm, "memory", memory);
    put_limits(vm, c->limits);
    put_devices(vm, c);
    put_consoles(vm, c);
    put_true(vm, "no_reboot", c->no_reboot);
    put_true(vm, "insecure", c->insecure);
    put_true(vm, "audit", c->audit);
    put_number(vm, "crash_limit", c->crash_limit);
    put_number(vm, "crash_window", c->crash_window_s);
    put_number(vm, "hang_timeout", c->hang_timeout_ms);
    put_number(vm, "stall_timeout", c->stall_timeout_ms);
    return vm;
}
