/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - a device as Cloud Hypervisor's clients describe it (DiskConfig, NetConfig, VsockConfig), as a VmConfig that holds
 * it and nothing else. */
#pragma once

#include <jansson.h>
#include "options/keyvalue.h"
#include "options/vm_options.h"

/* section: as VmConfig has it: "disks". n_fds: descriptors that came with it, which are a network's taps. dir: where
 * relative paths begin. o->taps says who opens it. *unknown: names of fields that were left out; "" at first. 0, or -1 with one line in *err. */
int device_parse(const char *section, json_t *json, size_t n_fds, const char *dir,
                 struct vm_options *o, char **unknown, struct option_error *err) must_check;
