/* SPDX-License-Identifier: Apache-2.0 */
/* keeping.h - what is kept of VMs comes and goes by processes of their own, which wait for the disk; and no more of it than the
 * service has room for, whatever hostd says. */
#pragma once

#include "hostd/starter/state.h"

/* May that VM have a folder? 0 if it has a description already; else -ENOENT: there is no such tenant, -EDQUOT: he has as many as he may,
 * or all have. */
int keeping_check(struct starter *s, const char *tenant, const char *vm) must_check;
/* All of it is being removed. */
bool keeping_removes(const struct starter *s, const char *tenant, const char *vm);
/* Its description is on the way to the disk, or all of it is being removed. */
bool keeping_is_busy(const struct starter *s, const char *tenant, const char *vm);
/* Each answers its request when it is done; -EAGAIN: too many at once. Removals wait for their turn. */
int keeping_save(struct starter *s, const struct starter_request *q, const void *bytes) must_check;
int keeping_remove(struct starter *s, const struct starter_request *q) must_check;
