/* SPDX-License-Identifier: Apache-2.0 */
/* ids.c - see ids.h. */
#include "sandbox/ids.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

uint32_t sandbox_uid(uint32_t range, unsigned slot)
{
    return (uint32_t)SANDBOX_UID_FIRST + range % SANDBOX_UID_RANGES * SANDBOX_UIDS_PER_VM +
           slot % SANDBOX_UIDS_PER_VM;
}

/* The raw calls: glibc's would wake threads that a clone of the spawner's doesn't have. */
int sandbox_ids_take(uint32_t uid, uint32_t gid, bool leave_groups)
{
    if (leave_groups && syscall(SYS_setgroups, 0, NULL) < 0)
        return -1;
    if (syscall(SYS_setresgid, gid, gid, gid) < 0)
        return -1;
    return (int)syscall(SYS_setresuid, uid, uid, uid);
}

/* Does one line of the map have them all? Without such a file there are no user namespaces, and
 * every id is there. */
static bool map_has(const char *path, uint32_t first, uint32_t count)
{
    unsigned long long inside, outside, n;
    FILE *f = fopen(path, "re");
    bool found = false;

    if (!f)
        return errno == ENOENT;
    while (!found && fscanf(f, "%llu %llu %llu", &inside, &outside, &n) == 3)
        found = inside <= first && first + (unsigned long long)count <= inside + n;
    fclose(f);
    return found;
}

bool sandbox_ids_mapped(uint32_t first, uint32_t count)
{
    return map_has("/proc/self/uid_map", first, count) &&
           map_has("/proc/self/gid_map", first, count);
}
