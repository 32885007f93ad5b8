/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - sets what a VM may take in all, or says why the host can't hold it to that. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"

struct groups;

/* A limit that was asked for and can't be had is an error. 0, or a negative errno with one line in *ret_fault. */
int limits_set(struct groups *groups, const Bulkhead__LimitsConfig *limits,
               struct fault *ret_fault) must_check;
