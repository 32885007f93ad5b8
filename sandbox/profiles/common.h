/* SPDX-License-Identifier: Apache-2.0 */
/* common.h - rows that several programs share. */
#pragma once

#include "profile.h"

extern const struct profile_set profile_base;    /* exit, log, eventfds */
extern const struct profile_set profile_loop;    /* base/loop.c */
extern const struct profile_set profile_control; /* ipc/channel.c on descriptor 3 */
extern const struct profile_set profile_ram;     /* shm/gmem.c, after the sandbox is entered */
extern const struct profile_set profile_extra;   /* instrumented builds only, else empty */
