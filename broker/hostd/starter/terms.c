/* SPDX-License-Identifier: Apache-2.0 */
/* terms.c - see terms.h. */
#include "hostd/starter/terms.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "client/hostdir.h"
#include "hostd/starter/folders.h"
#include "hostd/starter/wire.h"
#include "ipc/arena.h"
#include "sandbox/ids.h"

enum { ARENA_BYTES = 8 << 20, TREE_BYTES = 4096 };

/* ---- what it says ---- */

static int check_range(const Bulkhead__Tenant *t, struct fault *f)
{
    const uint32_t offset = t->uid_first - (uint32_t)SANDBOX_UID_FIRST;

    if (t->uid_first == 0 && t->uid_count == 0)
        return 0;
    if (t->uid_first < SANDBOX_UID_FIRST || offset >= SANDBOX_UID_COUNT || t->uid_count == 0 ||
        t->uid_count > SANDBOX_UID_COUNT - offset || t->uid_first % SANDBOX_UIDS_PER_VM != 0 ||
        t->uid_count % SANDBOX_UIDS_PER_VM != 0)
        return fault_input(f,
                           "tenant %s: its uids %u to %llu are not usable: both ends must be "
                           "multiples of %d, within %u to %llu",
                           t->name, t->uid_first, (unsigned long long)t->uid_first + t->uid_count,
                           SANDBOX_UIDS_PER_VM, SANDBOX_UID_FIRST,
                           (unsigned long long)SANDBOX_UID_FIRST + SANDBOX_UID_COUNT);
    return 0;
}

/* Its paths are walked later, by descriptors: here for their letters alone. */
static int check_trees(const Bulkhead__Tenant *t, struct fault *f)
{
    if (t->n_trees > TERMS_MAX_TREES)
        return fault_input(f, "tenant %s has %zu trees: at most %d", t->name, t->n_trees,
                           TERMS_MAX_TREES);
    for (size_t i = 0; i < t->n_trees; i++) {
        const char *tree = t->trees[i];
        size_t len = strlen(tree);

        if (tree[0] != '/' || len >= TREE_BYTES)
            return fault_input(f, "tenant %s: the tree '%.100s' must be an absolute path", t->name,
                               tree);
        if (strstr(tree, "/../") || (len >= 3 && strcmp(tree + len - 3, "/..") == 0))
            return fault_input(f, "tenant %s: the tree %.100s has '..' in it: write where it leads",
                               t->name, tree);
    }
    return 0;
}

static int check_tenant(const Bulkhead__Tenant *t, uint32_t uid, struct fault *f)
{
    int r;

    if (!hostdir_is_tenant(t->name))
        return fault_input(f,
                           "the tenant's name '%.40s' is not usable: 1 to %d small letters, "
                           "digits, '.', '_' and '-', the first a letter or digit",
                           t->name, HOSTDIR_TENANT_BYTES - 1);
    if (uid != 0 && t->uid != uid)
        return fault_input(f,
                           "tenant %s has the uid %u, and the service of user %u has no other "
                           "rights than that user's",
                           t->name, t->uid, uid);
    if (t->uid == 0 && !t->host)
        return fault_input(f,
                           "tenant %s has root's rights (uid 0): give it another uid, or let it "
                           "be the host's own",
                           t->name);
    if (t->uid == UINT32_MAX || t->gid == UINT32_MAX)
        return fault_input(f, "tenant %s: %u is no uid or gid", t->name, UINT32_MAX);
    r = check_range(t, f);
    return r < 0 ? r : check_trees(t, f);
}

static bool has(const uint32_t *list, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == id)
            return true;
    return false;
}

static bool lies_in(const Bulkhead__Tenant *t, uint32_t id)
{
    return t->uid_count > 0 && id >= t->uid_first && id - t->uid_first < t->uid_count;
}

/* Who speaks must be one tenant's, and nobody's VMs may have another's uids. */
static int check_pair(const Bulkhead__Tenant *a, const Bulkhead__Tenant *b, struct fault *f)
{
    if (a != b && strcmp(a->name, b->name) == 0)
        return fault_input(f, "the tenant %s is there twice: give each a name of its own", a->name);
    for (size_t i = 0; a != b && i < a->n_uids; i++)
        if (has(b->uids, b->n_uids, a->uids[i]))
            return fault_input(f,
                               "the uid %u is of the tenants %s and %s: who speaks must be one's",
                               a->uids[i], a->name, b->name);
    for (size_t i = 0; a != b && i < a->n_gids; i++)
        if (has(b->gids, b->n_gids, a->gids[i]))
            return fault_input(f,
                               "the gid %u is of the tenants %s and %s: who speaks must be one's",
                               a->gids[i], a->name, b->name);
    if (a != b && a->uid_count > 0 && b->uid_count > 0 &&
        (lies_in(a, b->uid_first) || lies_in(b, a->uid_first)))
        return fault_input(f, "the uids of the tenants %s and %s overlap", a->name, b->name);
    for (size_t i = 0; i < b->n_uids; i++)
        if (lies_in(a, b->uids[i]))
            return fault_input(f, "the uid %u, who speaks for %s, is in the range of %s's VMs",
                               b->uids[i], b->name, a->name);
    if (lies_in(a, b->uid))
        return fault_input(f, "the uid %u of %s is in the range of %s's VMs", b->uid, b->name,
                           a->name);
    return 0;
}

int terms_check(const Bulkhead__HostConfig *config, uint32_t uid, struct fault *f)
{
    size_t n_ids = 0;
    int r = 0;

    if (config->n_tenants == 0)
        return fault_input(f, "there is no tenant in it: nobody could have a VM");
    if (config->n_tenants > TERMS_MAX_TENANTS)
        return fault_input(f, "there are %zu tenants in it: at most %d", config->n_tenants,
                           TERMS_MAX_TENANTS);
    for (size_t i = 0; r == 0 && i < config->n_tenants; i++) {
        n_ids += config->tenants[i]->n_uids + config->tenants[i]->n_gids;
        r = check_tenant(config->tenants[i], uid, f);
    }
    if (r == 0 && n_ids > TERMS_MAX_IDS)
        r = fault_input(f,
                        "there are %zu uids and gids in it that speak for tenants: at most %d, "
                        "so use groups",
                        n_ids, TERMS_MAX_IDS);
    for (size_t i = 0; r == 0 && i < config->n_tenants; i++)
        for (size_t k = 0; r == 0 && k < config->n_tenants; k++)
            r = check_pair(config->tenants[i], config->tenants[k], f);
    return r;
}

/* ---- its trees ---- */

static int open_tree(const char *path)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

    return fd < 0 ? -errno : fd;
}

int terms_open_trees(const Bulkhead__Tenant *tenant, int *ret_fds, struct fault *f)
{
    for (size_t i = 0; i < tenant->n_trees; i++) {
        ret_fds[i] = open_tree(tenant->trees[i]);
        if (ret_fds[i] >= 0)
            continue;
        if (ret_fds[i] == -ELOOP)
            fault_input(f,
                        "tenant %s: a symbolic link is on the way to the tree %.100s: write "
                        "where it leads",
                        tenant->name, tenant->trees[i]);
        else
            fault_input(f, "tenant %s: the tree %.100s: %s", tenant->name, tenant->trees[i],
                        strerror(-ret_fds[i]));
        for (size_t k = 0; k < i; k++)
            fd_closep(&ret_fds[k]);
        return -f->error;
    }
    return 0;
}

/* is_new: that is to be said to who applies it. Where the service only begins again a tree may be gone that was its tenant's to
 * take away: then he has no VM, and the others have theirs. */
static int check_all_trees(const Bulkhead__HostConfig *config, bool is_new, struct fault *f)
{
    int fds[TERMS_MAX_TREES];

    for (size_t i = 0; i < config->n_tenants; i++) {
        int r = terms_open_trees(config->tenants[i], fds, f);

        for (size_t k = 0; r == 0 && k < config->tenants[i]->n_trees; k++)
            close(fds[k]);
        if (r < 0 && is_new)
            return r;
        if (r < 0)
            log_warn("%s: it can start no VM", f->text);
    }
    return 0;
}

/* ---- the file ---- */

static bool is_trusted(int fd, mode_t kind, struct stat *ret_stat)
{
    return fstat(fd, ret_stat) == 0 && (ret_stat->st_mode & S_IFMT) == kind &&
           (ret_stat->st_uid == 0 || ret_stat->st_uid == geteuid()) &&
           (ret_stat->st_mode & 0022) == 0;
}

/* -ENOENT without a fault: there is none. */
static int open_file(const char *dir, int *ret_fd, size_t *ret_len, struct fault *f)
{
    cleanup_(fd_closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    cleanup_(fd_closep) int fd = -1;
    struct stat st;

    if (dir_fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (dir_fd < 0)
        return fault_input(f, "%s: %s", dir,
                           errno == ENOTDIR || errno == ELOOP
                               ? "it must be a directory, and no link"
                               : strerror(errno));
    fd = openat(dir_fd, HOSTDIR_TENANTS, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (!is_trusted(dir_fd, S_IFDIR, &st))
        return fault_input(
            f, "others may write to %s, or it is not root's: chown it and chmod go-w", dir);
    if (fd < 0)
        return fault_input(f, "%s/" HOSTDIR_TENANTS ": %s", dir,
                           errno == ELOOP ? "it must be a file, and no link" : strerror(errno));
    if (!is_trusted(fd, S_IFREG, &st))
        return fault_input(f,
                           "others may write to %s/" HOSTDIR_TENANTS ", or it is no file of "
                           "root's: have `bulkhead tenants apply` write it",
                           dir);
    if (st.st_size > STARTER_MAX_TERMS)
        return fault_input(f, "%s/" HOSTDIR_TENANTS " is larger than %d bytes", dir,
                           STARTER_MAX_TERMS);
    *ret_len = (size_t)st.st_size;
    *ret_fd = fd_take(&fd);
    return 0;
}

static int read_bytes(const char *dir, int fd, uint8_t *dst, size_t len, struct fault *f)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, dst + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fault_host(f, n < 0 ? errno : EAGAIN, "%s/" HOSTDIR_TENANTS ": %s", dir,
                              n < 0 ? strerror(errno) : "it was being written: ask again");
        done += (size_t)n;
    }
    return 0;
}

/* In a bounded arena: that it is root's file doesn't mean that it is well. Then once more, for good. */
static Bulkhead__HostConfig *unpack(const uint8_t *bytes, size_t len)
{
    void *block = malloc(ARENA_BYTES);
    struct arena arena;
    bool fits;

    if (!block)
        return NULL;
    arena_init(&arena, block, ARENA_BYTES);
    fits = bulkhead__host_config__unpack(&arena.allocator, len, bytes) != NULL;
    free(block);
    return fits ? bulkhead__host_config__unpack(NULL, len, bytes) : NULL;
}

static int take(struct terms *terms, struct terms *now, struct fault *f)
{
    int r = terms_check(now->config, geteuid(), f);

    if (r == 0)
        r = check_all_trees(now->config, terms->config != NULL, f);
    if (r < 0)
        return r;
    *f = (struct fault){ 0 };
    terms_clear(terms);
    *terms = *now;
    *now = (struct terms){ 0 };
    return 0;
}

static int pack_default(struct terms *now)
{
    Bulkhead__HostConfig config = BULKHEAD__HOST_CONFIG__INIT;
    Bulkhead__Tenant tenant = BULKHEAD__TENANT__INIT, *tenants[] = { &tenant };
    char host[] = "host", user[] = "user", root[] = "/", any[] = "*";
    char *trees[] = { root }, *taps[] = { any };
    uint32_t uid = geteuid();

    config.n_tenants = 1;
    config.tenants = tenants;
    tenant.name = uid == 0 ? host : user;
    tenant.n_uids = 1;
    tenant.uids = &uid;
    tenant.uid = uid;
    tenant.gid = getegid();
    tenant.n_trees = 1;
    tenant.trees = trees;
    tenant.n_taps = 1;
    tenant.taps = taps;
    tenant.user_net = tenant.host = 1;
    now->len = bulkhead__host_config__get_packed_size(&config);
    now->bytes = malloc(now->len);
    if (!now->bytes)
        return -ENOMEM;
    (void)bulkhead__host_config__pack(&config, now->bytes);
    return 0;
}

int terms_read(struct terms *terms, const char *dir, struct fault *f)
{
    cleanup_(terms_clear) struct terms now = { 0 };
    cleanup_(fd_closep) int fd = -1;
    int r = open_file(dir, &fd, &now.len, f);

    if (r == -ENOENT && f->error == 0) {
        r = pack_default(&now);
        if (r < 0)
            return fault_host(f, -r, "no memory for the tenants");
    } else if (r == 0) {
        now.bytes = malloc(now.len + 1);
        r = now.bytes ? read_bytes(dir, fd, now.bytes, now.len, f)
                      : fault_host(f, ENOMEM, "no memory for the tenants");
    }
    if (r < 0)
        return r;
    now.config = unpack(now.bytes, now.len);
    if (!now.config)
        return fault_input(f,
                           "%s/" HOSTDIR_TENANTS " is no list of tenants: have `bulkhead tenants "
                           "apply` write it",
                           dir);
    return take(terms, &now, f);
}

void terms_clear(struct terms *terms)
{
    if (terms->config)
        bulkhead__host_config__free_unpacked(terms->config, NULL);
    free(terms->bytes);
    *terms = (struct terms){ 0 };
}

const Bulkhead__Tenant *terms_find(const struct terms *terms, const char *name)
{
    for (size_t i = 0; terms->config && i < terms->config->n_tenants; i++)
        if (strcmp(terms->config->tenants[i]->name, name) == 0)
            return terms->config->tenants[i];
    return NULL;
}
