/* SPDX-License-Identifier: Apache-2.0 */
/* hostd_said.h - what a VM's broker may say, true or not. */
#pragma once

#include <stdint.h>
#include "client.pb-c.h"

/* pick(n): a choice below n. files: four. */
void hostd_say(unsigned (*pick)(unsigned n), const char *const *files,
               void (*said)(const Bulkhead__ClientEnvelope *said));
