/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - what is kept of a VM: its description, which is stored and never looked at, and its logs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "hostd/starter/folders.h"

enum log_kind { LOG_GUEST, LOG_BROKER, LOG_KINDS };

/* In place of the one before, whole or not at all; on the disk when this returns, which may take long. 0, or a negative
 * errno. */
int files_save(const struct folders *folders, const char *tenant, const char *vm, const void *bytes,
               size_t len) must_check;
/* Its bytes, at most size; 0: it has none; or a negative errno with an origin. */
ssize_t files_load(const struct folders *folders, const char *tenant, const char *vm, void *dst,
                   size_t size) must_check;
bool files_is_kept(const struct folders *folders, const char *tenant, const char *vm);
/* [the log][the older one], for its writer; made if they aren't there. */
int files_open_log(int kept_fd, enum log_kind kind, int ret_fds[2]) must_check;
/* For a reader: [older][newer] or [newer]. Their number, or a negative errno with an origin. */
int files_read_log(const struct folders *folders, const char *tenant, const char *vm,
                   enum log_kind kind, int ret_fds[2]) must_check;
