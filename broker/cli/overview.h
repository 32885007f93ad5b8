/* SPDX-License-Identifier: Apache-2.0 */
/* overview.h - all running VMs of the caller, a line each, refreshed in place. */
#pragma once

#include <stdbool.h>

/* An exit status. */
int overview(bool json);
