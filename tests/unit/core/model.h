/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - what virtio 1.2 section 4.1.4.3 and our data sheet (virtio_pci.h) say of the common
 * configuration, as one table of registers: the reference that the real code is compared with.
 * Shares no code and no constant with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MODEL_QUEUES = 3, MODEL_BYTES = 0x3c };

struct model_queue {
    uint16_t size, vector, enable;
    uint64_t desc, driver, device;
};

struct model {
    uint64_t offered, driver_features;
    uint32_t dfs, gfs;
    uint16_t msix_config, queue_select;
    uint8_t status, generation;
    uint16_t queue_max, vectors;
    bool live; /* the worker has, or will get, the queues */
    bool told; /* the worker was told: a reset must wait for it */
    bool resetting;
    struct model_queue q[MODEL_QUEUES];
};

void model_reset(struct model *m);
uint8_t model_byte(const struct model *m, unsigned off);
void model_write(struct model *m, unsigned off, unsigned size, uint64_t value);
