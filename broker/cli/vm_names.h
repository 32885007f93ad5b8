/* SPDX-License-Identifier: Apache-2.0 */
/* vm_names.h - the running VMs of the caller, of `run` and of the host's service, as client_connect() knows them. */
#pragma once

#include <stddef.h>
#include "base/compiler.h"
#include "host_client.h"

struct vm_names {
    char (*names)[HOST_NAME_BYTES]; /* sorted; those of `run` first */
    size_t n;
};

/* The service may be away: those of `run` are there in any case. 0, or a negative errno of the service's connection. */
int vm_names_running(struct vm_names *ret_names) must_check;
void vm_names_deinit(struct vm_names *names);
