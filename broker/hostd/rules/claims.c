/* SPDX-License-Identifier: Apache-2.0 */
/* claims.c - see claims.h. */
#include "hostd/rules/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLAIMS = 256 };

static struct claim *find(const struct claims *claims, enum claim_kind kind, const char *name)
{
    for (size_t i = 0; i < claims->n; i++)
        if (claims->list[i].kind == kind && strcmp(claims->list[i].name, name) == 0)
            return &claims->list[i];
    return NULL;
}

/* The new one, or the one of that name. NULL: no memory, or too many. */
static struct claim *add(struct claims *claims, enum claim_kind kind, const char *name,
                         bool readonly)
{
    struct claim *c = find(claims, kind, name), *list;

    if (c)
        return c;
    if (claims->n == MAX_CLAIMS)
        return NULL;
    list = realloc(claims->list, (claims->n + 1) * sizeof *list);
    if (!list)
        return NULL;
    claims->list = list;
    c = &list[claims->n];
    *c = (struct claim){ .kind = kind, .readonly = readonly, .name = strdup(name) };
    if (!c->name)
        return NULL;
    claims->n++;
    return c;
}

static bool add_console(struct claims *claims, const Bulkhead__ConsoleConfig *c)
{
    if (!c || (c->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET &&
               c->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_FILE))
        return true;
    return add(claims,
               c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET ? CLAIM_SOCKET : CLAIM_FILE,
               c->path, false) != NULL;
}

int claims_of_config(const Bulkhead__VmConfig *c, struct claims *ret)
{
    struct claims claims = { 0 };
    bool ok = add_console(&claims, c->serial) && add_console(&claims, c->console);

    for (size_t i = 0; ok && i < c->n_disks; i++)
        ok = add(&claims, CLAIM_DISK, c->disks[i]->path, c->disks[i]->readonly) != NULL;
    for (size_t i = 0; ok && i < c->n_nets; i++)
        if (c->nets[i]->tap[0] != '\0')
            ok = add(&claims, CLAIM_TAP, c->nets[i]->tap, false) != NULL;
    if (ok && c->vsock && c->vsock->enabled)
        ok = add(&claims, CLAIM_SOCKET, c->vsock->socket, false) != NULL;
    if (!ok) {
        host_claims_clear(&claims);
        return -ENOMEM;
    }
    host_claims_clear(ret);
    *ret = claims;
    return 0;
}

/* Only files are told of with what they are; taps and sockets that were added are the kernel's to refuse. */
int claims_of_plan(const Bulkhead__VmPlan *plan, struct claims *claims)
{
    for (size_t i = 0; i < plan->n_processes; i++) {
        const Bulkhead__ProcessPlan *p = plan->processes[i];

        for (size_t j = 0; j < p->n_fds; j++) {
            const Bulkhead__FdPlan *fd = p->fds[j];
            bool console = p->role == BULKHEAD__ROLE__ROLE_CONSOLE;
            struct claim *c;
            size_t before;

            if (fd->ino == 0 || (!console && p->role != BULKHEAD__ROLE__ROLE_BLK))
                continue;
            before = claims->n;
            c = add(claims, console ? CLAIM_FILE : CLAIM_DISK, fd->what,
                    strstr(fd->why, "read-only") != NULL);
            if (!c)
                return -ENOMEM;
            c->told = c->told || claims->n > before;
            c->dev = fd->dev;
            c->ino = fd->ino;
        }
    }
    return 0;
}

static bool is_file(const struct claim *c)
{
    return c->kind == CLAIM_DISK || c->kind == CLAIM_FILE;
}

static bool collide(const struct claim *a, const struct claim *b, bool of_one_tenant)
{
    bool same = a->kind == CLAIM_TAP ? b->kind == CLAIM_TAP && strcmp(a->name, b->name) == 0
                                     : b->kind != CLAIM_TAP && strcmp(a->name, b->name) == 0;

    if (!of_one_tenant && (a->told || b->told))
        return false;
    if (of_one_tenant && is_file(a) && is_file(b) && a->ino != 0 && b->ino != 0)
        same = a->ino == b->ino && a->dev == b->dev; /* whatever their names are by now */
    return same && !(a->readonly && b->readonly);
}

static int say(const struct host_vm *other, const struct claim *c, const Bulkhead__Tenant *tenant,
               struct fault *f)
{
    const char *what = c->kind == CLAIM_TAP      ? "the interface"
                       : c->kind == CLAIM_DISK   ? "the disk"
                       : c->kind == CLAIM_SOCKET ? "the socket"
                                                 : "the file";
    bool seen = tenant && (tenant->host || strcmp(tenant->name, other->tenant) == 0);

    fault_host(f, EBUSY, "%s %s is in use by %s%s: stop that one first, or use another", what,
               c->name, seen ? "VM " : "another VM", seen ? other->name : "");
    f->bad_input = true;
    return -EBUSY;
}

int claims_check(const struct host *host, const struct host_vm *vm, const char *owner,
                 const struct claims *claims, const Bulkhead__Tenant *asker, struct fault *f)
{
    for (unsigned i = 0; i < host->n_vms; i++) {
        const struct host_vm *other = host->vms[i];
        bool of_one_tenant = strcmp(other->tenant, owner) == 0;

        if (other == vm || !host_vm_is_up(other))
            continue;
        for (size_t a = 0; a < claims->n; a++)
            for (size_t b = 0; b < other->claims.n; b++)
                if (collide(&claims->list[a], &other->claims.list[b], of_one_tenant))
                    return say(other, &claims->list[a], asker, f);
    }
    return 0;
}
