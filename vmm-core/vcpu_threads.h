/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu_threads.h - the vCPU threads: run the guest, answer its port and memory accesses, stand still
 * when they are told to. All but the first two calls may come from any thread.
 */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "core.h"

/* What the threads' stacks will take in all, in bytes. */
uint64_t core_stack_bytes(const struct core *core);
/* Makes the threads; returns when each is in its sandbox and waits. A negative errno with an origin:
 * the process must exit. */
int core_start_threads(struct core *core) must_check;
void core_resume(struct core *core);
/* Threads leave the guest soon. wake_fd is signalled when the last one has, or at once when all stand
 * still already: once for each call. */
void core_hold(struct core *core);
/* Signals all threads, so that what core_guest_ended() asked for takes effect now. */
void core_kick(struct core *core);
