/* SPDX-License-Identifier: Apache-2.0 */
/* instance.c - see instance.h. */
#include "run/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "config/config.h"
#include "config/group.h"
#include "devices/blk.h"
#include "devices/console.h"
#include "devices/handed.h"
#include "devices/net.h"
#include "devices/vsock.h"
#include "ipc/rules.h"
#include "plan/identity.h"
#include "resources/holder.h"
#include "resources/memory.h"
#include "resources/open.h"
#include "resources/tap.h"
#include "shm/byte_ring.h"
#include "shm/inflight.h"

/* ---- ports ---- */

struct port *instance_port(struct instance *in, uint32_t id)
{
    for (unsigned i = 0; id != 0 && i < VM_MAX_CHILDREN; i++)
        if (in->ports[i].id == id)
            return &in->ports[i];
    return NULL;
}

struct port *instance_new_port(struct instance *in, uint32_t id)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (in->ports[i].id == 0) {
            in->ports[i] = (struct port){ .instance = in, .id = id, .pidfd = -1, .stat_fd = -1 };
            return &in->ports[i];
        }
    return NULL;
}

int port_open(struct port *port, int fd, Bulkhead__Role role, bool kept)
{
    int r = channel_new(&port->channel, fd, CHANNEL_ARENA_BROKER);

    if (r < 0)
        return err_trace(r);
    if (kept)
        channel_peek(port->channel);
    if (kept && !rules_may_bring_fds(role))
        channel_leave_fds(port->channel);
    return 0;
}

void port_close(struct port *port)
{
    if (port->event)
        loop_event_free(port->event);
    port->event = NULL;
    channel_freep(&port->channel);
}

void port_free(struct port *port)
{
    port_close(port);
    if (port->exit_event)
        loop_event_free(port->exit_event);
    log_relay_free(port->log);
    fd_closep(&port->pidfd);
    fd_closep(&port->stat_fd);
    port->id = 0;
}

/* ---- devices ---- */

static void ends_init(struct device_ends *e)
{
    memset(e, 0, sizeof *e);
    backend_init(&e->backend);
    e->stats_fd = e->journal_fd = -1;
    e->program_fd = e->prev_program_fd = e->candidate_fd = -1;
    for (unsigned q = 0; q < LAYOUT_MAX_QUEUES; q++)
        e->kick[q] = e->call[q] = -1;
    for (unsigned i = 0; i < ARRAY_SIZE(e->shared_own); i++)
        e->shared_own[i] = -1;
}

static void ends_free_boot(struct device_ends *e)
{
    fd_closep(&e->journal_fd);
    for (unsigned q = 0; q < LAYOUT_MAX_QUEUES; q++) {
        fd_closep(&e->kick[q]);
        fd_closep(&e->call[q]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(e->shared_own); i++)
        fd_closep(&e->shared_own[i]);
}

static void ends_deinit(struct device_ends *e, bool forget_socket)
{
    ends_free_boot(e);
    if (e->held_event)
        loop_event_free(e->held_event);
    if (e->backend.holder)
        holder_dismiss(e->backend.held[0]);
    if (forget_socket)
        socket_path_forget(&e->backend.socket);
    backend_deinit(&e->backend);
    if (e->stats)
        munmap((void *)(uintptr_t)e->stats, PAGE_BYTES);
    fd_closep(&e->stats_fd);
    fd_closep(&e->program_fd);
    fd_closep(&e->prev_program_fd);
    fd_closep(&e->candidate_fd);
}

/* A page for the level of a group's bucket; all its disks get the one that the first made. */
static int open_group(struct instance *in, unsigned number, struct fault *f)
{
    const Bulkhead__VmConfig *c = in->config;
    const struct plan_device *device = &in->plan.devices[number];
    const char *group = c->disks[device->index]->rate_limit_group;
    struct backend *b = &in->ends[number].backend;
    int fd = -1, r = 0;

    for (unsigned i = 0; i < in->n_ends && fd < 0; i++) {
        const struct plan_device *other = &in->plan.devices[i];
        const struct backend *theirs = &in->ends[i].backend;

        if (i != number && other->role == BULKHEAD__ROLE__ROLE_BLK &&
            strcmp(c->disks[other->index]->rate_limit_group, group) == 0)
            fd = dup(theirs->own[theirs->n_own - 1]);
    }
    if (fd < 0)
        r = resources_memfd("rate-limit", PAGE_BYTES, false, &fd);
    if (r < 0)
        return fault_host(f, r, "%s: %s", device->name, err_text());
    b->own[b->n_own++] = fd;
    return 0;
}

static int check_interface(const struct instance *in, unsigned number, struct fault *f)
{
    for (unsigned i = 0; i < number; i++)
        if (in->plan.devices[i].role == BULKHEAD__ROLE__ROLE_NET &&
            resources_net_same(&in->ends[i].backend, &in->ends[number].backend))
            return fault_input(f, "%s and %s use the same interface: give each its own",
                               in->plan.devices[i].name, in->plan.devices[number].name);
    return 0;
}

static int open_net(struct instance *in, unsigned number, int **net_fds, unsigned *n_net_fds,
                    struct fault *f)
{
    Bulkhead__NetConfig *net = in->config->nets[in->plan.devices[number].index];
    int r = resources_net(net, *net_fds, *n_net_fds, &in->ends[number].backend, f);

    if (r == 0 && strcmp(net->mode, "fd") == 0) {
        *net_fds += net->num_fds;
        *n_net_fds -= net->num_fds;
    }
    return r < 0 ? r : check_interface(in, number, f);
}

static void tell_of_pty(struct instance *in, const char *id, const char *path)
{
    struct actions *actions = &in->vm.actions;

    action_notice(actions, "device", "pty", "id", id, "path", path, NULL);
    if (in->audience.notice)
        in->audience.notice(in->audience.arg, &actions->list[0]);
    actions->n = 0;
}

static int open_console(struct instance *in, unsigned number, const int *tty, struct fault *f)
{
    const struct plan_device *device = &in->plan.devices[number];
    struct backend *b = &in->ends[number].backend;
    int r =
        resources_console(NULL, device->pci_slot ? "the console" : "the serial port",
                          device->pci_slot ? in->config->console : in->config->serial, tty, b, f);

    if (r == 0 && b->pty_path[0] != '\0')
        tell_of_pty(in, device->name, b->pty_path);
    return r;
}

/* Who connects for the guest is not the broker, which lacks the right. */
static int open_vsock(struct instance *in, unsigned number, struct fault *f)
{
    const uint32_t uid = in->host.root ? host_uid(&in->host, PLAN_UID_BROKER) : 0;
    struct backend *b = &in->ends[number].backend;
    int r = resources_vsock(NULL, in->config->vsock, b, f);

    if (r < 0)
        return r;
    r = holder_start(in->holders, &b->socket, uid, true, &b->held[0]);
    if (r < 0)
        return fault_host(f, r, "%s: the process that keeps its socket can't be started",
                          in->plan.devices[number].name);
    b->holder = true;
    return 0;
}

static int open_backend(struct instance *in, unsigned number, const int *tty, int **net_fds,
                        unsigned *n_net_fds, struct fault *f)
{
    const struct plan_device *device = &in->plan.devices[number];
    const Bulkhead__VmConfig *c = in->config;
    struct backend *b = &in->ends[number].backend;
    int r;

    switch ((int)device->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        r = resources_disk(NULL, c->disks[device->index], b, f);
        return r == 0 && group_of_disk(c, c->disks[device->index]) ? open_group(in, number, f) : r;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        return open_console(in, number, tty, f);
    case BULKHEAD__ROLE__ROLE_NET:
        return open_net(in, number, net_fds, n_net_fds, f);
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return open_vsock(in, number, f);
    default:
        return 0;
    }
}

static bool is_at_socket(const struct instance *in, const struct plan_device *d)
{
    const Bulkhead__ConsoleConfig *c = d->pci_slot ? in->config->console : in->config->serial;

    return d->role == BULKHEAD__ROLE__ROLE_CONSOLE &&
           c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET;
}

/* What the rules depend on. */
void instance_note_backend(struct instance *in, unsigned number)
{
    struct plan_device *device = &in->plan.devices[number];
    const struct backend *b = &in->ends[number].backend;
    struct device *d = &in->vm.devices[number];

    device->cache_bytes = b->cache_bytes;
    d->on_socket = b->holder || is_at_socket(in, device);
    d->has_keys = b->keys;
    if (device->role == BULKHEAD__ROLE__ROLE_BALLOON)
        d->balloon_bytes = in->config->balloon->size;
    d->is_macvtap = b->macvtap != 0;
    d->is_user = device->role == BULKHEAD__ROLE__ROLE_NET &&
                 strcmp(in->config->nets[device->index]->mode, "user") == 0;
}

int instance_map_stats(struct instance *in, unsigned number)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, in->ends[number].stats_fd, 0);

    if (page == MAP_FAILED)
        return err_origin(-errno, "mapping the counters of %s", in->plan.devices[number].name);
    in->ends[number].stats = page;
    return 0;
}

static int open_stats(struct instance *in, unsigned number, struct fault *f)
{
    struct device_ends *e = &in->ends[number];
    const char *name = in->plan.devices[number].name;
    int r = resources_memfd("stats", PAGE_BYTES, false, &e->stats_fd);
    if (r < 0)
        return fault_host(f, r, "%s: %s", name, err_text());
    r = instance_map_stats(in, number);
    return r < 0 ? fault_host(f, r, "%s", err_text()) : 0;
}

void instance_add_ends(struct instance *in)
{
    ends_init(&in->ends[in->n_ends++]);
}

unsigned instance_number_of(const struct device_ends *ends)
{
    return (unsigned)(ends - ends->instance->ends);
}

static int open_device(struct instance *in, unsigned number, const int *tty, int **net_fds,
                       unsigned *n_net_fds, struct fault *f)
{
    const struct socket_path *socket = &in->ends[number].backend.socket;
    int r = open_backend(in, number, tty, net_fds, n_net_fds, f);

    if (r < 0)
        return r;
    instance_note_backend(in, number);
    if (socket->dir_fd >= 0 && spawner_hold(in->spawner, socket) < 0)
        return fault_host(f, EPIPE, "the spawner died: start again");
    return open_stats(in, number, f);
}

int instance_open_devices(struct instance *in, const int *tty, int *net_fds, unsigned n_net_fds,
                          struct fault *f)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < in->plan.n_devices; i++) {
        instance_add_ends(in);
        if (programs_fd(&in->programs, in->plan.devices[i].role, f) < 0)
            return -ENOENT;
        r = open_device(in, i, tty, &net_fds, &n_net_fds, f);
    }
    return r;
}

/* ---- the VM ---- */

void instance_init(struct instance *in, struct loop *loop, struct spawner *spawner)
{
    in->host.cgroup = "";
    in->loop = loop;
    in->spawner = spawner;
    in->ram_fd = in->kvm_fd = in->kernel_fd = in->initramfs_fd = -1;
    in->life_read = in->life_write = in->tty_fd = -1;
    in->signal_fd = in->record_fd = -1;
    rundir_init(&in->rundir);
}

static void begin_vm(struct instance *in)
{
    vm_init(&in->vm, in->config, &in->plan, now_ns());
    in->vm.insecure = in->config->insecure;
}

void instance_plan(struct instance *in, Bulkhead__VmConfig *config)
{
    in->config = config;
    plan_make(config, &in->plan);
    begin_vm(in);
}

void instance_plan_again(struct instance *in)
{
    const uint64_t created_ns = in->vm.created_ns;

    vm_deinit(&in->vm);
    memset(&in->vm, 0, sizeof in->vm);
    begin_vm(in);
    in->vm.created_ns = created_ns;
}

/* From now on the spawner removes the directory. */
static int share_rundir(struct instance *in, struct fault *f)
{
    const struct rundir_place *place = &in->rundir.place;
    const int fds[] = { place->lock_fd, place->base_fd, place->dir_fd };
    struct spawner_request request = { .kind = SPAWNER_VM };

    snprintf(request.path, sizeof request.path, "%s", place->name);
    if (spawner_send(in->spawner, &request, fds, ARRAY_SIZE(fds)) < 0)
        return fault_host(f, EPIPE, "the spawner died: start again");
    return 0;
}

static int configure_taps(struct instance *in, struct fault *f)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < in->config->n_nets; i++)
        r = resources_tap_configure(in->config->nets[i], f);
    return r;
}

static int note_handed(struct instance *in, unsigned number, struct fault *f)
{
    const struct plan_device *d = &in->plan.devices[number];
    const char *pty = in->ends[number].backend.pty_path;
    int r = 0;

    if (handed_is_needed(in->config, d) && d->role == BULKHEAD__ROLE__ROLE_NET)
        r = check_interface(in, number, f);
    if (r == 0 && d->role == BULKHEAD__ROLE__ROLE_BLK &&
        group_of_disk(in->config, in->config->disks[d->index]))
        r = open_group(in, number, f);
    if (r < 0)
        return r;
    if (pty[0] != '\0')
        tell_of_pty(in, d->name, pty);
    instance_note_backend(in, number);
    return open_stats(in, number, f);
}

int instance_open_handed(struct instance *in, struct fault *f)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < in->n_ends; i++)
        r = note_handed(in, i, f);
    if (r == 0)
        r = rundir_open(&in->rundir, in->config->name, f);
    return r == 0 ? share_rundir(in, f) : r;
}

int instance_open(struct instance *in, const int *tty, int *net_fds, unsigned n_net_fds,
                  struct fault *f)
{
    int r = resources_kernel(NULL, "the kernel", in->config->kernel, &in->kernel_fd, f);

    if (r == 0 && in->config->initramfs[0] != '\0')
        r = resources_kernel(NULL, "the initramfs", in->config->initramfs, &in->initramfs_fd, f);
    if (r == 0)
        r = resources_kvm(&in->kvm_fd, f);
    if (r == 0)
        r = instance_open_devices(in, tty, net_fds, n_net_fds, f);
    if (r == 0)
        r = rundir_open(&in->rundir, in->config->name, f);
    if (r == 0)
        r = share_rundir(in, f);
    if (r == 0)
        r = configure_taps(in, f);
    return r;
}

static int make_device_boot(struct instance *in, unsigned number)
{
    const struct plan_device *device = &in->plan.devices[number];
    struct device_ends *e = &in->ends[number];
    size_t region = inflight_region_bytes(device->queue_size);
    size_t journal = align_up(region * device->num_queues, PAGE_BYTES);
    int r = 0;

    for (unsigned q = 0; r == 0 && q < device->num_queues; q++) {
        r = resources_eventfd(&e->kick[q]);
        if (r == 0)
            r = resources_eventfd(&e->call[q]);
    }
    if (r == 0 && device->num_queues > 0)
        r = resources_memfd("journal", journal, false, &e->journal_fd);
    if (r == 0 && device->pci_slot == 0) {
        r = resources_memfd("serial", sizeof(struct serial_shared), false, &e->shared_own[0]);
        if (r == 0)
            r = resources_eventfd(&e->shared_own[1]);
        if (r == 0)
            r = resources_eventfd(&e->shared_own[2]);
    }
    return r;
}

void instance_begin_device(struct instance *in, unsigned number, struct backend *backend)
{
    if (in->n_ends <= number)
        in->n_ends = number + 1;
    ends_init(&in->ends[number]);
    in->ends[number].backend = *backend;
    in->ends[number].was_added = true;
    instance_note_backend(in, number);
}

int instance_make_device(struct instance *in, unsigned number, struct fault *f)
{
    const struct plan_device *device = &in->plan.devices[number];
    const Bulkhead__VmConfig *c = in->config;
    int r = 0;

    if (device->role == BULKHEAD__ROLE__ROLE_BLK && group_of_disk(c, c->disks[device->index]))
        r = open_group(in, number, f);
    if (r == 0)
        r = open_stats(in, number, f);
    if (r < 0)
        return r;
    r = make_device_boot(in, number);
    return r < 0 ? fault_host(f, r, "%s", err_text()) : 0;
}

/* An interface that was made for it goes by itself, a moment later. */
void instance_close_device(struct instance *in, unsigned number)
{
    in->ends[number].backend.made_tap[0] = '\0';
    ends_deinit(&in->ends[number], in->sandboxed);
    ends_init(&in->ends[number]);
}

int instance_make_boot(struct instance *in, struct fault *f)
{
    int life[2];
    int r = resources_ram(in->config->memory, &in->ram_fd, f);

    if (r < 0)
        return r;
    if (pipe2(life, O_CLOEXEC) < 0)
        return fault_host(f, errno, "life pipe: %s", strerror(errno));
    in->life_read = life[0];
    in->life_write = life[1];
    for (unsigned i = 0; r == 0 && i < in->n_ends; i++)
        r = plan_is_free(&in->plan.devices[i]) ? 0 : make_device_boot(in, i);
    return r < 0 ? fault_host(f, r, "%s", err_text()) : 0;
}

void instance_free_boot(struct instance *in)
{
    for (unsigned i = 0; i < in->n_ends; i++)
        ends_free_boot(&in->ends[i]);
    fd_closep(&in->ram_fd);
    fd_closep(&in->life_read);
    fd_closep(&in->life_write);
}

static void free_events(struct instance *in)
{
    struct loop_event **events[] = { &in->spawner_event, &in->deadline, &in->tick, &in->passt_timer,
                                     &in->signal_event };

    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        if (*events[i])
            loop_event_free(*events[i]);
        *events[i] = NULL;
    }
}

void instance_deinit(struct instance *in)
{
    for (unsigned i = 0; i < VM_MAX_CHILDREN; i++)
        if (in->ports[i].id != 0)
            port_free(&in->ports[i]);
    free_events(in);
    fd_closep(&in->signal_fd);
    instance_free_boot(in);
    for (unsigned i = 0; i < in->n_ends; i++)
        ends_deinit(&in->ends[i], in->sandboxed);
    fd_closep(&in->kvm_fd);
    fd_closep(&in->kernel_fd);
    fd_closep(&in->initramfs_fd);
    fd_closep(&in->tty_fd);
    if (in->sandboxed)
        rundir_forget(&in->rundir);
    else
        rundir_close(&in->rundir);
    for (unsigned i = 0; i < in->n_lines; i++)
        fd_closep(&in->lines[i]);
    programs_close(&in->programs);
    vm_deinit(&in->vm);
    config_free(in->config);
    in->config = NULL;
}
