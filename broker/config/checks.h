/* SPDX-License-Identifier: Apache-2.0 */
/* checks.h - is what the user asked for possible at all? Looks at the configuration alone: no
 * file is opened, nothing is changed. What only the host can tell is found by devices/ and resources/. */
#pragma once

#include <stdint.h>
#include "client.pb-c.h"
#include "config/fault.h"

struct validate_host {
    uint64_t memory_bytes; /* of the host; 0: unknown, not checked */
    const ProtobufCBinaryData
        *cpus; /* that can be used (ipc/cpu_bits.h); NULL: unknown, not checked */
};

/* Its devices alone: for who opens one of them and knows nothing of the VM. */
int validate_devices(const Bulkhead__VmConfig *config, struct fault *ret_fault) must_check;
/* The configuration has been through config_fill(). 0, or -EINVAL with one line in *ret_fault. */
int validate_config(const Bulkhead__VmConfig *config, const struct validate_host *host,
                    struct fault *ret_fault) must_check;
