/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_function.h - the state of one virtio 1.2 PCI function, which the files virtio_*.c share:
 * virtio_irq.c and virtio_common.c, above them virtio_bar.c, virtio_caps.c, virtio_plug.c and
 * virtio_pci.c. Each of their functions wants the function's lock held, but those of virtio_pci.h and,
 * where it says so, of virtio_plug.h, which take it. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "pci/msix.h"
#include "pci/pci_function.h"

struct hv;

enum { /* BAR0 */
       VIRTIO_BAR_COMMON = 0x0000,
       VIRTIO_BAR_STATUS = 0x0014, /* the common configuration's device_status, 8 bits */
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

/* What is in the slot. The guest sees a function only in VIRTIO_PRESENT. */
enum virtio_presence {
    VIRTIO_EMPTY,
    VIRTIO_PRESENT,
    VIRTIO_WAITING, /* for the guest's eject of the device that was there before */
    VIRTIO_LEAVING, /* the worker may still be on the rings */
};

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
    enum virtio_presence presence;
    bool remains; /* a device was taken away, and the guest has not ejected it yet */
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
    uint8_t config[VIRTIO_CONFIG_MAX];      /* as the driver reads it */
    uint8_t config_said[VIRTIO_CONFIG_MAX]; /* what the device last said */
    /* Bytes that the driver wrote: not sent yet; since the device's last reset. */
    uint64_t config_dirty[VIRTIO_CONFIG_MAX / 64], config_written[VIRTIO_CONFIG_MAX / 64];
    struct msix msix;
    struct virtio_queue queues[LAYOUT_MAX_QUEUES];
};
