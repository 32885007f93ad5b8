// SPDX-License-Identifier: Apache-2.0
// vcpus.c - see vcpus.h.
#include "vcpus.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include "ipc/cpu_bits.h"
#include "process_info.h"

/* "0-1,3", as the kernel lists them. */
static json_t *cpus_json(const char *list)
{
    json_t *cpus = json_array();
    char *end;

    for (const char *p = list; *p >= '0' && *p <= '9'; p = *end == ',' ? end + 1 : end) {
        unsigned long first = strtoul(p, &end, 10), last = first;

        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (; first <= last && first < CPU_BITS_MAX; first++)
            json_array_append_new(cpus, json_integer((json_int_t)first));
    }
    return cpus;
}

json_t *vcpus_json(pid_t core)
{
    json_t *vcpus = json_array();
    struct dirent *entry;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)core);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)) != NULL) {
        char file[64], status[8192], name[32], list[CPU_BITS_TEXT_BYTES];
        int tid = atoi(entry->d_name);
        unsigned vcpu;

        snprintf(file, sizeof(file), "task/%d/status", tid);
        if (tid > 0 && process_read_pid(core, file, status, sizeof(status)) > 0 &&
            process_field(status, "Name", name, sizeof(name)) &&
            sscanf(name, "vcpu%u", &vcpu) == 1 &&
            process_field(status, "Cpus_allowed_list", list, sizeof(list)))
            json_array_append_new(vcpus, json_pack("{s:I,s:i,s:o}", "vcpu", (json_int_t)vcpu, "tid",
                                                   tid, "host_cpus", cpus_json(list)));
    }
    if (dir)
        closedir(dir);
    return vcpus;
}
