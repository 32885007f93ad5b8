/* SPDX-License-Identifier: Apache-2.0 */
/* caps.h - capabilities (capabilities(7)). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

/* Keeps only those of `keep` (bits 1 << CAP_*) that it has; bounding and ambient sets and securebits
 * too. Of this thread. 0, or a negative errno with an origin. */
int caps_enter(uint64_t keep) must_check;
bool caps_none(void); /* of this thread */
