/* SPDX-License-Identifier: Apache-2.0 */
/* vcpus.h - the threads of a core that run vCPUs, and on which of the host's CPUs each may run, as /proc says. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

/* [{"vcpu": 0, "tid": 7, "host_cpus": [0, 1]}], a new reference; empty if they can't be seen. */
json_t *vcpus_json(pid_t core);
