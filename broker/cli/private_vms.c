// SPDX-License-Identifier: Apache-2.0
// private_vms.c - see private_vms.h.
#include "private_vms.h"
#include <stdio.h>
#include <sys/stat.h>
#include "client.h"
#include "client/rundir.h"

enum { PATIENCE_MS = 2000 };

/* Its socket is made at its start, and outlives its broker; in ns since 1970, 0: unknown. */
static uint64_t started_ns(const char *vm)
{
    char dir[RUNDIR_PATH_BYTES], path[RUNDIR_PATH_BYTES + sizeof RUNDIR_SOCKET];
    struct stat st;

    if (rundir_path(dir, sizeof(dir), vm) < 0)
        return 0;
    snprintf(path, sizeof(path), "%s/" RUNDIR_SOCKET, dir);
    if (stat(path, &st) < 0)
        return 0;
    return (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
}

static json_int_t count(const Bulkhead__ProcessList *list, Bulkhead__Role role)
{
    json_int_t n = 0;

    for (size_t i = 0; i < list->n_processes; i++)
        n += list->processes[i]->role == role;
    return n;
}

static void take(json_t *object, const Bulkhead__ProcessList *list)
{
    json_object_update_new(object, json_pack("{s:s,s:I,s:I,s:I}", "state", list->state, "memory",
                                             (json_int_t)list->ram_size, "disks",
                                             count(list, BULKHEAD__ROLE__ROLE_BLK), "nets",
                                             count(list, BULKHEAD__ROLE__ROLE_NET)));
}

json_t *private_vm_json(const char *vm)
{
    Bulkhead__ListProcesses msg = BULKHEAD__LIST_PROCESSES__INIT;
    uint64_t started = started_ns(vm);
    struct client client = { 0 };
    struct client_answer answer;
    json_t *object = json_pack("{s:s,s:n,s:s,s:b,s:{},s:n,s:n,s:n,s:n,s:n,s:o,s:n,s:n,s:i,s:b}",
                               "name", vm, "tenant", "state", "unknown", "private", 1, "labels",
                               "vcpus", "memory", "disks", "nets", "created_ns", "started_ns",
                               started ? json_integer((json_int_t)started) : json_null(),
                               "ended_ns", "ended", "starts", 1, "autostart", 0);

    CLIENT_ENVELOPE(request, LIST_PROCESSES, list_processes, &msg);
    if (client_connect(&client, vm) == 0 && client_send(&client, &request, NULL, 0) == 0 &&
        client_receive(&client, PATIENCE_MS, &answer) == 0 &&
        answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST)
        take(object, answer.envelope->process_list);
    client_close(&client);
    return object;
}
