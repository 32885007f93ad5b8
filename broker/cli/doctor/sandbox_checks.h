/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_checks.h - doctor's checks: what the sandbox is made of. */
#pragma once

#include "doctor/result.h"

void doctor_userns(struct doctor_result *result);
void doctor_uids(struct doctor_result *result);
void doctor_seccomp(struct doctor_result *result);
void doctor_landlock(struct doctor_result *result);
void doctor_mdwe(struct doctor_result *result);
void doctor_memfd(struct doctor_result *result);
void doctor_pidfd(struct doctor_result *result);
void doctor_readback(struct doctor_result *result);
