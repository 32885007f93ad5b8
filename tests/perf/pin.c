/* SPDX-License-Identifier: Apache-2.0 */
/* pin.c - see pin.h. */
#include "pin.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../worker/harness.h"

void pin(pid_t tid, int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (sched_setaffinity(tid, sizeof set, &set) < 0)
        wh_die("pinning %d to CPU %d: %s", tid, cpu, strerror(errno));
}

void pin_threads(pid_t pid, int cpu)
{
    char path[64];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    dir = opendir(path);
    if (!dir)
        wh_die("%s: %s", path, strerror(errno));
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            pin(atoi(entry->d_name), cpu);
    closedir(dir);
}
