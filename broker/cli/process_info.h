/* SPDX-License-Identifier: Apache-2.0 */
/* process_info.h - what /proc says about one process. Every figure may be unreadable (another
 * user's, not dumpable): then `known` is false, which is no error. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"

struct process_memory {
    bool known;
    uint64_t own_pss;      /* bytes, without guest RAM */
    uint64_t guest_pss;    /* bytes of guest RAM, as this process's share */
    uint64_t guest_mapped; /* bytes of guest RAM that are mapped, touched or not */
    bool guest_writable, guest_executable;
    unsigned write_exec; /* mappings that are both writable and executable */
};

struct process_time {
    bool known;
    uint64_t ticks; /* user + system, in clock ticks */
    unsigned threads;
};

/* Sums /proc/PID/smaps. */
void process_memory(pid_t pid, struct process_memory *ret_memory);
void process_time(pid_t pid, struct process_time *ret_time);
/* Whether it holds a lock on that open file by one of its descriptors: 1, 0, or negative errno when unreadable. No file is
 * asked, so none can hold us up. */
int process_holds_lock(pid_t pid, int file) must_check;
/* Number of open descriptors, -1 when unreadable. */
int process_count_fds(pid_t pid);
/* Reads a small file of /proc/PID (or another) whole, with a terminator; length or negative errno.
 */
long process_read(const char *path, char *dst, size_t size) must_check;
long process_read_pid(pid_t pid, const char *file, char *dst, size_t size) must_check;
/* The value after "KEY:" in text, copied without surrounding blanks; false when there is none. */
bool process_field(const char *text, const char *key, char *dst, size_t size);
