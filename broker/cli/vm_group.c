// SPDX-License-Identifier: Apache-2.0
// vm_group.c - see vm_group.h.
#include "vm_group.h"
#include <fcntl.h>
#include <string.h>
#include "base/fd.h"
#include "process_info.h"
#include "sandbox/cgroup.h"

/* "0::/system.slice/bulkhead-12-2/core": without groups of its own a core is in that of who started its VM. */
bool vm_group_is_cores(const char *text)
{
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::"), *vm = NULL;
    static const char prefix[] = "/bulkhead-", core[] = "/core";
    size_t n;

    for (const char *p = line; p && (p = strstr(p, prefix)) != NULL; p++)
        vm = p + strlen(prefix);
    if (!vm)
        return false;
    n = strspn(vm, "0123456789-");
    return n > 0 && strncmp(vm + n, core, strlen(core)) == 0 &&
           (vm[n + strlen(core)] == '\n' || vm[n + strlen(core)] == '\0');
}

int vm_group_open(pid_t core)
{
    cleanup_(fd_closep) int fd = -1;
    char text[4096];

    if (process_read_pid(core, "cgroup", text, sizeof(text)) <= 0 || !vm_group_is_cores(text) ||
        sandbox_cgroup_open(core, &fd) != 0)
        return -1;
    return openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
