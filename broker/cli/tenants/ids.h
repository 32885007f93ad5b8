/* SPDX-License-Identifier: Apache-2.0 */
/* ids.h - users and groups by their names, as this host knows them. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"

enum { IDS_MAX_NAME = 64 };

/* 0; -ENOENT: there is none; -EINVAL: that is no name; another negative errno. ret_gid: the user's own group; may be
 * NULL. The name of a group may have its number in its place, as that of a user whose group isn't asked for. */
int ids_user(const char *name, uint32_t *ret_uid, uint32_t *ret_gid) must_check;
int ids_group(const char *name, uint32_t *ret_gid) must_check;
