/* SPDX-License-Identifier: Apache-2.0 */
/* notes.h - a tenant's word for a passt more in his VM (spawner/note.h), written down for him: the run directory, where the VM's
 * spawner looks for it, is the service's. */
#pragma once

#include <stddef.h>
#include "hostd/starter/state.h"

enum { NOTES_MS = 30000 };

/* A stream; the note counts until its other end is closed, which is in a process that keeps the note, or for NOTES_MS. Or with an
 * origin -EPERM: the tenant may have no user network, or is the host's own; -ENOENT: the VM doesn't run; -EBUSY, -EINVAL. */
int notes_write(struct starter *s, const char *tenant, const char *vm, const void *bytes,
                size_t len) must_check;
