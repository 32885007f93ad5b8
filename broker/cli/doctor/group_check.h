/* SPDX-License-Identifier: Apache-2.0 */
/* group_check.h - doctor's check: control groups and their limits, tried as a VM has them. */
#pragma once

#include "doctor/result.h"

void doctor_cgroup(struct doctor_result *result);
