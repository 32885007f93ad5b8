/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci.h - a virtio 1.2 PCI function (section 4.1, modern only) in front of a worker.
 *
 * The core answers all register accesses from its own copy of what the worker announced; the
 * worker sees the driver only through Activate, Reset and ConfigUpdate. vCPU threads change the
 * state here and signal wake_fd; the control thread takes what is due with virtio_pci_take() and
 * sends it. Taking commits: what was taken is sent, so the two never disagree about the worker.
 *
 * Accesses of a driver that keeps to the rules of section 4.1.3.1 work; all others are harmless:
 * a read of any size at any offset returns the bytes of the registers there, a write that is not
 * one whole register (or one half of a 64-bit one) is ignored.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "kvm/hv.h"
#include "pci/msix.h"
#include "pci/pci.h"

enum { /* BAR0 */
       VIRTIO_BAR_COMMON = 0x0000,
       VIRTIO_BAR_ISR = 0x1000,
       VIRTIO_BAR_DEVICE = 0x2000,
       VIRTIO_BAR_NOTIFY = 0x3000, /* + 4 * queue */
       VIRTIO_BAR_MSIX_TABLE = 0x4000,
       VIRTIO_BAR_MSIX_PBA = 0x7000,
       VIRTIO_BAR_BYTES = 0x8000,
       VIRTIO_NOTIFY_STRIDE = 4,
};

enum { /* device status, virtio 1.2 section 2.1 */
       VIRTIO_STATUS_ACKNOWLEDGE = 1,
       VIRTIO_STATUS_DRIVER = 2,
       VIRTIO_STATUS_DRIVER_OK = 4,
       VIRTIO_STATUS_FEATURES_OK = 8,
       VIRTIO_STATUS_NEEDS_RESET = 64,
       VIRTIO_STATUS_FAILED = 128,
};
#define VIRTIO_FEATURE_VERSION_1 (UINT64_C(1) << 32)
/* Features whose PCI side exists here: all device types' own, and of the reserved ones
 * INDIRECT_DESC, EVENT_IDX, VERSION_1, ACCESS_PLATFORM, IN_ORDER, ORDER_PLATFORM. */
#define VIRTIO_FEATURES_POSSIBLE                                                                   \
    (UINT64_C(0xffffff) | UINT64_C(0x3) << 28 | UINT64_C(0x1b) << 32 | UINT64_C(0x3fff) << 50)

enum { VIRTIO_CONFIG_MAX = 256 };

enum virtio_backend {
    VIRTIO_IDLE,         /* the worker has no queues */
    VIRTIO_ACTIVATE_DUE, /* DRIVER_OK was set */
    VIRTIO_ACTIVE,       /* Activate was taken */
    VIRTIO_RESET_DUE,    /* the driver wrote 0, the worker may still touch the rings */
    VIRTIO_RESETTING,    /* Reset was taken */
};

struct virtio_queue {
    uint64_t desc, avail, used;
    uint16_t size, vector;
    bool enabled;
    bool irq_attached;
    bool pending; /* the worker called while the vector was masked */
    bool routed;
    int kick_fd, call_fd;
    unsigned gsi;
    uint32_t route_data;
    uint64_t route_addr;
    uint64_t notify_at; /* where KVM watches for the guest's kick, 0: nowhere */
};

struct virtio_pci {
    struct pci_function fn;
    pthread_mutex_t lock;
    struct hv *hv;
    int wake_fd;
    unsigned slot;
    uint32_t virtio_id;
    uint64_t offered, accepted; /* features; accepted: as the driver wrote them */
    uint32_t device_select, driver_select;
    uint16_t config_vector, queue_select;
    uint8_t status, generation, isr;
    bool config_pending; /* configuration interrupt while its vector was masked */
    bool config_early;   /* it changed before DRIVER_OK, when it may not interrupt */
    enum virtio_backend backend;
    unsigned n_queues;
    uint16_t queue_max;
    unsigned config_len;
    uint8_t config[VIRTIO_CONFIG_MAX];
    uint64_t config_dirty[VIRTIO_CONFIG_MAX / 64]; /* bytes the driver wrote, not yet sent */
    struct msix msix;
    struct virtio_queue queues[LAYOUT_MAX_QUEUES];
};

struct virtio_pci_config {
    unsigned slot;
    uint32_t virtio_id;
    uint64_t features;
    unsigned n_queues;
    uint16_t queue_size;
    const uint8_t *config;
    unsigned config_len;
    unsigned first_gsi; /* n_queues of them */
    const int *kick_fds, *call_fds;
    int wake_fd;
};

/* Before the guest runs. The descriptors stay open as long as dev lives. -EINVAL on a value out
 * of its range. */
int virtio_pci_init(struct virtio_pci *dev, struct hv *hv,
                    const struct virtio_pci_config *config) must_check;

/* ---- the control thread's side ---- */

enum virtio_due { VIRTIO_DUE_NOTHING, VIRTIO_DUE_ACTIVATE, VIRTIO_DUE_RESET, VIRTIO_DUE_CONFIG };

struct virtio_due_item {
    enum virtio_due what;
    uint64_t features; /* Activate */
    unsigned n_queues;
    struct {
        unsigned index, size;
        uint64_t desc, avail, used;
    } queues[LAYOUT_MAX_QUEUES];
    unsigned config_off, config_len; /* ConfigUpdate, at most 64 bytes */
    uint8_t config[64];
};

/* Takes the next thing that the broker must be told; false when there is none. At most one
 * Activate and one Reset are on their way per device, and a configuration byte is sent once
 * however often the guest wrote it in between. */
bool virtio_pci_take(struct virtio_pci *dev, struct virtio_due_item *ret_item);
/* The worker no longer touches the rings: the driver may see status 0. */
void virtio_pci_reset_done(struct virtio_pci *dev);
void virtio_pci_needs_reset(struct virtio_pci *dev);
/* The device changed its configuration; false when the range is not in it. */
bool virtio_pci_config_changed(struct virtio_pci *dev, unsigned off, const void *data,
                               unsigned len);

/* ---- between the files of the function; dev->lock is held ---- */

uint64_t virtio_common_read(struct virtio_pci *dev, uint64_t off, unsigned size);
void virtio_common_write(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value);
void virtio_common_reset(struct virtio_pci *dev);
uint64_t virtio_bar_read(struct virtio_pci *dev, uint64_t off, unsigned size);
void virtio_bar_write(struct virtio_pci *dev, uint64_t off, unsigned size, uint64_t value);

void virtio_pci_caps_init(struct virtio_pci *dev);
uint64_t virtio_pci_caps_read(struct virtio_pci *dev, unsigned off, unsigned size);
void virtio_pci_caps_write(struct virtio_pci *dev, unsigned off, unsigned size, uint64_t value);

void virtio_irq_sync(struct virtio_pci *dev); /* after any change of vectors or masks */
void virtio_irq_sync_queue(struct virtio_pci *dev, unsigned q);
void virtio_irq_config(struct virtio_pci *dev);          /* raise the configuration interrupt */
void virtio_irq_forget(struct virtio_pci *dev);          /* on reset: nothing is pending */
void virtio_irq_collect_pending(struct virtio_pci *dev); /* before the PBA is read */
void virtio_notify_sync(struct virtio_pci *dev);         /* after the BAR moved */
