/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - the life of the VM: open everything, boot, run, end, perhaps boot again. */
#include "vm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "config/config.h"
#include "devices/backend.h"
#include "devices/blk.h"
#include "devices/console.h"
#include "devices/net.h"
#include "devices/vsock.h"
#include "resources/memory.h"
#include "resources/open.h"
#include "resources/tap.h"
#include "shm/byte_ring.h"
#include "shm/inflight.h"

enum { CORE_DIED_GRACE_MS = 60 };

static void device_init(struct vm *vm, struct device *d, const struct plan_device *plan)
{
    memset(d, 0, sizeof *d);
    d->vm = vm;
    d->plan = plan;
    backend_init(&d->backend);
    d->stats_fd = d->journal_fd = -1;
    d->program_fd = d->prev_program_fd = d->candidate_fd = -1;
    for (unsigned q = 0; q < LAYOUT_MAX_QUEUES; q++)
        d->kick[q] = d->call[q] = -1;
    for (unsigned i = 0; i < ARRAY_SIZE(d->shared_own); i++)
        d->shared_own[i] = -1;
}

/* What belongs to one boot: RAM, rings, eventfds. */
static void device_unboot(struct device *d)
{
    fd_closep(&d->journal_fd);
    for (unsigned q = 0; q < LAYOUT_MAX_QUEUES; q++) {
        fd_closep(&d->kick[q]);
        fd_closep(&d->call[q]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(d->shared_own); i++)
        fd_closep(&d->shared_own[i]);
    d->announced = d->attached = d->active = d->worker_activated = d->reset_pending = false;
    d->failed = d->dead = false;
    d->updates = 0;
    d->for_core = d->for_worker = (struct dirty){ 0 };
    d->step = STEP_NONE;
    d->n_deaths = 0;
    d->left = false;
}

static void device_deinit(struct device *d)
{
    device_unboot(d);
    child_drop_ring(d->vm, &d->ring);
    backend_deinit(&d->backend);
    if (d->stats)
        munmap((void *)(uintptr_t)d->stats, PAGE_BYTES);
    fd_closep(&d->stats_fd);
    fd_closep(&d->program_fd);
    fd_closep(&d->prev_program_fd);
    fd_closep(&d->candidate_fd);
    if (d->rate_limit)
        bulkhead__rate_limit__free_unpacked(d->rate_limit, NULL);
}

void vm_init(struct vm *vm, struct loop *loop, struct spawner *spawner)
{
    vm->host.cgroup = "";
    vm->loop = loop;
    vm->spawner = spawner;
    vm->ram_fd = vm->kvm_fd = vm->kernel_fd = vm->initramfs_fd = -1;
    vm->life_read = vm->life_write = vm->tty_fd = -1;
    vm->signal_fd = vm->links_fd = -1;
    vm->started_ns = now_ns();
    bulkhead__entry_state__init(&vm->entry);
    rundir_init(&vm->rundir);
}

static void vm_unboot(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        device_unboot(&vm->devices[i]);
    fd_closep(&vm->ram_fd);
    fd_closep(&vm->life_read);
    fd_closep(&vm->life_write);
    vm->have_entry = false;
    vm->paused = vm->pausing = vm->resuming = false;
}

void vm_deinit(struct vm *vm)
{
    session_close_all(vm);
    if (vm->signal_event)
        loop_event_free(vm->signal_event);
    vm->signal_event = NULL;
    fd_closep(&vm->signal_fd);
    vm_unboot(vm);
    for (unsigned i = 0; i < vm->n_devices; i++)
        device_deinit(&vm->devices[i]);
    fd_closep(&vm->kvm_fd);
    fd_closep(&vm->kernel_fd);
    fd_closep(&vm->initramfs_fd);
    fd_closep(&vm->tty_fd);
    loop_event_free(vm->links_event);
    fd_closep(&vm->links_fd);
    rundir_close(&vm->rundir);
    programs_close(&vm->programs);
    config_free(vm->config);
    vm->config = NULL;
}

void vm_trace(struct vm *vm, const char *fmt, ...)
{
    struct trace_point *point;
    va_list args;

    if (vm->n_trace == ARRAY_SIZE(vm->trace) || vm->traced)
        return;
    point = &vm->trace[vm->n_trace++];
    point->ns = now_ns() - vm->started_ns;
    va_start(args, fmt);
    vsnprintf(point->what, sizeof point->what, fmt, args);
    va_end(args);
}

/* A page for the level of a group's bucket; all its disks get the one that the first made. */
static int open_group(struct device *d, const Bulkhead__DiskConfig *disk, struct fault *f)
{
    const Bulkhead__VmConfig *c = d->vm->config;
    int fd = -1, r = 0;

    for (const struct device *e = d->vm->devices; e != d && fd < 0; e++)
        if (e->plan->role == BULKHEAD__ROLE__ROLE_BLK &&
            strcmp(c->disks[e->plan->index]->rate_limit_group, disk->rate_limit_group) == 0)
            fd = dup(e->backend.own[e->backend.n_own - 1]);
    if (fd < 0)
        r = resources_memfd("rate-limit", PAGE_BYTES, false, &fd);
    if (r < 0)
        return fault_host(f, r, "%s: %s", d->plan->name, err_text());
    d->backend.own[d->backend.n_own++] = fd;
    return 0;
}

static int check_interface(const struct device *d, struct fault *f)
{
    const struct vm *vm = d->vm;

    for (const struct device *e = vm->devices; e != d; e++)
        if (e->plan->role == BULKHEAD__ROLE__ROLE_NET &&
            resources_net_same(&e->backend, &d->backend))
            return fault_input(f, "%s and %s use the same interface: give each its own",
                               e->plan->name, d->plan->name);
    return 0;
}

static int open_backend(struct device *d, const int *tty, int **net_fds, unsigned *n_net_fds,
                        struct fault *f)
{
    const Bulkhead__VmConfig *c = d->vm->config;
    int r = 0;

    switch ((int)d->plan->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        r = resources_disk(c->disks[d->plan->index], &d->backend, f);
        return r == 0 && config_disk_group(c, c->disks[d->plan->index])
                   ? open_group(d, c->disks[d->plan->index], f)
                   : r;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        r = resources_console(d->plan->pci_slot ? "the console" : "the serial port",
                              d->plan->pci_slot ? c->console : c->serial, tty, &d->backend, f);
        if (r == 0 && d->backend.pty_path[0] != '\0')
            session_event(d->vm, "device", "pty", "id", d->plan->name, "path", d->backend.pty_path,
                          NULL);
        return r;
    case BULKHEAD__ROLE__ROLE_NET:
        r = resources_net(c->nets[d->plan->index], *net_fds, *n_net_fds, &d->backend, f);
        if (r == 0 && strcmp(c->nets[d->plan->index]->mode, "fd") == 0) {
            *net_fds += c->nets[d->plan->index]->num_fds;
            *n_net_fds -= c->nets[d->plan->index]->num_fds;
        }
        return r < 0 ? r : check_interface(d, f);
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return resources_vsock(c->vsock, &d->backend, f);
    case BULKHEAD__ROLE__ROLE_BALLOON:
        d->balloon_bytes = c->balloon->size;
        return 0;
    default:
        return 0;
    }
}

static int open_device(struct device *d, const int *tty, int **net_fds, unsigned *n_net_fds,
                       struct fault *f)
{
    void *page;
    int r = open_backend(d, tty, net_fds, n_net_fds, f);

    if (r < 0)
        return r;
    if (d->backend.socket.dir_fd >= 0 && spawner_hold(d->vm->spawner, &d->backend.socket) < 0)
        return fault_host(f, EPIPE, "the spawner died: start again");
    r = resources_memfd("stats", PAGE_BYTES, false, &d->stats_fd);
    if (r < 0)
        return fault_host(f, r, "%s: %s", d->plan->name, err_text());
    page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, d->stats_fd, 0);
    if (page == MAP_FAILED)
        return fault_host(f, errno, "%s: mapping its counters: %s", d->plan->name, strerror(errno));
    d->stats = page;
    return 0;
}

int vm_open_devices(struct vm *vm, const int *tty, int *net_fds, unsigned n_net_fds,
                    struct fault *f)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < vm->plan.n_devices; i++) {
        device_init(vm, &vm->devices[i], &vm->plan.devices[i]);
        vm->n_devices++;
        if (programs_fd(&vm->programs, vm->plan.devices[i].role, f) < 0)
            return -ENOENT;
        r = open_device(&vm->devices[i], tty, &net_fds, &n_net_fds, f);
    }
    return r;
}

static int configure_taps(struct vm *vm, struct fault *f)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < vm->config->n_nets; i++)
        r = resources_tap_configure(vm->config->nets[i], f);
    return r;
}

/* From now on the spawner removes the directory if this process can't. */
static int share_rundir(struct vm *vm, struct fault *f)
{
    const struct rundir_place *place = &vm->rundir.place;
    const int fds[] = { place->lock_fd, place->base_fd, place->dir_fd };
    struct spawner_request request = { .kind = SPAWNER_VM };

    snprintf(request.path, sizeof request.path, "%s", place->name);
    if (spawner_send(vm->spawner, &request, fds, ARRAY_SIZE(fds)) < 0)
        return fault_host(f, EPIPE, "the spawner died: start again");
    return 0;
}

int vm_open(struct vm *vm, const int *tty, int *net_fds, unsigned n_net_fds, struct fault *f)
{
    int r;

    r = resources_kernel("the kernel", vm->config->kernel, &vm->kernel_fd, f);
    if (r == 0 && vm->config->initramfs[0] != '\0')
        r = resources_kernel("the initramfs", vm->config->initramfs, &vm->initramfs_fd, f);
    if (r == 0)
        r = resources_kvm(&vm->kvm_fd, f);
    if (r == 0)
        r = vm_open_devices(vm, tty, net_fds, n_net_fds, f);
    if (r == 0)
        r = netdev_watch(vm, f);
    if (r == 0)
        r = rundir_open(&vm->rundir, vm->config->name, f);
    if (r == 0)
        r = share_rundir(vm, f);
    if (r == 0)
        r = configure_taps(vm, f);
    return r;
}

static int boot_device(struct device *d)
{
    size_t region = inflight_region_bytes(d->plan->queue_size);
    size_t journal = align_up(region * d->plan->num_queues, PAGE_BYTES);
    int r = 0;

    for (unsigned q = 0; r == 0 && q < d->plan->num_queues; q++) {
        r = resources_eventfd(&d->kick[q]);
        if (r == 0)
            r = resources_eventfd(&d->call[q]);
    }
    if (r == 0 && d->plan->num_queues > 0)
        r = resources_memfd("journal", journal, false, &d->journal_fd);
    if (r == 0 && d->plan->pci_slot == 0) {
        r = resources_memfd("serial", sizeof(struct serial_shared), false, &d->shared_own[0]);
        if (r == 0)
            r = resources_eventfd(&d->shared_own[1]);
        if (r == 0)
            r = resources_eventfd(&d->shared_own[2]);
    }
    return r;
}

static int boot_processes(struct vm *vm, struct fault *f)
{
    vm->loader = child_start(vm, BULKHEAD__ROLE__ROLE_LOADER, NULL, PLAN_UID_LOADER, -1, f);
    if (!vm->loader)
        return -f->error;
    vm->core = child_start(vm, BULKHEAD__ROLE__ROLE_CORE, NULL, PLAN_UID_CORE, -1, f);
    if (!vm->core)
        return -f->error;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        d->step = STEP_START;
        d->worker = child_start(vm, d->plan->role, d, d->plan->uid_slot, d->program_fd, f);
        if (!d->worker)
            return -f->error;
        d->passt_failed = false;
        if (netdev_start_passt(d, f) < 0)
            return -f->error;
    }
    return 0;
}

static void on_start_timeout(int fd, unsigned what, void *arg)
{
    struct vm *vm = arg;
    struct fault f;
    char who[200] = "";

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < vm->n_children; i++)
        if (vm->children[i]->state < CHILD_READY && strlen(who) < sizeof who - 40)
            snprintf(who + strlen(who), sizeof who - strlen(who), " %s", vm->children[i]->name);
    fault_host(&f, ETIMEDOUT, "the start took over %d s; still not ready:%s",
               VM_START_TIMEOUT_MS / 1000, who);
    vm_fail(vm, &f);
}

int vm_boot(struct vm *vm, struct fault *f)
{
    int life[2];
    int r = resources_ram(vm->config->memory, &vm->ram_fd, f);

    vm->phase = VM_STARTING;
    if (r < 0)
        return r;
    if (pipe2(life, O_CLOEXEC) < 0)
        return fault_host(f, errno, "life pipe: %s", strerror(errno));
    vm->life_read = life[0];
    vm->life_write = life[1];
    for (unsigned i = 0; r == 0 && i < vm->n_devices; i++)
        r = boot_device(&vm->devices[i]);
    if (r < 0)
        return fault_host(f, r, "%s", err_text());
    vm_trace(vm, "resources made");
    r = boot_processes(vm, f);
    if (r < 0)
        return r;
    if (!vm->start_timer)
        r = loop_add_timer(vm->loop, on_start_timeout, vm, &vm->start_timer);
    if (r == 0 && !vm->tick) {
        r = loop_add_timer(vm->loop, repair_on_tick, vm, &vm->tick);
        if (r == 0)
            r = loop_timer_arm(vm->tick, VM_TICK_MS, true);
    }
    if (r == 0)
        r = loop_timer_arm(vm->start_timer, VM_START_TIMEOUT_MS, false);
    return r < 0 ? fault_host(f, r, "timers: %s", err_text()) : 0;
}

void vm_report_trace(struct vm *vm)
{
    if (vm->traced)
        return;
    vm_trace(vm, "guest runs");
    vm->traced = true;
    if (vm->config->trace_start_ns == 0)
        return;
    for (unsigned i = 0; i < vm->n_trace; i++) {
        char ms[24];

        snprintf(ms, sizeof ms, "%.3f", (double)vm->trace[i].ns / 1e6);
        session_event(vm, "trace", vm->trace[i].what, "ms", ms, NULL);
    }
}

static void start_core(struct vm *vm)
{
    Bulkhead__Start start = BULKHEAD__START__INIT;
    ENVELOPE(e, START, start, &start);

    start.entry = &vm->entry;
    if (child_send(vm->core, &e, NULL, 0) < 0)
        return;
    loop_timer_disarm(vm->start_timer);
    for (unsigned i = 0; i < vm->n_devices; i++) {
        vm->devices[i].step = STEP_NONE;
        if (vm->devices[i].passt)
            log_relay_set_quiet(vm->devices[i].passt->log, false);
    }
    vm_trace(vm, "core told to run");
    vm->phase = VM_RUNNING;
    vm->ran = true;
    session_event(vm, "vm", "booted", "name", vm->config->name, NULL);
}

void vm_progress(struct vm *vm)
{
    bool ready = vm->have_entry && !vm->loader;

    if (vm->phase != VM_STARTING || !vm->core || vm->core->state != CHILD_READY)
        return;
    for (unsigned i = 0; i < vm->n_devices; i++) {
        struct device *d = &vm->devices[i];

        ready = netdev_passt_settled(d) && ready;
        if (!d->worker || !child_is_ready(d->worker)) {
            ready = false;
            continue;
        }
        if (d->plan->pci_slot != 0 && !d->attached) {
            if (relay_attach(d) < 0)
                return;
            d->attached = true;
        }
    }
    if (ready)
        start_core(vm);
}

/* ---- the end ---- */

static void stop_workers(struct vm *vm)
{
    for (unsigned i = 0; i < vm->n_children; i++)
        if (vm->children[i] != vm->core)
            child_stop(vm->children[i]);
}

static void advance_end(struct vm *vm);

static void on_stop_timeout(int fd, unsigned what, void *arg)
{
    struct vm *vm = arg;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < vm->n_children; i++)
        if (vm->children[i] != vm->core || vm->stop_stage >= 2)
            child_kill(vm->children[i], "did not leave in time");
    advance_end(vm);
}

/* Workers leave first, so that the console's last bytes get out; then the core. */
static void advance_end(struct vm *vm)
{
    bool workers_left = vm->n_children > (vm->core ? 1u : 0u);

    if (vm->stop_stage == 1 && !workers_left) {
        vm->stop_stage = 2;
        if (vm->core) {
            child_stop(vm->core);
            loop_timer_arm(vm->stop_timer, VM_STOP_CORE_MS, true);
        }
    }
    if (vm->n_children > 0)
        return;
    loop_timer_disarm(vm->stop_timer);
    vm->phase = VM_GONE;
    if (vm->reboot) {
        struct fault f;

        vm->reboot = false;
        vm->stop_stage = 0;
        vm->ended = false;
        vm_unboot(vm);
        vm->boots++;
        session_event(vm, "vm", "rebooting", NULL);
        if (vm_boot(vm, &f) < 0)
            vm_end(vm, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, false, true, "reboot: %s", f.text);
        return;
    }
    session_ended(vm);
    loop_quit(vm->loop, 0);
}

static void begin_end(struct vm *vm)
{
    if (vm->phase == VM_ENDING || vm->phase == VM_GONE) {
        if (vm->n_children == 0 && vm->phase == VM_ENDING)
            advance_end(vm);
        return;
    }
    vm->phase = VM_ENDING;
    vm->stop_stage = 1;
    if (vm->start_timer)
        loop_timer_disarm(vm->start_timer);
    if (!vm->stop_timer && loop_add_timer(vm->loop, on_stop_timeout, vm, &vm->stop_timer) < 0) {
        log_error("%s", err_text());
        loop_quit(vm->loop, -ENOMEM);
        return;
    }
    loop_timer_arm(vm->stop_timer, vm->core ? VM_STOP_WORKERS_MS : CORE_DIED_GRACE_MS, true);
    stop_workers(vm);
    advance_end(vm);
}

void vm_on_child_gone(struct vm *vm)
{
    if (vm->phase == VM_ENDING)
        advance_end(vm);
}

void vm_fail(struct vm *vm, const struct fault *fault)
{
    if (!vm->ended) {
        vm->ended = true;
        vm->end_fault = *fault;
        vm->end_host_failure = vm->ran || !fault->bad_input; /* a reboot can't blame the user */
        snprintf(vm->end_detail, sizeof vm->end_detail, "%s", fault->text);
    }
    vm->reboot = false;
    begin_end(vm);
}

void vm_end(struct vm *vm, Bulkhead__GuestStateKind state, bool by_user, bool host_failure,
            const char *fmt, ...)
{
    va_list args;

    if (!vm->ended || vm->reboot) {
        vm->ended = true;
        vm->reboot = false;
        vm->end_state = state;
        vm->end_by_user = by_user;
        vm->end_host_failure = host_failure;
        va_start(args, fmt);
        vsnprintf(vm->end_detail, sizeof vm->end_detail, fmt, args);
        va_end(args);
        if (!vm->ran) {
            vm->end_fault.error = by_user ? ECANCELED : EIO;
            snprintf(vm->end_fault.text, sizeof vm->end_fault.text, "%s", vm->end_detail);
        }
    }
    begin_end(vm);
}

void vm_reboot(struct vm *vm)
{
    if (vm->ended)
        return;
    vm->ended = true;
    vm->reboot = true;
    vm->end_state = BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT;
    begin_end(vm);
}
