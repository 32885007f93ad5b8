/* SPDX-License-Identifier: Apache-2.0 */
/* checks.h - doctor's checks: KVM, networking, memory, installation. */
#pragma once

#include "doctor/result.h"

void doctor_kvm(struct doctor_result *result); /* runs bulkhead-kvm-check */
void doctor_tun(struct doctor_result *result);
void doctor_passt(struct doctor_result *result);
void doctor_hugepages(struct doctor_result *result);
void doctor_programs(struct doctor_result *result);
void doctor_rundir(struct doctor_result *result);
