/* SPDX-License-Identifier: Apache-2.0 */
/* trim.h - memory that a process needs for its start alone. */
#pragma once

/* Unmaps the pages of the program's code and constants; what is still used comes back from the page
 * cache by faults. Call it when the start is over, before seccomp forbids it. Never fails. */
void trim_start_code(void);
