/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - memory that processes share: guest RAM, rings, eventfds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"

/* Is the caller's limit of file sizes large enough for a file of that many bytes? What writes a byte
 * more is killed by SIGXFSZ. */
int resources_check_size(const char *what, uint64_t bytes, struct fault *ret_fault) must_check;
/* Anonymous memory of a fixed size: sealed against shrinking, growing and further seals. */
int resources_memfd(const char *name, uint64_t size_bytes, bool hugepages, int *ret_fd) must_check;
int resources_ram(const Bulkhead__MemoryConfig *memory, int *ret_fd,
                  struct fault *ret_fault) must_check;
int resources_eventfd(int *ret_fd) must_check;
uint64_t resources_host_memory(void);
