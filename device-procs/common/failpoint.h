/* SPDX-License-Identifier: Apache-2.0 */
/* failpoint.h - named places at which a worker kills itself, for tests/fault. Compiled in only
 * with BH_FAILPOINTS; otherwise failpoint() is nothing.
 *
 * `bulkhead-dev-blk --failpoint after_used:20` dies the 20th time it comes past that place, by an
 * illegal instruction, which needs no syscall. A broker of such a build hands that over to every
 * worker of the devices that its environment names: BULKHEAD_FAILPOINTS="disk0=after_used:20 ...".
 * Places: after_fetch, before_used, after_used,
 * before_interrupt (every virtqueue), after_submit, after_completion (blk).
 */
#pragma once

#ifdef BH_FAILPOINTS
void failpoint_hit(const char *name);
/* "name:count"; 0 or -EINVAL. */
int failpoint_arm(const char *spec);
#define failpoint(name) failpoint_hit(name)
#else
#define failpoint(name) ((void)0)
#endif
