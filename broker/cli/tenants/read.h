/* SPDX-License-Identifier: Apache-2.0 */
/* read.h - tenants.yaml: who the tenants are, as people write it, as the HostConfig that the service reads. */
#pragma once

#include <jansson.h>
#include "host.pb-c.h"
#include "options/bag.h"
#include "options/keyvalue.h"
#include "vmconfig/lines.h"

/* name: of the file, for messages; lines: of its fields. What is in *ret_config lies in the bag. 0, or -1 with one line in *err that names the file,
 * the line and the field: one that isn't known (and the nearest one), of another type, out of range, or who isn't known to this host. */
int tenants_read(const char *name, const struct lines *lines, const json_t *root, struct bag *bag,
                 Bulkhead__HostConfig *ret_config, struct option_error *err) must_check;
