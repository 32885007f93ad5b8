/* SPDX-License-Identifier: Apache-2.0 */
/* blk.h - a disk's back end: its file or block device. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"
#include "resources/trees.h"

int resources_disk(const struct trees *trees, const Bulkhead__DiskConfig *disk,
                   struct backend *backend, struct fault *ret_fault) must_check;
