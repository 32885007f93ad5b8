/* SPDX-License-Identifier: Apache-2.0 */
/* folders.c - see folders.h. */
#include "hostd/starter/folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "client/rundir.h"

enum { OPEN_DIR = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* ---- the service's own ---- */

/* Each part that is missing, as an ordinary user's may be. */
static int make_path(const char *path, mode_t mode)
{
    char part[HOSTDIR_PATH_BYTES];

    for (const char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return -errno;
    }
    return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static bool is_own(int fd, mode_t others)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & others) == 0;
}

static int open_base(const char *path, mode_t mode, int *ret_fd, struct fault *f)
{
    int r = make_path(path, mode);

    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_fd < 0)
        return fault_host(f, r < 0 ? -r : errno, "the service's folder %s: %s", path,
                          strerror(r < 0 ? -r : errno));
    if (!is_own(*ret_fd, 0022))
        return fault_input(f,
                           "the service's folder %s is another user's, or others may write to "
                           "it: have it belong to this user alone (chown, chmod go-w)",
                           path);
    return 0;
}

static int open_private(int at_fd, const char *path, const char *name, int *ret_fd, struct fault *f)
{
    if (mkdirat(at_fd, name, 0700) < 0 && errno != EEXIST)
        return fault_host(f, errno, "%s/%s: %s", path, name, strerror(errno));
    *ret_fd = openat(at_fd, name, OPEN_DIR);
    if (*ret_fd < 0)
        return fault_host(f, errno, "%s/%s: %s", path, name, strerror(errno));
    if (!is_own(*ret_fd, 0077))
        return fault_input(f, "%s/%s is not this user's alone: remove it, or chmod it to 700", path,
                           name);
    return 0;
}

int folders_open(struct folders *ret_folders, struct fault *f)
{
    cleanup_(fd_closep) int run_fd = -1;
    cleanup_(fd_closep) int state_fd = -1;
    char run[HOSTDIR_PATH_BYTES], state[HOSTDIR_PATH_BYTES];
    int r;

    *ret_folders = (struct folders){ .fds = { -1, -1, -1 } };
    if (hostdir_run(run, sizeof run) < 0 || hostdir_state(state, sizeof state) < 0 ||
        hostdir_config(ret_folders->config_path, sizeof ret_folders->config_path) < 0)
        return fault_input(f, "the service has no folders: set HOME, or shorter paths as "
                              "BULKHEAD_HOST_RUN, BULKHEAD_HOST_STATE and BULKHEAD_HOST_CONFIG");
    snprintf(ret_folders->vms_path, sizeof ret_folders->vms_path, "%s/" HOSTDIR_VMS, run);
    /* Everybody connects to the socket in it. */
    r = open_base(run, 0755, &run_fd, f);
    if (r == 0)
        r = open_base(state, 0700, &state_fd, f);
    if (r == 0)
        r = open_private(run_fd, run, HOSTDIR_VMS, &ret_folders->fds[FOLDER_VMS], f);
    if (r == 0)
        r = open_private(run_fd, run, HOSTDIR_IO, &ret_folders->fds[FOLDER_IO], f);
    if (r == 0)
        r = open_private(state_fd, state, HOSTDIR_VMS, &ret_folders->fds[FOLDER_KEPT], f);
    if (r < 0)
        folders_close(ret_folders);
    return r;
}

void folders_close(struct folders *folders)
{
    for (int i = 0; i < FOLDERS; i++)
        fd_closep(&folders->fds[i]);
}

/* ---- a VM's ---- */

static int enter_one(int at_fd, const char *name, bool make)
{
    int fd;

    if (make && mkdirat(at_fd, name, 0700) < 0 && errno != EEXIST)
        return err_origin(-errno, "making the folder %s", name);
    fd = openat(at_fd, name, OPEN_DIR);
    if (fd < 0)
        return err_origin(-errno, "the folder %s", name);
    if (is_own(fd, 0077))
        return fd;
    close(fd);
    return err_origin(-EPERM, "the folder %s is not the service's alone", name);
}

int folders_enter(const struct folders *folders, enum folder folder, const char *tenant,
                  const char *vm, bool make)
{
    cleanup_(fd_closep) int tenant_fd = enter_one(folders->fds[folder], tenant, make);

    return tenant_fd < 0 ? err_trace(tenant_fd) : enter_one(tenant_fd, vm, make);
}

int folders_enter_tenant(const struct folders *folders, enum folder folder, const char *tenant)
{
    return enter_one(folders->fds[folder], tenant, true);
}

/* What is no folder; the caller's rmdir fails if there is more. */
static void remove_files(int fd)
{
    int again = openat(fd, ".", OPEN_DIR);
    cleanup_(dir_closep) DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;

    if (again >= 0 && !dir)
        close(again);
    while (dir && (entry = readdir(dir)) != NULL)
        if (entry->d_type != DT_DIR)
            (void)unlinkat(fd, entry->d_name, 0);
}

int folders_remove(const struct folders *folders, enum folder folder, const char *tenant,
                   const char *vm)
{
    cleanup_(fd_closep) int tenant_fd = enter_one(folders->fds[folder], tenant, false);
    cleanup_(fd_closep) int fd = -1;

    if (tenant_fd < 0)
        return tenant_fd == -ENOENT ? 0 : err_trace(tenant_fd);
    fd = enter_one(tenant_fd, vm, false);
    if (fd < 0 && fd != -ENOENT)
        return err_trace(fd);
    if (fd >= 0)
        remove_files(fd);
    if (fd >= 0 && unlinkat(tenant_fd, vm, AT_REMOVEDIR) < 0)
        return err_origin(-errno, "removing the folder %s/%s", tenant, vm);
    (void)fsync(tenant_fd);
    (void)unlinkat(folders->fds[folder], tenant, AT_REMOVEDIR); /* unless there are more */
    return 0;
}

static int add_name(struct folder_names *names, const char *tenant, const char *vm)
{
    struct folder_name *name;

    if (names->n == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        struct folder_name *list = realloc(names->list, room * sizeof *list);

        if (!list)
            return err_origin(-ENOMEM, "a list of VMs");
        names->list = list;
        names->room = room;
    }
    name = &names->list[names->n++]; /* of both it is known that they fit */
    snprintf(name->tenant, sizeof name->tenant, "%.*s", HOSTDIR_TENANT_BYTES - 1, tenant);
    snprintf(name->vm, sizeof name->vm, "%.*s", HOSTDIR_VM_BYTES - 1, vm);
    return 0;
}

static DIR *list_of(int at_fd, const char *name)
{
    int fd = openat(at_fd, name, OPEN_DIR);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

static int list_tenant(int at_fd, const char *tenant, struct folder_names *names)
{
    cleanup_(dir_closep) DIR *dir = list_of(at_fd, tenant);
    struct dirent *entry;
    int r = 0;

    while (r == 0 && dir && (entry = readdir(dir)) != NULL)
        if (entry->d_type == DT_DIR && hostdir_is_vm(entry->d_name))
            r = add_name(names, tenant, entry->d_name);
    return r;
}

int folders_list(const struct folders *folders, enum folder folder, struct folder_names *names)
{
    cleanup_(dir_closep) DIR *dir = list_of(folders->fds[folder], ".");
    struct dirent *entry;
    int r = 0;

    while (r == 0 && dir && (entry = readdir(dir)) != NULL)
        if (entry->d_type == DT_DIR && hostdir_is_tenant(entry->d_name))
            r = list_tenant(folders->fds[folder], entry->d_name, names);
    return r;
}

bool folders_is_held(const struct folders *folders, const char *tenant, const char *vm)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    cleanup_(fd_closep) int dir_fd = folders_enter(folders, FOLDER_VMS, tenant, vm, false);
    cleanup_(fd_closep) int fd = -1;

    if (dir_fd < 0)
        return dir_fd != -ENOENT;
    fd = openat(dir_fd, RUNDIR_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno != ENOENT;
    return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}
