/* SPDX-License-Identifier: Apache-2.0 */
/* validate.h - is what the user asked for possible at all? Looks at the configuration alone: no
 * file is opened, nothing is changed. What only the host can tell is found by resources_*.c. */
#pragma once

#include <stdint.h>
#include "client.pb-c.h"
#include "fault.h"

struct validate_host {
    uint64_t memory_bytes; /* of the host; 0: unknown, not checked */
};

/* The configuration has been through config_fill(). 0, or -EINVAL with one line in *ret_fault. */
int validate_config(const Bulkhead__VmConfig *config, const struct validate_host *host,
                    struct fault *ret_fault) must_check;

/* A parsed "tcp:127.0.0.1:2222-:22"; texts point into static or given storage. */
struct validate_hostfwd {
    bool udp;
    char address[48]; /* of the host; "": any */
    uint16_t host_port;
    uint16_t guest_port;
};
int validate_hostfwd(const char *text, struct validate_hostfwd *ret_forward,
                     struct fault *ret_fault) must_check;
