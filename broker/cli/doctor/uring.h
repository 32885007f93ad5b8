/* SPDX-License-Identifier: Apache-2.0 */
/* uring.h - doctor's checks: io_uring. */
#pragma once

#include "doctor/result.h"

void doctor_io_uring(struct doctor_result *result);
