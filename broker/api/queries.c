/* SPDX-License-Identifier: Apache-2.0 */
/* queries.c - see queries.h. */
#include "api/queries.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/fd_file.h"
#include "plan/identity.h"
#include "plan/plan_message.h"
#include "resources/holder.h"
#include "sandbox/layers.h"

/* ---- lists ---- */

static const struct device *device_of(const struct vm *vm, const struct child *c)
{
    return c->device == CHILD_NO_DEVICE ? NULL : &vm->devices[c->device];
}

static const char *child_state_text(const struct vm *vm, const struct child *c)
{
    const struct device *d = device_of(vm, c);

    if (d && c->id == d->passt)
        return "running";
    if (d && (d->failed || d->stage == STAGE_DEAD))
        return "failed";
    if (d && c->id == d->candidate)
        return "candidate";
    if (d && c->id != d->worker)
        return "leaving";
    if (c->role == BULKHEAD__ROLE__ROLE_CORE && vm->run == GUEST_IS_PAUSED)
        return "paused";
    return rules_state_name(c->state);
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
    static const char *const names[] = { [VM_NEW] = "starting",
                                         [VM_STARTING] = "starting",
                                         [VM_RUNNING] = "running",
                                         [VM_ENDING] = "ending",
                                         [VM_GONE] = "gone" };

    return vm->run == GUEST_IS_PAUSED ? "paused" : names[vm->phase];
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

static void add_broker(const struct instance *in, Bulkhead__ProcessInfo *info)
{
    info->build_id = (char *)(uintptr_t)BH_BUILD_ID;
    info->restarts = in->vm.epoch;
    if (in->fell_back)
        info->state = (char *)(uintptr_t) "rolled back";
}

void query_processes(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct instance *in = client->sessions->in;
    const struct vm *vm = &in->vm;
    char *layers[VM_MAX_CHILDREN][MAX_LAYERS], holders[PLAN_MAX_DEVICES][PLAN_NAME_BYTES + 8];
    Bulkhead__ProcessInfo infos[VM_MAX_CHILDREN + VM_MAX_CHILDREN + 3 + PLAN_MAX_DEVICES];
    Bulkhead__ProcessInfo *pointers[ARRAY_SIZE(infos)];
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    CLIENT_ENVELOPE(e, PROCESS_LIST, process_list, &list);
    size_t n = 0;

    list.processes = pointers;
    list.vm = vm->config->name;
    list.state = (char *)(uintptr_t)vm_state_text(vm);
    list.ram_size = vm->config->memory->size;
    add_broker(in, add_process(&list, &infos[n++], BULKHEAD__ROLE__ROLE_BROKER, "broker",
                               in->host.broker_pid, host_uid(&in->host, PLAN_UID_BROKER)));
    add_process(&list, &infos[n++], BULKHEAD__ROLE__ROLE_SPAWNER, "spawner", in->spawner->pid,
                in->host.uid);
    if (in->host.gateway_pid != 0)
        add_process(&list, &infos[n++], BULKHEAD__ROLE__ROLE_GATEWAY, "gateway",
                    in->host.gateway_pid, in->host.gateway_uid);
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++) {
        const struct child *c = &vm->children[i];
        const struct device *d = device_of(vm, c);
        Bulkhead__ProcessInfo *info;

        if (c->id == 0)
            continue;
        info = add_process(&list, &infos[n++], c->role, c->name, c->pid,
                           host_uid(&in->host, c->uid_slot));
        info->state = (char *)(uintptr_t)child_state_text(vm, c);
        info->build_id = (char *)(uintptr_t)c->build_id;
        info->rights = (char *)(uintptr_t)plan_rights(d ? d->plan : NULL, c->role);
        info->restarts = d && c->id == d->worker ? d->restarts : 0;
        list_layers(info, c->missing_layers, layers[i]);
    }
    for (unsigned i = 0; i < vm->n_devices; i++) { /* failed devices without a process */
        const struct device *d = &vm->devices[i];
        Bulkhead__ProcessInfo *info;

        if (!d->here || d->worker != 0 || !(d->failed || d->stage == STAGE_DEAD))
            continue;
        info = add_process(&list, &infos[n++], d->plan->role, d->plan->name, 0, 0);
        info->state = (char *)(uintptr_t) "failed";
        info->restarts = d->restarts;
    }
    for (unsigned i = 0; i < in->n_ends; i++) {
        struct ucred who;

        if (!in->ends[i].held_event || !in->ends[i].backend.holder ||
            !holder_who(in->ends[i].backend.held[0], &who))
            continue;
        snprintf(holders[i], sizeof holders[i], "%s-socket", in->plan.devices[i].name);
        add_process(&list, &infos[n++], BULKHEAD__ROLE__ROLE_HOLDER, holders[i], who.pid, who.uid);
    }
    e.id = request->id;
    session_send(client, &e);
}

static void say_file(const struct backend *b, unsigned own, Bulkhead__ProcessPlan *p)
{
    struct fd_file file;

    for (size_t i = 0; i < p->n_fds; i++) {
        if (strcmp(p->fds[i]->type, "file") != 0 || own >= b->n_own ||
            fd_file(b->own[own], &file) < 0)
            continue;
        p->fds[i]->dev = file.dev;
        p->fds[i]->ino = file.ino;
    }
}

/* Which files the names in the plan stood for, when they were opened: a disk's, a console's output. */
static void say_files(const struct instance *in, Bulkhead__VmPlan *plan)
{
    for (unsigned i = 0; i < in->n_ends; i++) {
        const struct plan_device *d = &in->plan.devices[i];

        for (size_t j = 0; j < plan->n_processes; j++)
            if (strcmp(plan->processes[j]->name, d->name) == 0)
                say_file(&in->ends[i].backend, d->role == BULKHEAD__ROLE__ROLE_CONSOLE ? 1 : 0,
                         plan->processes[j]);
    }
}

void query_plan(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct instance *in = client->sessions->in;
    Bulkhead__Plan plan = BULKHEAD__PLAN__INIT;
    CLIENT_ENVELOPE(e, PLAN, plan, &plan);
    struct fault f;

    plan.plan = plan_message(&in->plan, in->config, &in->host);
    if (plan.plan)
        say_files(in, plan.plan);
    e.id = request->id;
    if (session_send(client, &e) == -EMSGSIZE) {
        fault_host(&f, EMSGSIZE, "the plan is longer than a message can be");
        session_reply(client, request->id, &f);
    }
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

static void fill_counters(struct device_counters *dst, const struct instance *in,
                          const struct device *d)
{
    const struct stats_page page =
        *in->ends[d->number].stats; /* one look; any content is harmless */
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

void query_stats(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct instance *in = client->sessions->in;
    const struct vm *vm = &in->vm;
    Bulkhead__DeviceStats devices[PLAN_MAX_DEVICES], *pointers[PLAN_MAX_DEVICES];
    struct device_counters *counters = calloc(PLAN_MAX_DEVICES, sizeof *counters);
    Bulkhead__Stats stats = BULKHEAD__STATS__INIT;
    CLIENT_ENVELOPE(e, STATS, stats, &stats);
    struct fault f;
    size_t n = 0;

    if (!counters) {
        fault_host(&f, ENOMEM, "no memory");
        session_reply(client, request->id, &f);
        return;
    }
    for (unsigned i = 0; i < vm->n_devices; i++) {
        const struct device *d = &vm->devices[i];
        const struct child *w = vm_look(vm, d->worker);

        if (!d->here)
            continue;
        bulkhead__device_stats__init(&devices[n]);
        fill_counters(&counters[n], in, d);
        devices[n].name = (char *)(uintptr_t)d->plan->name;
        devices[n].role = d->plan->role;
        devices[n].pid = w ? w->pid : 0;
        devices[n].restarts = d->restarts;
        devices[n].counters = &counters[n].counters;
        pointers[n] = &devices[n];
        n++;
    }
    stats.devices = pointers;
    stats.n_devices = n;
    e.id = request->id;
    session_send(client, &e);
    free(counters);
}

/* ---- all that was configured ---- */

static uint64_t balloon_bytes(const struct instance *in, const struct device *d)
{
    return d->plan->role == BULKHEAD__ROLE__ROLE_BALLOON ? in->ends[d->number].stats->balloon_bytes
                                                         : 0;
}

void query_vm(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    const struct instance *in = client->sessions->in;
    const struct vm *vm = &in->vm;
    Bulkhead__DeviceDescription devices[PLAN_MAX_DEVICES], *pointers[PLAN_MAX_DEVICES];
    Bulkhead__VmDescription description = BULKHEAD__VM_DESCRIPTION__INIT;
    CLIENT_ENVELOPE(e, VM_DESCRIPTION, vm_description, &description);
    char addresses[PLAN_MAX_DEVICES][16];
    struct fault f;

    description.config = in->config;
    description.state = (char *)(uintptr_t)vm_state_text(vm);
    description.devices = pointers;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        const struct device *d = &vm->devices[i];
        Bulkhead__DeviceDescription *of = &devices[description.n_devices];

        if (!d->here)
            continue;
        bulkhead__device_description__init(of);
        of->id = (char *)(uintptr_t)d->plan->name;
        of->role = d->plan->role;
        if (d->plan->pci_slot != 0) {
            plan_address(d->plan, addresses[i], sizeof addresses[i]);
            of->address = addresses[i];
        }
        of->pty_path = (char *)(uintptr_t)in->ends[d->number].backend.pty_path;
        description.balloon_bytes += balloon_bytes(in, d);
        pointers[description.n_devices++] = of;
    }
    e.id = request->id;
    if (session_send(client, &e) == -EMSGSIZE) {
        fault_host(&f, EMSGSIZE, "the VM's configuration is longer than a message can be");
        session_reply(client, request->id, &f);
    }
}
