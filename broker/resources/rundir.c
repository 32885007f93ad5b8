/* SPDX-License-Identifier: Apache-2.0 */
/* rundir.c - see rundir.h. */
#include "resources/rundir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources/socket_path.h"

/* Each further try needs another VM of this name that ended just now. */
enum { MAX_TRIES = 1000 };

void rundir_place_init(struct rundir_place *place)
{
    *place = (struct rundir_place){ .base_fd = -1, .dir_fd = -1, .lock_fd = -1 };
}

void rundir_init(struct rundir *rundir)
{
    rundir_place_init(&rundir->place);
    rundir->listen_fd = -1;
}

bool rundir_is_there(int dir_fd, const char *name, int fd)
{
    struct stat named, opened;

    return fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

/* None of them is for the next VM of that name, and no socket that a broker was killed over. */
static void remove_notes(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (!dir) {
        fd_closep(&fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name), end = strlen(RUNDIR_NOTE);

        if ((len > end && strcmp(entry->d_name + len - end, RUNDIR_NOTE) == 0) ||
            strncmp(entry->d_name, SOCKET_PATH_OWN, strlen(SOCKET_PATH_OWN)) == 0)
            unlinkat(dir_fd, entry->d_name, 0);
    }
    closedir(dir);
}

void rundir_place_remove(struct rundir_place *place)
{
    if (place->lock_fd >= 0 && rundir_is_there(place->dir_fd, RUNDIR_LOCK, place->lock_fd)) {
        unlinkat(place->dir_fd, RUNDIR_SOCKET, 0);
        remove_notes(place->dir_fd);
        unlinkat(place->dir_fd, RUNDIR_LOCK, 0);
    }
    /* Between the look and the removal it may have become the next VM's: if that has its lock, the
     * directory isn't empty and stays; if not, that VM makes another. */
    if (place->lock_fd >= 0 && rundir_is_there(place->base_fd, place->name, place->dir_fd))
        unlinkat(place->base_fd, place->name, AT_REMOVEDIR);
    fd_closep(&place->lock_fd);
    fd_closep(&place->dir_fd);
    fd_closep(&place->base_fd);
}

/* Ours alone: somebody else's directory of that name could lead the socket anywhere. -EAGAIN: it
 * was removed meanwhile. */
static int open_private(int at_fd, const char *name, const char *path, int *ret_fd, bool *ret_made,
                        struct fault *f)
{
    struct stat st;

    *ret_made = mkdirat(at_fd, name, 0700) == 0;
    if (!*ret_made && errno != EEXIST)
        return fault_input(f, "can't make the run directory %s: %s: set BULKHEAD_RUNDIR", path,
                           strerror(errno));
    *ret_fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd < 0 && errno == ENOENT)
        return -EAGAIN;
    if (*ret_fd < 0 && errno != ELOOP && errno != ENOTDIR && errno != EACCES)
        return fault_host(f, errno, "the run directory %s: %s", path, strerror(errno));
    if (*ret_fd < 0 || fstat(*ret_fd, &st) < 0 || st.st_uid != geteuid() ||
        (st.st_mode & 0022) != 0)
        return fault_input(f,
                           "the run directory %s is not this user's own: remove it or set "
                           "BULKHEAD_RUNDIR",
                           path);
    return 0;
}

/* -EAGAIN: the directory was removed meanwhile. */
static int take_lock(struct rundir_place *place, const char *path, struct fault *f)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = openat(place->dir_fd, RUNDIR_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = 0;

    if (fd < 0 && errno == ENOENT)
        return -EAGAIN;
    if (fd < 0)
        return fault_host(f, errno, "%s/" RUNDIR_LOCK ": %s", path, strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        r = errno == EAGAIN || errno == EACCES
                ? fault_input(f, "a VM named %s is running: give --name another value, or stop it",
                              place->name)
                : fault_host(f, errno, "locking %s/" RUNDIR_LOCK ": %s", path, strerror(errno));
    else if (!rundir_is_there(place->dir_fd, RUNDIR_LOCK, fd) ||
             !rundir_is_there(place->base_fd, place->name, place->dir_fd))
        r = -EAGAIN;
    if (r == 0)
        place->lock_fd = fd;
    else
        close(fd);
    return r;
}

static int claim(struct rundir_place *place, const char *base, const char *path, struct fault *f)
{
    bool made = false;
    int r = open_private(AT_FDCWD, base, base, &place->base_fd, &made, f);

    made = false;
    if (r == 0)
        r = open_private(place->base_fd, place->name, path, &place->dir_fd, &made, f);
    if (r == 0)
        r = take_lock(place, path, f);
    if (r == 0)
        return 0;
    if (made) /* and still empty: else the rmdir fails */
        unlinkat(place->base_fd, place->name, AT_REMOVEDIR);
    fd_closep(&place->dir_fd);
    fd_closep(&place->base_fd);
    return r;
}

int rundir_open(struct rundir *rundir, const char *vm_name, struct fault *f)
{
    struct rundir_place *place = &rundir->place;
    struct socket_path made;
    mode_t mask;
    char base[RUNDIR_PATH_BYTES], path[RUNDIR_PATH_BYTES];
    char socket_path[RUNDIR_PATH_BYTES + sizeof RUNDIR_SOCKET];
    int r;

    if (rundir_base(base, sizeof base) < 0 || rundir_path(path, sizeof path, vm_name) < 0 ||
        snprintf(place->name, sizeof place->name, "%s", vm_name) >= (int)sizeof place->name)
        return fault_input(f,
                           "the run directory's path is too long for VM %s: use a shorter name "
                           "or set BULKHEAD_RUNDIR to a shorter one",
                           vm_name);
    mask = umask(0077); /* the caller's may take away what we need ourselves */
    for (int i = 0; i < MAX_TRIES; i++) {
        f->error = 0;
        r = claim(place, base, path, f);
        if (r != -EAGAIN || f->error != 0)
            break;
    }
    umask(mask);
    if (r == -EAGAIN && f->error == 0)
        return fault_host(f, EAGAIN, "the run directory %s is removed again and again", path);
    if (r < 0)
        return r;
    unlinkat(place->dir_fd, RUNDIR_SOCKET, 0); /* we hold the lock: whoever made it is gone */
    remove_notes(place->dir_fd);
    snprintf(socket_path, sizeof socket_path, "%s/" RUNDIR_SOCKET, path);
    r = socket_path_listen_in("the command socket", socket_path, place->dir_fd, SOCK_SEQPACKET,
                              &made, &rundir->listen_fd, f);
    if (r < 0)
        return r;
    socket_path_forget(&made);
    return 0;
}

void rundir_forget(struct rundir *rundir)
{
    fd_closep(&rundir->listen_fd);
    fd_closep(&rundir->place.dir_fd);
    fd_closep(&rundir->place.base_fd);
    fd_closep(&rundir->place.lock_fd);
}

void rundir_close(struct rundir *rundir)
{
    fd_closep(&rundir->listen_fd);
    rundir_place_remove(&rundir->place);
}

static bool split(const char *path, char *base, struct rundir_place *place)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (len == 0 || len >= RUNDIR_PATH_BYTES || slash[1] == '\0' || slash[1] == '.')
        return false;
    memcpy(base, path, len);
    base[len] = '\0';
    return snprintf(place->name, sizeof place->name, "%s", slash + 1) < (int)sizeof place->name;
}

static bool is_own(int fd, struct stat *ret_stat)
{
    return fstat(fd, ret_stat) == 0 && ret_stat->st_uid == geteuid() &&
           (ret_stat->st_mode & 0022) == 0;
}

int rundir_visit(struct rundir_place *place, const char *path, struct fault *f)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char base[RUNDIR_PATH_BYTES];
    struct stat st;

    if (!split(path, base, place))
        return fault_input(f, "'%.80s' is not the run directory of a VM", path);
    place->base_fd = open(base, flags);
    if (place->base_fd >= 0)
        place->dir_fd = openat(place->base_fd, place->name, flags);
    if (place->dir_fd < 0)
        return fault_host(f, errno, "the run directory %s: %s", path, strerror(errno));
    /* Whoever it belongs to decides what is in it, root's word or not, and could lead us anywhere. */
    if (!is_own(place->dir_fd, &st) || !is_own(place->base_fd, &st))
        return fault_input(f,
                           "%s is another user's VM, for whose passt only that user (uid %u) can "
                           "ask: run `bulkhead add` as that user, or use tap= or fd=",
                           place->name, (unsigned)st.st_uid);
    return 0;
}

void rundir_leave(struct rundir_place *place)
{
    /* What the VM left because of us; with anything in it, the next VM's lock above all, it stays. */
    if (place->dir_fd >= 0 && rundir_is_there(place->base_fd, place->name, place->dir_fd))
        unlinkat(place->base_fd, place->name, AT_REMOVEDIR);
    fd_closep(&place->dir_fd);
    fd_closep(&place->base_fd);
}
