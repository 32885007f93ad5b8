// SPDX-License-Identifier: Apache-2.0
// check.c - see check.h.
#include "tenants/check.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/fd.h"
#include "client/hostdir.h"
#include "sandbox/ids.h"

enum { MAX_TENANTS = 256, MAX_TREES = 32, MAX_IDS = 4096, MAX_BYTES = 1 << 20, TREE_BYTES = 4096 };

static int check_name(const char *file, const Bulkhead__Tenant *t, struct option_error *err)
{
    size_t len = strspn(t->name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

    if (t->name[len] == '\0' && len < HOSTDIR_TENANT_BYTES && !strchr("._-", t->name[0]))
        return 0;
    return option_fail(
        err,
        "%s: '%.60s' is no tenant's name: 1 to %d small letters, digits, '.', '_' or "
        "'-', the first a letter or digit",
        file, t->name, HOSTDIR_TENANT_BYTES - 1);
}

static int check_range(const char *file, const Bulkhead__Tenant *t, struct option_error *err)
{
    const uint64_t first = t->uid_first, count = t->uid_count, pool = SANDBOX_UID_FIRST;

    if (first == 0 && count == 0)
        return 0;
    if (first >= pool && count > 0 && first + count <= pool + SANDBOX_UID_COUNT &&
        first % SANDBOX_UIDS_PER_VM == 0 && count % SANDBOX_UIDS_PER_VM == 0)
        return 0;
    return option_fail(err,
                       "%s: tenant %s: uid_range: first and count are to be multiples of %d, and "
                       "within %llu to %llu",
                       file, t->name, SANDBOX_UIDS_PER_VM, (unsigned long long)pool,
                       (unsigned long long)pool + SANDBOX_UID_COUNT - 1);
}

/* As the service will open it. */
static int open_tree(const char *path)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

static int check_tree(const char *file, const Bulkhead__Tenant *t, const char *tree,
                      struct option_error *err)
{
    size_t len = strlen(tree);
    cleanup_(fd_closep) int fd = -1;

    if (tree[0] != '/' || len >= TREE_BYTES)
        return option_fail(err, "%s: tenant %s: the tree '%.100s' is no absolute path", file,
                           t->name, tree);
    if (strstr(tree, "/../") || (len >= 3 && strcmp(tree + len - 3, "/..") == 0))
        return option_fail(err,
                           "%s: tenant %s: the tree %.100s has '..' in it: write where it leads",
                           file, t->name, tree);
    fd = open_tree(tree);
    if (fd == -ELOOP)
        return option_fail(err,
                           "%s: tenant %s: a symbolic link is on the way to the tree %.100s: write "
                           "where it leads",
                           file, t->name, tree);
    if (fd < 0 && fd != -EACCES) /* who only checks may see less than the service */
        return option_fail(err, "%s: tenant %s: the tree %.100s: %s", file, t->name, tree,
                           strerror(-fd));
    return 0;
}

static int check_tenant(const char *file, const Bulkhead__Tenant *t, uint32_t service_uid,
                        struct option_error *err)
{
    if (check_name(file, t, err) < 0)
        return -1;
    if (service_uid != 0 && t->uid != service_uid)
        return option_fail(err,
                           "%s: tenant %s: run_as: user %u's own service has no other rights than "
                           "that user's",
                           file, t->name, service_uid);
    if (t->uid == 0 && !t->host)
        return option_fail(err,
                           "%s: tenant %s: run_as: root's rights are for a tenant with host: true "
                           "alone",
                           file, t->name);
    if (t->n_uids == 0 && t->n_gids == 0)
        return option_fail(err,
                           "%s: tenant %s: users or groups are missing: nobody could speak for it",
                           file, t->name);
    if (t->n_trees == 0)
        return option_fail(
            err, "%s: tenant %s: trees are missing: no kernel and no disk could be opened", file,
            t->name);
    if (t->n_trees > MAX_TREES)
        return option_fail(err, "%s: tenant %s: %zu trees: at most %d", file, t->name, t->n_trees,
                           MAX_TREES);
    for (size_t i = 0; i < t->n_trees; i++)
        if (check_tree(file, t, t->trees[i], err) < 0)
            return -1;
    return check_range(file, t, err);
}

/* ---- of two ---- */

static bool in_range(const Bulkhead__Tenant *t, uint32_t id)
{
    return t->uid_count > 0 && id >= t->uid_first && id - t->uid_first < t->uid_count;
}

/* One that both have, in *ret_id. */
static bool share_id(const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, uint32_t *ret_id)
{
    for (size_t i = 0; i < n_a; i++)
        for (size_t j = 0; j < n_b; j++)
            if (a[i] == b[j]) {
                *ret_id = a[i];
                return true;
            }
    return false;
}

static int check_two(const char *file, const Bulkhead__Tenant *a, const Bulkhead__Tenant *b,
                     struct option_error *err)
{
    uint32_t id;

    if (strcmp(a->name, b->name) == 0)
        return option_fail(err, "%s: tenant %s is there twice", file, a->name);
    if (share_id(a->uids, a->n_uids, b->uids, b->n_uids, &id))
        return option_fail(err,
                           "%s: user %u speaks for two tenants, %s and %s: which one is meant?",
                           file, id, a->name, b->name);
    if (share_id(a->gids, a->n_gids, b->gids, b->n_gids, &id))
        return option_fail(err,
                           "%s: group %u speaks for two tenants, %s and %s: which one is meant?",
                           file, id, a->name, b->name);
    if (a->uid_count > 0 && b->uid_count > 0 &&
        (in_range(a, b->uid_first) || in_range(b, a->uid_first)))
        return option_fail(err, "%s: the uid ranges of tenants %s and %s overlap", file, a->name,
                           b->name);
    return 0;
}

/* A person's uid among those of a tenant's processes. */
static int check_people(const char *file, const Bulkhead__Tenant *range, const Bulkhead__Tenant *t,
                        struct option_error *err)
{
    for (size_t i = 0; i <= t->n_uids; i++) {
        uint32_t uid = i < t->n_uids ? t->uids[i] : t->uid;

        if (in_range(range, uid))
            return option_fail(err, "%s: user %u of tenant %s lies in the uid range of tenant %s",
                               file, uid, t->name, range->name);
    }
    return 0;
}

static int check_twice(const char *file, const char *what, const Bulkhead__Tenant *t,
                       const uint32_t *ids, size_t n, struct option_error *err)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (ids[i] == ids[j])
                return option_fail(err, "%s: tenant %s: %s %u is given twice", file, t->name, what,
                                   ids[i]);
    return 0;
}

int tenants_check(const char *file, const Bulkhead__HostConfig *config, uint32_t service_uid,
                  struct option_error *err)
{
    bool has_host = false;
    size_t n_ids = 0;

    if (config->n_tenants > MAX_TENANTS)
        return option_fail(err, "%s: %zu tenants: at most %d", file, config->n_tenants,
                           MAX_TENANTS);
    for (size_t i = 0; i < config->n_tenants; i++) {
        const Bulkhead__Tenant *t = config->tenants[i];

        n_ids += t->n_uids + t->n_gids;
        if (n_ids > MAX_IDS)
            return option_fail(err, "%s: more than %d users and groups in all: use groups", file,
                               MAX_IDS);
        if (check_tenant(file, t, service_uid, err) < 0 ||
            check_twice(file, "user", t, t->uids, t->n_uids, err) < 0 ||
            check_twice(file, "group", t, t->gids, t->n_gids, err) < 0)
            return -1;
        has_host |= t->host;
    }
    for (size_t i = 0; i < config->n_tenants; i++)
        for (size_t j = 0; j < config->n_tenants; j++)
            if ((j < i && check_two(file, config->tenants[j], config->tenants[i], err) < 0) ||
                check_people(file, config->tenants[i], config->tenants[j], err) < 0)
                return -1;
    if (!has_host)
        return option_fail(err,
                           "%s: no tenant has host: true: nobody could apply another file, or see "
                           "all VMs",
                           file);
    if (bulkhead__host_config__get_packed_size(config) > MAX_BYTES)
        return option_fail(err, "%s: longer than %d bytes when packed", file, MAX_BYTES);
    return 0;
}
