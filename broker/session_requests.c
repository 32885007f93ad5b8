/* SPDX-License-Identifier: Apache-2.0 */
/* session_requests.c - what a client may ask of a running VM. */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "config/config.h"
#include "plan/plan_message.h"
#include "sandbox/layers.h"
#include "vm.h"

static void reply(struct client *client, uint32_t id, const struct fault *fault)
{
    session_reply(client->vm, client->serial, id, fault);
}

static void reply_ok(struct client *client, uint32_t id, const char *text)
{
    struct fault ok = { 0 };

    snprintf(ok.text, sizeof ok.text, "%s", text);
    reply(client, id, &ok);
}

static struct device *find_device(struct client *client, uint32_t id, const char *name)
{
    struct vm *vm = client->vm;
    char known[160] = "";
    struct fault f;

    for (unsigned i = 0; i < vm->n_devices; i++) {
        if (strcmp(vm->devices[i].plan->name, name) == 0)
            return &vm->devices[i];
        if (strlen(known) < sizeof known - PLAN_NAME_BYTES - 2)
            snprintf(known + strlen(known), sizeof known - strlen(known), " %s",
                     vm->devices[i].plan->name);
    }
    fault_input(&f, "there is no device '%.40s': this VM has%s", name, known[0] ? known : " none");
    reply(client, id, &f);
    return NULL;
}

/* ---- lists ---- */

static const char *child_state_text(const struct child *child)
{
    const struct device *d = child->device;

    if (d && child == d->passt)
        return "running";
    if (d && (d->failed || d->dead))
        return "failed";
    if (d && child == d->next)
        return "candidate";
    if (d && child != d->worker)
        return "leaving";
    if (child->role == BULKHEAD__ROLE__ROLE_CORE && child->vm->paused)
        return "paused";
    return rules_state_name(child->state);
}

static Bulkhead__ProcessInfo *add_process(Bulkhead__ProcessList *list, Bulkhead__ProcessInfo *info,
                                          Bulkhead__Role role, const char *name, pid_t pid,
                                          uint32_t uid)
{
    bulkhead__process_info__init(info);
    info->role = role;
    /* protobuf-c has no const; it only reads what is packed. */
    info->name = (char *)(uintptr_t)name;
    info->pid = pid;
    info->uid = uid;
    info->state = (char *)(uintptr_t) "running";
    info->rights = (char *)(uintptr_t)plan_rights(NULL, role);
    list->processes[list->n_processes++] = info;
    return info;
}

static const char *vm_state_text(const struct vm *vm)
{
    static const char *const names[] = { [VM_STARTING] = "starting",
                                         [VM_RUNNING] = "running",
                                         [VM_ENDING] = "ending",
                                         [VM_GONE] = "gone" };

    return vm->paused ? "paused" : names[vm->phase];
}

enum { MAX_LAYERS = 32 };

static void list_layers(Bulkhead__ProcessInfo *info, unsigned missing, char *names[MAX_LAYERS])
{
    info->missing_layers = names;
    for (unsigned bit = 1; bit != 0; bit <<= 1) {
        char *name = (char *)(uintptr_t)sandbox_layer_name(missing & bit);

        if (name && bit == SANDBOX_USERNS_REPLACED)
            info->replaced_layer = name;
        else if (name)
            names[info->n_missing_layers++] = name;
    }
}

static void list_processes(struct client *client, uint32_t id)
{
    struct vm *vm = client->vm;
    char *layers[VM_MAX_CHILDREN][MAX_LAYERS];
    Bulkhead__ProcessInfo infos[VM_MAX_CHILDREN + VM_MAX_CHILDREN + 2];
    Bulkhead__ProcessInfo *pointers[ARRAY_SIZE(infos)];
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    CLIENT_ENVELOPE(e, PROCESS_LIST, process_list, &list);
    size_t n = 0;

    list.processes = pointers;
    list.vm = vm->config->name;
    list.state = (char *)(uintptr_t)vm_state_text(vm);
    list.ram_size = vm->config->memory->size;
    add_process(&list, &infos[n++], BULKHEAD__ROLE__ROLE_BROKER, "broker", vm->host.broker_pid,
                vm->host.uid);
    add_process(&list, &infos[n++], BULKHEAD__ROLE__ROLE_SPAWNER, "spawner", vm->spawner->pid,
                vm->host.uid);
    for (unsigned i = 0; i < vm->n_children; i++) {
        const struct child *c = vm->children[i];
        Bulkhead__ProcessInfo *info =
            add_process(&list, &infos[n++], c->role, c->name, c->pid, c->uid);

        info->state = (char *)(uintptr_t)child_state_text(c);
        info->build_id = (char *)(uintptr_t)c->build_id;
        info->rights = (char *)(uintptr_t)plan_rights(c->device ? c->device->plan : NULL, c->role);
        info->restarts = c->device && c == c->device->worker ? c->device->restarts : 0;
        list_layers(info, c->missing_layers, layers[i]);
    }
    for (unsigned i = 0; i < vm->n_devices; i++) { /* failed devices without a process */
        const struct device *d = &vm->devices[i];
        Bulkhead__ProcessInfo *info;

        if (d->worker || !(d->failed || d->dead))
            continue;
        info = add_process(&list, &infos[n++], d->plan->role, d->plan->name, 0, 0);
        info->state = (char *)(uintptr_t) "failed";
        info->restarts = d->restarts;
    }
    e.id = id;
    session_send(client, &e);
}

static void get_plan(struct client *client, uint32_t id)
{
    struct vm *vm = client->vm;
    Bulkhead__Plan plan = BULKHEAD__PLAN__INIT;
    CLIENT_ENVELOPE(e, PLAN, plan, &plan);

    plan.plan = plan_message(&vm->plan, vm->config, &vm->host);
    e.id = id;
    session_send(client, &e);
    if (plan.plan)
        bulkhead__vm_plan__free_unpacked(plan.plan, NULL);
}

/* ---- counters ---- */

struct device_counters {
    Bulkhead__Counters counters;
    Bulkhead__GuestMemory memory;
    uint64_t latency[STATS_LATENCY_BUCKETS];
};

static void fill_memory(Bulkhead__GuestMemory *m, const uint64_t *stats)
{
    bulkhead__guest_memory__init(m);
    m->swap_in = stats[VIRTIO_BALLOON_S_SWAP_IN];
    m->swap_out = stats[VIRTIO_BALLOON_S_SWAP_OUT];
    m->major_faults = stats[VIRTIO_BALLOON_S_MAJFLT];
    m->minor_faults = stats[VIRTIO_BALLOON_S_MINFLT];
    m->free = stats[VIRTIO_BALLOON_S_MEMFREE];
    m->total = stats[VIRTIO_BALLOON_S_MEMTOT];
    m->available = stats[VIRTIO_BALLOON_S_AVAIL];
    m->caches = stats[VIRTIO_BALLOON_S_CACHES];
    m->hugetlb_allocations = stats[VIRTIO_BALLOON_S_HTLB_PGALLOC];
    m->hugetlb_failures = stats[VIRTIO_BALLOON_S_HTLB_PGFAIL];
}

static void fill_counters(struct device_counters *dst, const struct device *d)
{
    const struct stats_page page = *d->stats; /* one look; any content is harmless */
    Bulkhead__Counters *c = &dst->counters;
    uint64_t now = now_ns();

    bulkhead__counters__init(c);
    c->heartbeat = page.heartbeat;
    c->oldest_ns =
        page.oldest_start_ns != 0 && now > page.oldest_start_ns ? now - page.oldest_start_ns : 0;
    c->inflight = page.inflight;
    c->read_ops = page.read_ops;
    c->read_bytes = page.read_bytes;
    c->write_ops = page.write_ops;
    c->write_bytes = page.write_bytes;
    c->flush_ops = page.flush_ops;
    c->discard_ops = page.discard_ops;
    c->errors = page.errors;
    c->dropped = page.dropped;
    c->guest_faults = page.guest_faults;
    c->kicks = page.kicks;
    c->interrupts = page.interrupts;
    c->throttled = page.throttled;
    c->connections = page.connections;
    c->balloon_bytes = page.balloon_bytes;
    memcpy(dst->latency, page.latency_ns, sizeof dst->latency);
    c->latency = dst->latency;
    c->n_latency = STATS_LATENCY_BUCKETS;
    if (d->plan->role == BULKHEAD__ROLE__ROLE_BALLOON &&
        page.guest_stats[VIRTIO_BALLOON_S_MEMTOT]) {
        fill_memory(&dst->memory, page.guest_stats);
        c->guest_memory = &dst->memory;
    }
}

static void get_stats(struct client *client, uint32_t id)
{
    struct vm *vm = client->vm;
    Bulkhead__DeviceStats devices[PLAN_MAX_DEVICES], *pointers[PLAN_MAX_DEVICES];
    struct device_counters *counters = calloc(PLAN_MAX_DEVICES, sizeof *counters);
    Bulkhead__Stats stats = BULKHEAD__STATS__INIT;
    CLIENT_ENVELOPE(e, STATS, stats, &stats);
    struct fault f;

    if (!counters) {
        fault_host(&f, ENOMEM, "no memory");
        reply(client, id, &f);
        return;
    }
    for (unsigned i = 0; i < vm->n_devices; i++) {
        const struct device *d = &vm->devices[i];

        bulkhead__device_stats__init(&devices[i]);
        fill_counters(&counters[i], d);
        devices[i].name = (char *)(uintptr_t)d->plan->name;
        devices[i].role = d->plan->role;
        devices[i].pid = d->worker ? d->worker->pid : 0;
        devices[i].restarts = d->restarts;
        devices[i].counters = &counters[i].counters;
        pointers[i] = &devices[i];
    }
    stats.devices = pointers;
    stats.n_devices = vm->n_devices;
    e.id = id;
    session_send(client, &e);
    free(counters);
}

/* ---- commands ---- */

static void repair(struct client *client, uint32_t id, const Bulkhead__Repair *request)
{
    struct device *d = find_device(client, id, request->device);
    const char *done;
    struct fault f;

    if (!d)
        return;
    if (netdev_is_cut_off(d)) {
        if (netdev_repair(d, &done, &f) < 0)
            reply(client, id, &f);
        else
            reply_ok(client, id, done);
        return;
    }
    if (repair_by_hand(d, client->serial, id, &f) < 0)
        reply(client, id, &f);
}

static void upgrade(struct client *client, uint32_t id, const Bulkhead__Upgrade *request)
{
    struct device *d;
    struct fault f;

    if (request->device[0] == '\0') {
        if (upgrade_all_begin(client->vm, client->serial, id, &f) < 0)
            reply(client, id, &f);
        return;
    }
    d = find_device(client, id, request->device);
    if (d && upgrade_begin(d, request->path, client->serial, id, &f) < 0)
        reply(client, id, &f);
}

static void power_button(struct client *client, uint32_t id)
{
    Bulkhead__PowerButton button = BULKHEAD__POWER_BUTTON__INIT;
    ENVELOPE(e, POWER_BUTTON, power_button, &button);
    struct vm *vm = client->vm;
    struct fault f;

    if (vm->phase != VM_RUNNING || !vm->core || child_send(vm->core, &e, NULL, 0) < 0) {
        fault_input(&f, "the VM does not run: there is no button to press");
        reply(client, id, &f);
        return;
    }
    reply_ok(client, id, "power button pressed");
}

static Bulkhead__RateLimit *copy_limit(const Bulkhead__RateLimit *limit)
{
    uint8_t bytes[128];

    if (bulkhead__rate_limit__get_packed_size(limit) > sizeof bytes)
        return NULL;
    return bulkhead__rate_limit__unpack(NULL, bulkhead__rate_limit__pack(limit, bytes), bytes);
}

static bool bucket_valid(const Bulkhead__TokenBucket *bucket)
{
    return !bucket || (bucket->size > 0 && bucket->refill_time_ms > 0);
}

static void replace_limit(Bulkhead__RateLimit **place, Bulkhead__RateLimit *limit)
{
    if (*place)
        bulkhead__rate_limit__free_unpacked(*place, NULL);
    *place = limit;
}

static void set_group_limit(struct vm *vm, Bulkhead__RateLimitGroup *group,
                            Bulkhead__RateLimit *limit)
{
    replace_limit(&group->limit, limit);
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        if (d->plan->role == BULKHEAD__ROLE__ROLE_BLK &&
            config_disk_group(vm->config, vm->config->disks[d->plan->index]) == group)
            settings_changed(d);
    }
}

/* 0, or what is wrong with the request. */
static int check_set_limit(const struct vm *vm, const struct device *d,
                           const Bulkhead__RateLimit *limit, struct fault *f)
{
    if (d && d->plan->role != BULKHEAD__ROLE__ROLE_BLK && d->plan->role != BULKHEAD__ROLE__ROLE_NET)
        return fault_input(f, "%s has no rate limit: disks and network devices do", d->plan->name);
    if (d && d->plan->role == BULKHEAD__ROLE__ROLE_BLK &&
        config_disk_group(vm->config, vm->config->disks[d->plan->index]))
        return fault_input(f, "%s shares the limit of group %s: set that one", d->plan->name,
                           vm->config->disks[d->plan->index]->rate_limit_group);
    if (!bucket_valid(limit->bandwidth) || !bucket_valid(limit->ops))
        return fault_input(f, "a rate limit of size 0 or refill time 0: give at least 1, or leave "
                              "it out");
    return 0;
}

/* device: its name, or a group's. */
static void set_rate_limit(struct client *client, uint32_t id,
                           const Bulkhead__SetDeviceRateLimit *request)
{
    struct vm *vm = client->vm;
    Bulkhead__RateLimitGroup *group = config_find_group(vm->config, request->device);
    struct device *d = group ? NULL : find_device(client, id, request->device);
    Bulkhead__RateLimit none = BULKHEAD__RATE_LIMIT__INIT, *copy;
    const Bulkhead__RateLimit *limit = request->limit ? request->limit : &none;
    struct fault f;

    if (!group && !d)
        return;
    if (check_set_limit(vm, d, limit, &f) < 0) {
        reply(client, id, &f);
        return;
    }
    copy = copy_limit(limit);
    if (!copy) {
        fault_host(&f, ENOMEM, "no memory");
        reply(client, id, &f);
        return;
    }
    if (group) {
        set_group_limit(vm, group, copy);
    } else {
        replace_limit(&d->rate_limit, copy);
        settings_changed(d);
    }
    reply_ok(client, id, "rate limit set");
}

static void resize_balloon(struct client *client, uint32_t id, uint64_t size)
{
    struct vm *vm = client->vm;
    struct device *d = NULL;
    struct fault f;

    for (unsigned i = 0; i < vm->n_devices; i++)
        if (vm->devices[i].plan->role == BULKHEAD__ROLE__ROLE_BALLOON)
            d = &vm->devices[i];
    if (!d || size % PAGE_BYTES != 0 || size >= vm->config->memory->size) {
        if (!d)
            fault_input(&f, "this VM has no balloon: start it with --balloon");
        else
            fault_input(&f, "balloon size %llu: give a multiple of 4096 below the guest's memory",
                        (unsigned long long)size);
        reply(client, id, &f);
        return;
    }
    d->balloon_bytes = size;
    settings_changed(d);
    reply_ok(client, id, "balloon target set");
}

static void set_link(struct client *client, uint32_t id, const Bulkhead__SetLink *request)
{
    struct device *d = find_device(client, id, request->device);
    struct fault f;

    if (!d)
        return;
    if (d->plan->role != BULKHEAD__ROLE__ROLE_NET) {
        fault_input(&f, "%s has no link: network devices do", d->plan->name);
        reply(client, id, &f);
        return;
    }
    d->link_down = !request->up;
    netdev_update_link(d);
    reply_ok(client, id, request->up ? "link up" : "link down");
}

static void pause_or_resume(struct client *client, uint32_t id, bool resume)
{
    struct fault f;
    int r = resume ? pause_end(client->vm, client->serial, id, &f)
                   : pause_begin(client->vm, client->serial, id, &f);

    if (r < 0)
        reply(client, id, &f);
}

void session_request(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    uint32_t id = request->id;
    struct fault f;

    switch ((int)request->body_case) {
    case BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES:
        list_processes(client, id);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN:
        get_plan(client, id);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_GET_STATS:
        get_stats(client, id);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE:
        client->subscribed = true;
        reply_ok(client, id, "");
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM:
        reply_ok(client, id, "stopping");
        vm_end(client->vm, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, true, false, "stopped");
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_PRESS_POWER_BUTTON:
        power_button(client, id);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_REPAIR:
        repair(client, id, request->repair);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_UPGRADE:
        upgrade(client, id, request->upgrade);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_PAUSE_VM:
        pause_or_resume(client, id, false);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_RESUME_VM:
        pause_or_resume(client, id, true);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_SET_DEVICE_RATE_LIMIT:
        set_rate_limit(client, id, request->set_device_rate_limit);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_RESIZE_BALLOON:
        resize_balloon(client, id, request->resize_balloon->size);
        break;
    case BULKHEAD__CLIENT_ENVELOPE__BODY_SET_LINK:
        set_link(client, id, request->set_link);
        break;
    default:
        fault_input(&f, "this request is not known here: is the client newer than the broker?");
        reply(client, id, &f);
        break;
    }
}
