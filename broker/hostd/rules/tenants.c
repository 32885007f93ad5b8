/* SPDX-License-Identifier: Apache-2.0 */
/* tenants.c - see tenants.h. */
#include "hostd/rules/tenants.h"

#include <string.h>
#include "hostd/rules/names.h"

static bool has(const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static int check_tenant(const Bulkhead__HostConfig *c, const Bulkhead__Tenant *t, struct fault *f)
{
    char shown[NAMES_SHOWN_BYTES];

    if (!hostdir_is_tenant(t->name))
        return fault_input(f,
                           "tenant name '%s' is not usable: 1 to 32 small letters, digits, '.', "
                           "'_' or '-', beginning with a letter or a digit",
                           names_show(t->name, shown));
    if (tenants_find(c, t->name) != t)
        return fault_input(f, "tenant %s is there twice: name each once", t->name);
    for (size_t i = 0; i < t->n_trees; i++)
        if (t->trees[i][0] != '/')
            return fault_input(f, "tenant %s: tree '%s' is not absolute: begin it with '/'",
                               t->name, names_show(t->trees[i], shown));
    for (size_t i = 0; i < c->n_tenants && c->tenants[i] != t; i++)
        for (size_t j = 0; j < t->n_uids; j++)
            if (has(c->tenants[i]->uids, c->tenants[i]->n_uids, t->uids[j]))
                return fault_input(f, "uid %u speaks for %s and for %s: name it once", t->uids[j],
                                   c->tenants[i]->name, t->name);
    return 0;
}

int tenants_check(const Bulkhead__HostConfig *c, struct fault *f)
{
    if (c->n_tenants > TENANTS_MAX_TENANTS)
        return fault_input(f, "%zu tenants are over the limit: %d at most", c->n_tenants,
                           TENANTS_MAX_TENANTS);
    for (size_t i = 0; i < c->n_tenants; i++)
        if (check_tenant(c, c->tenants[i], f) < 0)
            return -EINVAL;
    return 0;
}

const Bulkhead__Tenant *tenants_find(const Bulkhead__HostConfig *c, const char *name)
{
    for (size_t i = 0; c && i < c->n_tenants; i++)
        if (strcmp(c->tenants[i]->name, name) == 0)
            return c->tenants[i];
    return NULL;
}

const Bulkhead__Tenant *tenants_who(const Bulkhead__HostConfig *c, uint32_t uid,
                                    const uint32_t *gids, unsigned n_gids)
{
    for (size_t i = 0; c && i < c->n_tenants; i++)
        if (has(c->tenants[i]->uids, c->tenants[i]->n_uids, uid))
            return c->tenants[i];
    for (unsigned g = 0; g < n_gids; g++)
        for (size_t i = 0; c && i < c->n_tenants; i++)
            if (has(c->tenants[i]->gids, c->tenants[i]->n_gids, gids[g]))
                return c->tenants[i];
    return NULL;
}

uint32_t tenants_connections(const Bulkhead__Tenant *t)
{
    if (!t)
        return TENANTS_STRANGERS;
    return t->quota && t->quota->connections ? t->quota->connections : TENANTS_CONNECTIONS;
}

uint32_t tenants_requests_per_s(const Bulkhead__Tenant *t)
{
    if (!t)
        return TENANTS_STRANGERS_PER_S;
    return t->quota && t->quota->requests_per_s ? t->quota->requests_per_s : TENANTS_REQUESTS_PER_S;
}

bool tenants_may_hear(const Bulkhead__Tenant *t, const char *of)
{
    return t && (t->host || strcmp(t->name, of) == 0);
}

struct allowed tenants_allowed(const Bulkhead__Tenant *t)
{
    return (struct allowed){ .tenant = t->name,
                             .host = t->host,
                             .user_net = t->user_net,
                             .taps = t->taps,
                             .n_taps = t->n_taps,
                             .devices = t->quota ? t->quota->devices : 0 };
}

/* Neither "..", which may lead out of a tree, nor anything that another spelling of the same path would have. */
static bool is_plain(const char *path)
{
    for (const char *p = path; *p;) {
        size_t len;

        if (*p++ != '/')
            return false;
        len = strcspn(p, "/");
        if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += len;
    }
    return path[0] == '/';
}

bool tenants_allow_path(const Bulkhead__Tenant *t, const char *path)
{
    if (!is_plain(path))
        return false;
    for (size_t i = 0; i < t->n_trees; i++) {
        size_t len = strlen(t->trees[i]);

        while (len > 0 && t->trees[i][len - 1] == '/')
            len--;
        if (strncmp(path, t->trees[i], len) == 0 && path[len] == '/')
            return true;
    }
    return false;
}
