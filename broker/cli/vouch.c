// SPDX-License-Identifier: Apache-2.0
// vouch.c - see vouch.h.
#include "vouch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

enum { OPEN_DIR = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, TRIES = 64 };

// -ENOENT: there is none yet; -EPERM: it is not this caller's.
static int open_kept(void)
{
    char state[HOSTDIR_PATH_BYTES], path[HOSTDIR_PATH_BYTES + sizeof(HOSTDIR_VMS) + 1];
    struct stat st;
    int fd;

    if (hostdir_state(state, sizeof(state)) < 0)
        return -EPERM;
    snprintf(path, sizeof(path), "%s/" HOSTDIR_VMS, state);
    fd = open(path, OPEN_DIR);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : -EPERM;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0077) == 0)
        return fd;
    close(fd);
    return -EPERM;
}

static bool is_callers_own(const struct host *host)
{
    char run[HOSTDIR_PATH_BYTES];

    return hostdir_run(run, sizeof(run)) == 0 && strcmp(run, host->run_dir) == 0;
}

// The service may have been taken over: it says no more than which of its tenants the caller is. By then it has its folders, also
// one that begins for who calls.
int vouch_begin(struct host *host, bool creates, struct voucher *ret_voucher)
{
    cleanup_(fd_closep) int kept_fd = is_callers_own(host) ? open_kept() : -EPERM;

    *ret_voucher = (struct voucher){ 0 };
    if (kept_fd == -EPERM || (kept_fd < 0 && !creates))
        return 0;
    return host_tenant(host, ret_voucher->tenant, sizeof(ret_voucher->tenant));
}

// False: what is no name the service refuses, and says why.
static bool find_names(const struct voucher *voucher, const char *name, struct vouch *v)
{
    const char *slash = strchr(name, '/');

    if (slash)
        snprintf(v->tenant, sizeof(v->tenant), "%.*s",
                 (int)MIN(slash - name, (long)HOSTDIR_TENANT_BYTES), name);
    else
        snprintf(v->tenant, sizeof(v->tenant), "%s", voucher->tenant);
    snprintf(v->vm, sizeof(v->vm), "%s", slash ? slash + 1 : name);
    return hostdir_is_tenant(v->tenant) && hostdir_is_vm(slash ? slash + 1 : name);
}

static int enter(int at_fd, const char *name, bool make)
{
    int fd;

    if (make && mkdirat(at_fd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(at_fd, name, OPEN_DIR);
    return fd < 0 ? -errno : fd;
}

static int enter_vm(int kept_fd, const struct vouch *v, bool make)
{
    cleanup_(fd_closep) int tenant_fd = enter(kept_fd, v->tenant, make);

    return tenant_fd < 0 ? tenant_fd : enter(tenant_fd, v->vm, make);
}

static bool is_kept(int vm_fd)
{
    return faccessat(vm_fd, HOSTDIR_SPEC, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int make_file(int vm_fd, struct vouch *v)
{
    for (unsigned i = 0; i < TRIES; i++) {
        int fd;

        snprintf(v->file, sizeof(v->file), HOSTDIR_VOUCHED "%u", i);
        fd = openat(vm_fd, v->file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd < 0 ? -errno : fd;
    }
    return -EEXIST;
}

static int write_copy(int vm_fd, const Bulkhead__VmConfig *config, struct vouch *v)
{
    size_t len = bulkhead__vm_config__get_packed_size(config);
    uint8_t *bytes = malloc(len + 1);
    cleanup_(fd_closep) int fd = bytes ? make_file(vm_fd, v) : -ENOMEM;
    int r = MIN(fd, 0);

    if (r == 0) {
        bulkhead__vm_config__pack(config, bytes);
        if (write(fd, bytes, len) != (ssize_t)len)
            r = -EIO;
        else if (fsync(fd) < 0 || fsync(vm_fd) < 0)
            r = -errno;
    }
    free(bytes);
    return r;
}

int vouch_for(const struct voucher *voucher, const Bulkhead__VmConfig *config,
              struct vouch *ret_vouch)
{
    cleanup_(fd_closep) int kept_fd = voucher->tenant[0] != '\0' ? open_kept() : -1;
    cleanup_(fd_closep) int vm_fd = -1;
    struct vouch v = { 0 };
    int r;

    *ret_vouch = v;
    if (kept_fd < 0 || !find_names(voucher, config->name, &v))
        return 0;
    vm_fd = enter_vm(kept_fd, &v, true);
    r = MIN(vm_fd, 0);
    if (r == 0) {
        v.was_there = is_kept(vm_fd);
        r = write_copy(vm_fd, config, &v);
    }
    if (r < 0) {
        vouch_settle(&v, true);
        return err_origin(r, "leaving word of %s in the service's state", v.vm);
    }
    *ret_vouch = v;
    return 0;
}

// The folders go too, unless there is more in them.
static void take_back(int kept_fd, const struct vouch *v)
{
    cleanup_(fd_closep) int tenant_fd = enter(kept_fd, v->tenant, false);
    cleanup_(fd_closep) int vm_fd = tenant_fd < 0 ? -1 : enter(tenant_fd, v->vm, false);

    if (vm_fd < 0 || (!v->was_there && is_kept(vm_fd)))
        return;
    if (v->file[0] != '\0')
        (void)unlinkat(vm_fd, v->file, 0);
    (void)unlinkat(tenant_fd, v->vm, AT_REMOVEDIR);
    (void)unlinkat(kept_fd, v->tenant, AT_REMOVEDIR);
}

void vouch_settle(const struct vouch *vouch, bool failed)
{
    cleanup_(fd_closep) int kept_fd = failed && vouch->tenant[0] != '\0' ? open_kept() : -1;

    if (kept_fd >= 0)
        take_back(kept_fd, vouch);
}

void vouch_end(const struct voucher *voucher, const char *vm)
{
    cleanup_(fd_closep) int kept_fd = voucher->tenant[0] != '\0' ? open_kept() : -1;
    cleanup_(fd_closep) int vm_fd = -1;
    struct vouch v = { 0 };

    if (kept_fd >= 0 && find_names(voucher, vm, &v))
        vm_fd = enter_vm(kept_fd, &v, false);
    for (unsigned i = 0; vm_fd >= 0 && i < TRIES; i++) {
        snprintf(v.file, sizeof(v.file), HOSTDIR_VOUCHED "%u", i);
        (void)unlinkat(vm_fd, v.file, 0);
    }
}
