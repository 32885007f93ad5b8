// SPDX-License-Identifier: Apache-2.0
// vm_names.c - see vm_names.h.
#include "vm_names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "client/rundir.h"
#include "output.h"

struct gathering {
    struct vm_names *names;
    size_t n_private;
    char tenant[HOSTDIR_TENANT_BYTES]; /* the caller's */
};

static void add(struct vm_names *names, const char *tenant, const char *name)
{
    void *grown = reallocarray(names->names, names->n + 1, sizeof(*names->names));

    if (!grown)
        exit(say_error(EXIT_HOST, "out of memory"));
    names->names = grown;
    snprintf(names->names[names->n++], sizeof(*names->names), "%s%s%s", tenant,
             tenant[0] ? "/" : "", name);
}

/* A VM of `run` goes before one of the service's that has the same name. */
static bool is_taken(const struct gathering *g, const char *name)
{
    for (size_t i = 0; i < g->n_private; i++)
        if (strcmp(g->names->names[i], name) == 0)
            return true;
    return false;
}

static bool on_vm(void *arg, const Bulkhead__VmStatus *s)
{
    struct gathering *g = arg;
    bool own = strcmp(s->tenant, g->tenant) == 0 && !is_taken(g, s->name);
    char whole[HOST_NAME_BYTES];

    snprintf(whole, sizeof(whole), "%s/%s", s->tenant, s->name);
    if ((s->state == BULKHEAD__HOST_VM_STATE__HOST_VM_RUNNING ||
         s->state == BULKHEAD__HOST_VM_STATE__HOST_VM_PAUSED ||
         s->state == BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPING) &&
        host_is_name(whole))
        add(g->names, own ? "" : s->tenant, s->name);
    return true;
}

int vm_names_running(struct vm_names *ret_names)
{
    static char private[RUNDIR_MAX_VMS][RUNDIR_NAME_BYTES];
    struct gathering g = { .names = ret_names };
    struct host host = { 0 };
    int r;

    *ret_names = (struct vm_names){ 0 };
    g.n_private = rundir_list(private, RUNDIR_MAX_VMS);
    for (size_t i = 0; i < g.n_private; i++)
        add(ret_names, "", private[i]);
    r = host_connect(&host);
    if (r == 0)
        r = host_tenant(&host, g.tenant, sizeof(g.tenant));
    if (r == 0)
        r = host_each_vm(&host, NULL, 0, HOST_TIMEOUT_MS, on_vm, &g);
    host_close(&host);
    return host_is_none(r) ? 0 : r;
}

void vm_names_deinit(struct vm_names *names)
{
    free(names->names);
    *names = (struct vm_names){ 0 };
}
