/* SPDX-License-Identifier: Apache-2.0 */
/* main.h - the spawner's own side. */
#pragma once

#include "spawner/wire.h"

/* Does not return. */
_Noreturn void spawner_main(int fd, const struct spawner_terms *terms);
