/* SPDX-License-Identifier: Apache-2.0 */
/* starter_tries.h - what starter_test.c and starter_planted.c share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "starter_rig.h"

extern struct starter_rig *tries_rig;

/* Those operations (bits) on those names, with every channel. True: one was done. */
bool tries_any_of_passes(uint32_t operations, const char *tenant, const char *vm);

/* Of somebody who can write to the service's folders, and of a hostd that works with him. True: they got something. */
bool tries_links_in_place_of_folders(void);
bool tries_links_in_place_of_files(void);
bool tries_fifos_in_place_of_files(void);
bool tries_a_socket_of_another_user(void);
