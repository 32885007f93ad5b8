/* SPDX-License-Identifier: Apache-2.0 */
/* cpus.h - the guest's processors: how many, and where each may run. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"

/* host_cpus: those that can be used; NULL: unknown, not checked. 0, or -EINVAL with one line in *ret_fault. */
int validate_cpus(const Bulkhead__CpusConfig *cpus, const ProtobufCBinaryData *host_cpus,
                  struct fault *ret_fault) must_check;
/* The same of what --limits has it run on, which is where its pinned vCPUs are. */
int validate_cpuset(const Bulkhead__LimitsConfig *limits, const Bulkhead__CpusConfig *cpus,
                    const ProtobufCBinaryData *host_cpus, struct fault *ret_fault) must_check;
