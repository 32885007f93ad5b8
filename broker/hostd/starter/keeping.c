/* SPDX-License-Identifier: Apache-2.0 */
/* keeping.c - see keeping.h. */
#include "hostd/starter/keeping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "hostd/starter/files.h"
#include "hostd/starter/groups.h"
#include "hostd/starter/tell.h"

enum { REMOVALS_AT_ONCE = 8, ALL_VMS = 1024 /* as many as hostd knows */ };

/* ---- how much ---- */

static uint32_t may_have(const Bulkhead__Tenant *t)
{
    return t->quota && t->quota->vms ? MIN(t->quota->vms, (uint32_t)ALL_VMS) : ALL_VMS;
}

int keeping_check(struct starter *s, const char *tenant, const char *vm)
{
    const Bulkhead__Tenant *t = terms_find(&s->terms, tenant);
    struct folder_names names = { 0 };
    size_t own = 0, all = 0;
    int r;

    if (files_is_kept(&s->folders, tenant, vm))
        return 0;
    if (!t)
        return err_origin(-ENOENT, "there is no tenant %s", tenant);
    r = folders_list(&s->folders, FOLDER_KEPT, &names);
    for (size_t i = 0; i < names.n; i++) {
        bool is_own = strcmp(names.list[i].tenant, tenant) == 0;

        if (is_own && strcmp(names.list[i].vm, vm) == 0)
            continue;
        own += is_own;
        all++;
    }
    free(names.list);
    if (r < 0)
        return err_trace(r);
    if (own >= may_have(t))
        return err_origin(-EDQUOT, "tenant %s has %zu VMs, which is all that he may have", tenant,
                          own);
    return all < ALL_VMS ? 0 : err_origin(-EDQUOT, "the service has %zu VMs", all);
}

/* ---- who writes ---- */

static bool is_of(const struct save *save, const char *tenant, const char *vm)
{
    return save->id != 0 && strcmp(save->tenant, tenant) == 0 && strcmp(save->vm, vm) == 0;
}

bool keeping_removes(const struct starter *s, const char *tenant, const char *vm)
{
    for (unsigned i = 0; i < STATE_MAX_REMOVALS; i++)
        if (is_of(&s->removals[i], tenant, vm))
            return true;
    return false;
}

bool keeping_is_busy(const struct starter *s, const char *tenant, const char *vm)
{
    for (unsigned i = 0; i < STARTER_MAX_SAVES; i++)
        if (is_of(&s->saves[i], tenant, vm))
            return true;
    return keeping_removes(s, tenant, vm);
}

/* NULL: none is free. */
static struct save *take_place(struct starter *s, struct save *places, unsigned n,
                               const struct starter_request *q)
{
    for (unsigned i = 0; i < n; i++)
        if (places[i].id == 0) {
            places[i] = (struct save){ .starter = s, .id = q->id };
            process_forget(&places[i].process);
            memcpy(places[i].tenant, q->tenant, sizeof places[i].tenant); /* they end there: */
            memcpy(places[i].vm, q->vm, sizeof places[i].vm);             /* that was checked */
            return &places[i];
        }
    return NULL;
}

static int watch(struct save *save, pid_t pid, void (*on_end)(void *arg, int status))
{
    int r = pid < 0 ? err_origin(-errno, "a process that writes for %s", save->vm)
                    : process_watch(&save->process, save->starter->loop, pid, true, on_end, save);

    if (r < 0)
        save->id = 0;
    return r;
}

static int error_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

/* ---- descriptions ---- */

static void on_saved(void *arg, int status)
{
    struct save *save = arg;
    uint32_t id = save->id;

    save->id = 0;
    tell_done(save->starter, id,
              error_of(status)
                  ? err_origin(-error_of(status), "keeping the description of %s", save->vm)
                  : 0,
              NULL, 0);
}

/* A disk may keep it for longer than the starter lives, whose end hostd is to see: nothing else of what is open there stays
 * open here. */
static void keep_folders(const struct folders *folders)
{
    fd_close_all_but(folders->fds, FOLDERS);
}

/* What came to nothing is not counted. */
static _Noreturn void write_description(const struct starter *s, const struct starter_request *q,
                                        const void *bytes)
{
    int r, tenant_fd;

    keep_folders(&s->folders);
    r = files_save(&s->folders, q->tenant, q->vm, bytes, q->len);
    tenant_fd = r < 0 ? folders_enter_tenant(&s->folders, FOLDER_KEPT, q->tenant) : -1;
    if (tenant_fd >= 0)
        (void)unlinkat(tenant_fd, q->vm, AT_REMOVEDIR);
    _exit(-r);
}

int keeping_save(struct starter *s, const struct starter_request *q, const void *bytes)
{
    struct save *save;
    int r, fd;
    pid_t pid;

    if (keeping_is_busy(s, q->tenant, q->vm))
        return err_origin(-EBUSY, "the description of %s is being written, or removed", q->vm);
    r = keeping_check(s, q->tenant, q->vm);
    if (r < 0)
        return err_trace(r);
    save = take_place(s, s->saves, STARTER_MAX_SAVES, q);
    if (!save)
        return err_origin(-EAGAIN, "%d descriptions are being kept", STARTER_MAX_SAVES);
    /* Made here, so that whoever comes next counts it. */
    fd = folders_enter(&s->folders, FOLDER_KEPT, q->tenant, q->vm, true);
    fd_closep(&fd);
    pid = fork();
    if (pid == 0)
        write_description(s, q, bytes);
    return watch(save, pid, on_saved);
}

/* ---- removals ---- */

static void begin_removals(struct starter *s);

static void on_removed(void *arg, int status)
{
    struct save *save = arg;
    struct starter *s = save->starter;
    uint32_t id = save->id;

    save->id = 0;
    groups_remove_of(&s->groups, save->tenant, save->vm);
    tell_done(s, id, error_of(status) ? err_origin(-error_of(status), "removing %s", save->vm) : 0,
              NULL, 0);
    begin_removals(s);
}

static int begin_removal(struct save *save)
{
    const struct folders *folders = &save->starter->folders;
    int r = 0;
    pid_t pid = fork();

    if (pid == 0) {
        keep_folders(folders);
        for (int folder = 0; r == 0 && folder < FOLDERS; folder++)
            r = folders_remove(folders, (enum folder)folder, save->tenant, save->vm);
        _exit(-r);
    }
    return watch(save, pid, on_removed);
}

static void begin_removals(struct starter *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < STATE_MAX_REMOVALS; i++)
        n += s->removals[i].process.pid != 0;
    for (unsigned i = 0; i < STATE_MAX_REMOVALS && n < REMOVALS_AT_ONCE; i++) {
        struct save *save = &s->removals[i];
        uint32_t id = save->id;
        int r;

        if (id == 0 || save->process.pid != 0)
            continue;
        r = begin_removal(save);
        if (r < 0)
            tell_done(s, id, r, NULL, 0);
        else
            n++;
    }
}

int keeping_remove(struct starter *s, const struct starter_request *q)
{
    if (!take_place(s, s->removals, STATE_MAX_REMOVALS, q))
        return err_origin(-EAGAIN, "%d VMs are being removed", STATE_MAX_REMOVALS);
    begin_removals(s);
    return 0;
}
