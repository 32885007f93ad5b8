/* SPDX-License-Identifier: Apache-2.0 */
/* trim.h - memory that a process needs for its start alone. */
#pragma once

/* Gives back the heap's free pages, and unmaps the program's code and constants, of which what is
 * still used comes back from the page cache by faults. Call it when the start is over, before
 * seccomp forbids it. Not for the core: a vCPU that leaves the guest is not to wait for pages of
 * its own program. Never fails. */
void trim_start_code(void);
