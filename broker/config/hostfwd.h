/* SPDX-License-Identifier: Apache-2.0 */
/* hostfwd.h - a port of the host that leads into a guest's user network. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "config/fault.h"

/* A parsed "tcp:127.0.0.1:2222-:22"; texts point into static or given storage. */
struct validate_hostfwd {
    bool udp;
    char address[48]; /* of the host; "": any */
    uint16_t host_port;
    uint16_t guest_port;
};
int validate_hostfwd(const char *text, struct validate_hostfwd *ret_forward,
                     struct fault *ret_fault) must_check;
