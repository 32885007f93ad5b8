/* SPDX-License-Identifier: Apache-2.0 */
/* core.c - puts the machine together: VM, buses, platform devices, virtio functions. */
#include "core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/cpu_bits.h"
#include "ipc/regions.h"
#include "ipc/regions_map.h"
#include "kvm/vm.h"
#include "pci/virtio_plug.h"

enum { FD_RAM, FD_DEVICE, FD_LIFE, FD_SERIAL, FD_SERIAL_OUT, FD_SERIAL_IN, FDS_WITH_SERIAL };

static void end(struct core *core, Bulkhead__GuestStateKind how, bool host_failure,
                const char *detail)
{
    pthread_mutex_lock(&core->turn_lock);
    if (core->turns.end == BULKHEAD__GUEST_STATE_KIND__GUEST_NONE) {
        core->turns.end = how;
        core->turns.end_host_failure = host_failure;
        snprintf(core->turns.end_detail, sizeof core->turns.end_detail, "%s", detail);
    }
    core->turns.turn = CORE_HOLD;
    for (unsigned i = 0; i < core->n_vcpus; i++)
        hv_vcpu_interrupt(hv_vcpu_at(core->hv, i), true);
    pthread_mutex_unlock(&core->turn_lock);
    fd_event_signal(core->wake_fd);
}

void core_guest_ended(struct core *core, Bulkhead__GuestStateKind how, const char *detail)
{
    end(core, how, false, detail);
}

void core_host_failed(struct core *core, const char *detail)
{
    end(core, BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR, true, detail);
}

static void on_power(void *arg, enum power_event event)
{
    if (event == POWER_OFF)
        core_guest_ended(arg, BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN, "ACPI S5");
    else
        core_guest_ended(arg, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT, "reset register");
}

static void on_pci_reset(void *arg)
{
    core_guest_ended(arg, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT, "reset through port 0xcf9");
}

static void on_keyboard_reset(void *arg)
{
    core_guest_ended(arg, BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT, "the 8042's reset line");
}

/* On the vCPU thread whose guest ejects; the slot had a device, or has one. */
static void on_eject(void *arg, unsigned slot)
{
    struct core *core = arg;

    if (virtio_plug_eject(&core->devices[slot]))
        hotplug_came(&core->hotplug, slot);
}

/* Empty sets, but for those that are pinned. */
static int take_affinity(struct core *core, const Bulkhead__CoreConfig *cfg)
{
    for (size_t i = 0; i < cfg->n_affinity; i++) {
        const Bulkhead__VcpuAffinity *a = cfg->affinity[i];

        if (a->vcpu >= cfg->vcpus || a->host_cpus.len > CPU_BITS_BYTES ||
            CPU_COUNT(&core->host_cpus[a->vcpu]) != 0)
            return err_origin(-EPROTO, "affinity is out of range");
        for (unsigned cpu = 0; cpu < CPU_BITS_MAX; cpu++)
            if (cpu_bits_has(&a->host_cpus, cpu))
                CPU_SET(cpu, &core->host_cpus[a->vcpu]);
        if (CPU_COUNT(&core->host_cpus[a->vcpu]) == 0)
            return err_origin(-EPROTO, "affinity without a CPU");
    }
    return 0;
}

static int check_configure(const Bulkhead__Configure *cfg, const int *fds, size_t n_fds)
{
    const Bulkhead__CoreConfig *core = cfg->core;
    int r;

    if (cfg->role_case != BULKHEAD__CONFIGURE__ROLE_CORE || core->vcpus == 0 ||
        core->vcpus > LAYOUT_MAX_VCPUS || cfg->ram_size < LAYOUT_RAM_MIN_BYTES)
        return err_origin(-EPROTO, "configure is out of range");
    if (regions_fds(cfg) != 1 || n_fds != (core->serial ? FDS_WITH_SERIAL : FD_SERIAL))
        return err_origin(-EPROTO, "configure with %zu descriptors", n_fds);
    r = fd_expect(fds[FD_RAM], FD_TYPE_MEMFD, "guest RAM");
    if (r == 0)
        r = fd_expect(fds[FD_DEVICE], FD_TYPE_CHAR, "KVM");
    if (r == 0)
        r = fd_expect(fds[FD_LIFE], FD_TYPE_PIPE, "life pipe");
    if (r == 0 && core->serial)
        r = fd_expect(fds[FD_SERIAL], FD_TYPE_MEMFD, "serial ring");
    if (r == 0 && core->serial)
        r = fd_expect(fds[FD_SERIAL_OUT], FD_TYPE_EVENTFD, "serial eventfd to the worker");
    if (r == 0 && core->serial)
        r = fd_expect(fds[FD_SERIAL_IN], FD_TYPE_EVENTFD, "serial eventfd to the guest");
    return r < 0 ? err_trace(r) : 0;
}

static int setup_serial(struct core *core, bool present, int *fds)
{
    struct serial_shared *shared;

    core->serial_in_fd = core->serial_out_fd = -1;
    if (!present) {
        serial_init(&core->serial, core->hv, NULL, -1);
        return 0;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fds[FD_SERIAL], 0);
    if (shared == MAP_FAILED)
        return err_origin(-errno, "mapping the serial ring");
    core->serial_out_fd = fd_take(&fds[FD_SERIAL_OUT]);
    core->serial_in_fd = fd_take(&fds[FD_SERIAL_IN]);
    serial_init(&core->serial, core->hv, shared, core->serial_out_fd);
    return 0;
}

/* window64: where that of 64-bit BARs begins. */
static int setup_buses(struct core *core, uint64_t window64)
{
    int r;

    pci_host_init(&core->pci, window64, on_pci_reset, core);
    power_init(&core->power, on_power, core);
    ged_init(&core->ged, core->hv);
    hotplug_init(&core->hotplug, &core->ged, on_eject, core);
    keyboard_init(&core->keyboard, core->hv, on_keyboard_reset, core);
    rtc_init(&core->rtc);
    r = pci_host_add_to(&core->pci, &core->pio, &core->mmio);
    if (r == 0)
        r = serial_add_to(&core->serial, &core->pio);
    if (r == 0)
        r = power_add_to(&core->power, &core->pio);
    if (r == 0)
        r = ged_add_to(&core->ged, &core->pio);
    if (r == 0)
        r = hotplug_add_to(&core->hotplug, &core->pio);
    if (r == 0)
        r = keyboard_add_to(&core->keyboard, &core->pio);
    if (r == 0)
        r = rtc_add_to(&core->rtc, &core->pio);
    return r < 0 ? err_trace(r) : 0;
}

int core_configure(struct core *core, const Bulkhead__Configure *cfg, int *fds, size_t n_fds)
{
    int r = check_configure(cfg, fds, n_fds);

    if (r < 0)
        return err_trace(r);
    r = take_affinity(core, cfg->core);
    if (r < 0)
        return err_trace(r);
    core->n_vcpus = cfg->core->vcpus;
    core->insecure = cfg->insecure;
    core->pid = getpid();
    pthread_mutex_init(&core->turn_lock, NULL);
    pthread_cond_init(&core->turn_changed, NULL);
    core->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (core->wake_fd < 0)
        return err_origin(-errno, "eventfd");
    r = regions_map(&core->mem, cfg, fds + FD_RAM);
    if (r == 0) {
        /* Here alone: it is the guest that touches nearly every page first, through this mapping. */
        gmem_advise_huge(&core->mem, cfg->core->thp);
        r = hv_new(&core->hv, fds[FD_DEVICE], core->n_vcpus, cfg->core->nested, &core->mem);
    }
    if (r == 0)
        r = setup_serial(core, cfg->core->serial, fds);
    if (r == 0)
        r = setup_buses(core, layout_mmio64_base(cfg->ram_size));
    if (r < 0)
        return err_trace(r);
    core->life_fd = fd_take(&fds[FD_LIFE]);
    return 0;
}

/* The first device in a slot brings its function, which stays. */
static int prepare_slot(struct core *core, unsigned slot)
{
    struct virtio_pci *dev = &core->devices[slot];
    int r;

    if (dev->hv)
        return 0;
    virtio_pci_init(dev, core->hv, slot, core->wake_fd);
    r = pci_host_plug(&core->pci, (struct pci_address){ .device = (uint8_t)slot }, &dev->fn);
    return r < 0 ? err_trace(r) : 0;
}

int core_attach(struct core *core, const Bulkhead__AttachDevice *attach, int *fds)
{
    const Bulkhead__Announce *announce = attach->announce;
    unsigned slot = attach->slot, n = announce->num_queues;
    struct virtio_plug_config config = {
        .virtio_id = announce->virtio_id,
        .features = announce->features,
        .n_queues = n,
        .queue_size = (uint16_t)announce->queue_size,
        .config = announce->config.data,
        .config_len = (unsigned)announce->config.len,
        .first_gsi = LAYOUT_GSI_MSI_BASE + (slot - 1) * LAYOUT_MAX_QUEUES,
        .kick_fds = fds,
        .call_fds = fds + n,
    };
    int r = prepare_slot(core, slot);

    if (r == 0)
        r = virtio_plug_in(&core->devices[slot], &config);
    if (r < 0)
        return err_trace(r);
    for (unsigned i = 0; i < 2 * n; i++)
        (void)fd_take(&fds[i]); /* the device's */
    core->attached[slot] = true;
    if (r != VIRTIO_PLUG_WAITS && core->control.state != CHILD_READY)
        hotplug_came(&core->hotplug, slot);
    return 0;
}

void core_detach(struct core *core, unsigned slot, bool force)
{
    struct virtio_pci *dev = &core->devices[slot];

    if (!core->attached[slot])
        return;
    if (force ? virtio_plug_out(dev) : virtio_plug_ask(dev))
        hotplug_goes(&core->hotplug, slot);
}
