/* SPDX-License-Identifier: Apache-2.0 */
/* temp_dir.h - a folder of a test's own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Makes a folder NAME.XXXXXX in $TMPDIR, or in /tmp where there is no such variable or `size` bytes can't hold its
 * path. Fills `path`; the caller removes the folder. Returns false if it can't be made (errno). */
bool temp_dir(char *path, size_t size, const char *name);
