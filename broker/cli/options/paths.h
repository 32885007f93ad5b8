/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h - files by names that others understand, whose working directory is another. */
#pragma once

#include "options/vm_options.h"

/* Each path of the configuration, as seen from `dir`, an absolute path without a link in it; NULL: the caller's directory. */
void vm_paths_make_absolute(struct vm_options *o, const char *dir);
