/* SPDX-License-Identifier: Apache-2.0 */
/* core.h - the core process: one VM, its vCPU threads, its registers, and the thread that talks to
 * the broker.
 *
 * All memory is one struct core and what hv_new() maps; after Start nothing is allocated and
 * nothing opened. vCPU threads answer the guest's register accesses under the lock of the device
 * concerned and never touch the control socket: what the broker must know is left in the device,
 * and wake_fd is signalled.
 */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "bus/bus.h"
#include "control.pb-c.h"
#include "ipc/channel.h"
#include "ipc/rules.h"
#include "kvm/vcpu.h"
#include "pci/pci.h"
#include "pci/virtio_pci.h"
#include "platform/ged.h"
#include "platform/hotplug.h"
#include "platform/keyboard.h"
#include "platform/power.h"
#include "platform/rtc.h"
#include "platform/serial.h"
#include "shm/gmem.h"
#include "shm/layout.h"

struct core;

/* What the vCPU threads have to do. */
enum core_turn { CORE_HOLD, CORE_RUN };

struct core_vcpu {
    struct core *core;
    unsigned index;
    pthread_t thread;
    pid_t tid; /* set by the thread before it says that it is there */
};

/* All under core->turn_lock. */
struct core_turns {
    enum core_turn turn;
    unsigned ready;               /* threads in their sandbox */
    unsigned parked;              /* threads that stand still */
    int failure;                  /* a thread could not enter its sandbox: negative errno */
    Bulkhead__GuestStateKind end; /* how the guest ended, GUEST_NONE while it lives */
    bool end_host_failure;
    char end_detail[160];
};

/* The thread that talks to the broker; nobody else reads or writes this. */
struct core_control {
    struct channel *channel;
    enum child_state state;
    int epoll_fd;
    bool broker_gone;
    bool want_write; /* EPOLLOUT is watched */
    bool pausing;
    bool end_told;
    bool kicked; /* the end has taken the vCPUs out of the guest */
    bool stop;
    uint32_t epoch;       /* of the last Resync */
    unsigned resync_slot; /* whose DeviceSnapshot is due; past the last one: Snapshot; 0: none is */
    bool out_held;        /* `out` was taken from out_slot and is not sent yet */
    unsigned out_slot;
    struct virtio_due_item out;
    Bulkhead__GuestStateKind state_due; /* GuestState to be sent */
    Bulkhead__GuestStateKind end_due;   /* told after state_due */
};

struct core {
    struct hv *hv;
    struct gmem mem;
    unsigned n_vcpus;
    bool insecure;
    pid_t pid;
    int wake_fd;      /* vCPU threads signal it, the control thread waits on it */
    int life_fd;      /* write end: the workers see its end when this process is gone */
    int serial_in_fd; /* -1: no serial port */
    int serial_out_fd;
    struct bus pio, mmio;
    struct pci_host pci;
    struct serial serial;
    struct power power;
    struct ged ged;
    struct hotplug hotplug;
    struct keyboard keyboard;
    struct rtc rtc;
    struct hv_entry entry;
    pthread_mutex_t turn_lock;
    pthread_cond_t turn_changed;
    struct core_turns turns;
    struct core_control control;
    struct core_vcpu vcpus[LAYOUT_MAX_VCPUS];
    cpu_set_t host_cpus[LAYOUT_MAX_VCPUS]; /* that a vCPU's thread is pinned to; none: to no CPU */
    bool attached[LAYOUT_PCI_SLOTS]; /* the control thread's: until DeviceGone is on its way */
    struct virtio_pci devices[LAYOUT_PCI_SLOTS];
};

/* Everything up to the threads; takes the descriptors it keeps out of fds. */
int core_configure(struct core *core, const Bulkhead__Configure *cfg, int *fds,
                   size_t n_fds) must_check;
/* On the control thread; after Start the guest hears of it. Takes the eventfds. */
int core_attach(struct core *core, const Bulkhead__AttachDevice *attach, int *fds) must_check;
/* On the control thread: asks the guest for the device, or takes it away. What follows from it comes
 * from virtio_pci_take(). An empty slot's is on its way already. */
void core_detach(struct core *core, unsigned slot, bool force);
/* Any thread; the first one counts. Takes all vCPUs out of the guest and wakes the control thread. */
void core_guest_ended(struct core *core, Bulkhead__GuestStateKind how, const char *detail);
/* The same for an end that is not the guest's doing. */
void core_host_failed(struct core *core, const char *detail);
