/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.h - a vsock device's back end: its listening socket. */
#pragma once

#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"
#include "resources/trees.h"

int resources_vsock(const struct trees *trees, const Bulkhead__VsockConfig *vsock,
                    struct backend *backend, struct fault *ret_fault) must_check;
