/* SPDX-License-Identifier: Apache-2.0 */
/* temp_dir.c - see temp_dir.h. */
#include "temp_dir.h"

#include <stdio.h>
#include <stdlib.h>

bool temp_dir(char *path, size_t size, const char *name)
{
    const char *tmp = getenv("TMPDIR");
    int n = tmp ? snprintf(path, size, "%s/%s.XXXXXX", tmp, name) : -1;

    if (n < 0 || (size_t)n >= size)
        snprintf(path, size, "/tmp/%s.XXXXXX", name);
    return mkdtemp(path) != NULL;
}
