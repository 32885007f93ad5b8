/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - how a fleet stands. */
#pragma once

#include "fleet/fleet.h"

/* An exit status. */
int report_status(struct fleet *fleet, bool json);
