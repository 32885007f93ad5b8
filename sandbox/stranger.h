/* SPDX-License-Identifier: Apache-2.0 */
/* stranger.h - a uid that nobody else has: neither a user, nor a VM's process (sandbox/ids.h), nor hostd. */
#pragma once

#include <stdint.h>

enum { STRANGER_UID_FIRST = 0x6f000000, STRANGER_UID_COUNT = 0x01000000 };

/* One of these at random; 0: this service has none to give. */
uint32_t stranger_uid(void);
