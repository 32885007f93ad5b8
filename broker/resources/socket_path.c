/* SPDX-License-Identifier: Apache-2.0 */
/* socket_path.c - see socket_path.h. */
#include "resources/socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources/open.h"

enum { BACKLOG = 64, MAX_TRIES = 100, OWN_BYTES = sizeof SOCKET_PATH_OWN + 16 };

void socket_path_init(struct socket_path *p)
{
    *p = (struct socket_path){ .dir_fd = -1, .socket_fd = -1 };
}

void socket_path_forget(struct socket_path *p)
{
    fd_closep(&p->dir_fd);
    fd_closep(&p->socket_fd);
}

/* An entry of the folder itself, for a look at it or to connect to. name has no slash and is not "..". */
static int open_entry(int dir_fd, const char *name, int *ret_fd, struct stat *ret_st)
{
    cleanup_(fd_closep) int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstat(fd, ret_st) < 0)
        return -errno;
    *ret_fd = fd_take(&fd);
    return 0;
}

/* The address of what an O_PATH descriptor stands for: no name is looked up any more. The link is
 * in our own /proc/self, which hidepid never hides. */
static struct sockaddr_un address_of(int fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", fd);
    return address;
}

static int connect_to(int handle, int type, int *ret_fd)
{
    struct sockaddr_un address = address_of(handle);
    cleanup_(fd_closep) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    *ret_fd = fd_take(&fd);
    return 0;
}

/* The last look before the name goes. Who replaces it between this and the next system call may
 * write to the folder, and could have taken away whatever is there himself: a link is not followed
 * here, and a folder does not go this way. */
static void unlink_if(int dir_fd, const char *name, const struct stat *ours)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == ours->st_dev &&
        st.st_ino == ours->st_ino && S_ISSOCK(st.st_mode))
        (void)unlinkat(dir_fd, name, 0);
}

/* ---- listening ---- */

/* What is at the name: 0, nothing. 1: a socket that nobody listens on any more, which may go; it is *ret_left, and nothing else
 * has its inode's number while *ret_handle is open. Anything else stays. */
static int look(const char *what, const char *path, const struct socket_path *p, int type,
                int *ret_handle, struct stat *ret_left, struct fault *f)
{
    cleanup_(fd_closep) int handle = -1, probe = -1;
    struct stat st;
    int r = open_entry(p->dir_fd, p->name, &handle, &st);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return fault_input(f, "%s: %s: %s: check the path", what, path, strerror(-r));
    if (S_ISLNK(st.st_mode))
        return fault_input(f, "%s: %s is a symbolic link: give the socket's own path", what, path);
    if (!S_ISSOCK(st.st_mode))
        return fault_input(f, "%s: %s exists and is %s: give another path", what, path,
                           resources_kind_name(st.st_mode));
    r = connect_to(handle, type, &probe);
    switch (-r) {
    case ECONNREFUSED:
        break;
    case 0:
    case EAGAIN:
    case EPROTOTYPE: /* a socket of another type: a connection could not tell more */
        return fault_input(f, "%s: %s is in use by another process: give another path", what, path);
    default:
        return fault_input(f, "%s: can't tell whether %s is in use: %s: give another path", what,
                           path, strerror(-r));
    }
    *ret_handle = fd_take(&handle);
    *ret_left = st;
    return 1;
}

static int set_name(const char *what, const char *path, struct socket_path *p, struct fault *f)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    if (strlen(name) >= sizeof p->name)
        return fault_input(f, "%s: the name of the socket %s is too long: use at most %zu bytes",
                           what, path, sizeof p->name - 1);
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return fault_input(f, "%s: %s names a folder: give the socket a name in it", what, path);
    snprintf(p->name, sizeof p->name, "%s", name);
    return 0;
}

/* Of the path, or what is left of it in its tree. */
static int open_folder(const struct trees *trees, const char *what, const char *path, int *ret_fd,
                       struct fault *f)
{
    struct trees_way way;
    const char *slash;
    char folder[PATH_MAX];
    int r = trees_find(trees, what, path, &way, f);

    if (r < 0)
        return r;
    slash = strrchr(way.rest, '/');
    if (snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - way.rest) + 1 : 1,
                 slash ? way.rest : ".") >= (int)sizeof folder)
        return fault_input(f, "%s: the path of its socket is too long: use a shorter one", what);
    if (trees && strcmp(way.rest, ".") == 0)
        return fault_input(f, "%s: %s names a folder: give the socket a name in it", what, path);
    *ret_fd = way.only_devices ? -EPERM : trees_open(&way, folder, O_PATH | O_DIRECTORY, 0);
    if (*ret_fd < 0)
        return fault_input(f, "%s: can't make the socket %s: %s: choose a directory you may write",
                           what, path, trees_error_text(-*ret_fd));
    return 0;
}

/* Through the folder's descriptor, under a name that nobody else has thought of. */
static int bind_own(const struct socket_path *p, int fd, char own[OWN_BYTES])
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    unsigned long long number;
    mode_t mask;
    int r;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -EIO;
    snprintf(own, OWN_BYTES, SOCKET_PATH_OWN "%016llx", number);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", p->dir_fd, own);
    mask = umask(0177);
    r = bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0)
        own[0] = '\0';
    return r;
}

/* It listens, and has not yet the name: whoever finds a socket there that refuses may take it for one left behind. */
static int make(const char *what, const char *path, struct socket_path *p, int type,
                char own[OWN_BYTES], int *ret_fd, struct fault *f)
{
    cleanup_(fd_closep) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;
    int r = fd < 0 ? -errno : bind_own(p, fd, own);

    if (r < 0)
        return fault_input(f, "%s: can't make the socket %s: %s: choose a directory you may write",
                           what, path, strerror(-r));
    r = open_entry(p->dir_fd, own, &p->socket_fd, &st);
    if (r == 0 && !S_ISSOCK(st.st_mode))
        r = -ENOTSOCK;
    if (r < 0)
        return fault_input(
            f, "%s: somebody takes away the socket %s: choose a directory of your own", what, path);
    if (listen(fd, BACKLOG) < 0)
        return fault_host(f, errno, "%s: listening on %s: %s", what, path, strerror(errno));
    *ret_fd = fd_take(&fd);
    return 0;
}

static bool is_at(int dir_fd, const char *name, const struct stat *what)
{
    struct stat st;

    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == what->st_dev &&
           st.st_ino == what->st_ino;
}

/* -EEXIST: something is there by now. Not every file system knows a rename that replaces nothing. */
static int take_free_name(const struct socket_path *p, const char *own)
{
    if (renameat2(p->dir_fd, own, p->dir_fd, p->name, RENAME_NOREPLACE) == 0 ||
        (errno == EINVAL && linkat(p->dir_fd, own, p->dir_fd, p->name, 0) == 0))
        return 0;
    return -errno;
}

/* 1: another than what was left behind was there, and is again. Where others do the same at once, each goes on until it has got
 * what was left, or its own back: in whatever order, the name is then another's who listens. */
static int take_name_of(const struct socket_path *p, const char *own, const struct stat *left)
{
    struct stat ours;

    if (fstat(p->socket_fd, &ours) < 0)
        return -errno;
    for (unsigned i = 0; i < MAX_TRIES; i++) {
        if (renameat2(p->dir_fd, own, p->dir_fd, p->name, RENAME_EXCHANGE) < 0) {
            if (errno == EINVAL) /* this file system can't: then as well as can be */
                unlink_if(p->dir_fd, p->name, left);
            return errno == EINVAL || errno == ENOENT ? 1 : -errno;
        }
        if (is_at(p->dir_fd, own, left)) {
            unlink_if(p->dir_fd, own, left);
            return 0;
        }
        if (is_at(p->dir_fd, own, &ours))
            return 1;
    }
    return -EBUSY;
}

static int take_name(const char *what, const char *path, const struct socket_path *p, int type,
                     const char *own, struct fault *f)
{
    int r = -EEXIST;

    for (unsigned i = 0; i < MAX_TRIES && r == -EEXIST; i++) {
        cleanup_(fd_closep) int handle = -1;
        struct stat left;

        r = look(what, path, p, type, &handle, &left, f);
        if (r < 0)
            return r;
        r = r == 0 ? take_free_name(p, own) : take_name_of(p, own, &left);
        if (r == 1)
            r = -EEXIST;
    }
    return r < 0 ? fault_input(f,
                               "%s: can't make the socket %s: %s: choose a directory you may write",
                               what, path, strerror(-r))
                 : 0;
}

/* After a failure, or where its file system only links. */
static void remove_own(const struct socket_path *p, const char *own)
{
    struct stat ours;

    if (own[0] == '\0')
        return;
    if (p->socket_fd >= 0 ? fstat(p->socket_fd, &ours) == 0
                          : fstatat(p->dir_fd, own, &ours, AT_SYMLINK_NOFOLLOW) == 0)
        unlink_if(p->dir_fd, own, &ours);
}

int socket_path_listen_in(const char *what, const char *path, int dir_fd, int type,
                          struct socket_path *ret_path, int *ret_fd, struct fault *f)
{
    struct socket_path p;
    cleanup_(fd_closep) int fd = -1, handle = -1;
    char own[OWN_BYTES] = "";
    struct stat left;
    int r;

    socket_path_init(&p);
    p.uid = geteuid();
    p.gid = getegid();
    r = set_name(what, path, &p, f);
    if (r < 0)
        return r;
    p.dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (p.dir_fd < 0 || fstat(p.dir_fd, &p.dir) < 0)
        r = fault_host(f, errno, "%s: the folder of %s: %s", what, path, strerror(errno));
    if (r == 0)
        r = look(what, path, &p, type, &handle, &left, f); /* before anything is made */
    if (r >= 0)
        r = make(what, path, &p, type, own, &fd, f);
    if (r == 0)
        r = take_name(what, path, &p, type, own, f);
    remove_own(&p, own);
    if (r < 0) {
        socket_path_forget(&p);
        return r;
    }
    *ret_path = p;
    *ret_fd = fd_take(&fd);
    return 0;
}

int socket_path_listen(const struct trees *trees, const char *what, const char *path, int type,
                       struct socket_path *ret_path, int *ret_fd, struct fault *f)
{
    struct socket_path p;
    cleanup_(fd_closep) int folder = -1;
    int r;

    socket_path_init(&p);
    r = set_name(what, path, &p, f);
    if (r == 0)
        r = open_folder(trees, what, path, &folder, f);
    if (r < 0)
        return r;
    return socket_path_listen_in(what, path, folder, type, ret_path, ret_fd, f);
}

/* ---- connecting ---- */

bool socket_path_allows(const struct stat *dir, const struct stat *socket, uid_t uid, gid_t gid)
{
    if (socket->st_uid == uid || socket->st_uid == dir->st_uid)
        return socket->st_mode & S_IWUSR;
    if (socket->st_gid == gid || socket->st_gid == dir->st_gid)
        return socket->st_mode & S_IWGRP;
    return socket->st_mode & S_IWOTH;
}

bool socket_path_is_foreign(const struct socket_path *p)
{
    /* Whose group that is says nothing of who is in it, and with an access list those bits are the most that it gives to
     * anybody. */
    return p->dir.st_uid != p->uid || (p->dir.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

int socket_path_connect(const struct socket_path *p, uint32_t port, int *ret_fd)
{
    char name[SOCKET_PATH_NAME_BYTES + 16];
    cleanup_(fd_closep) int handle = -1;
    struct stat st;
    int r;

    snprintf(name, sizeof name, "%s_%u", p->name, port);
    r = open_entry(p->dir_fd, name, &handle, &st);
    if (r < 0)
        return r;
    if (S_ISLNK(st.st_mode))
        return -ELOOP;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    if (socket_path_is_foreign(p) && st.st_nlink != 1)
        return -EMLINK; /* somebody brought one here from elsewhere, of ours perhaps */
    /* Of root's VM whoever connects has CAP_DAC_OVERRIDE, with which the kernel lets us in anywhere; without it the
     * check is the kernel's. */
    if (p->uid == 0 && !socket_path_allows(&p->dir, &st, p->uid, p->gid))
        return -EACCES;
    return connect_to(handle, SOCK_STREAM, ret_fd);
}

/* ---- the end ---- */

void socket_path_remove(struct socket_path *p)
{
    struct stat ours;

    if (p->socket_fd >= 0 && fstat(p->socket_fd, &ours) == 0)
        unlink_if(p->dir_fd, p->name, &ours);
    socket_path_forget(p);
}

int socket_path_hold(struct socket_path list[SOCKET_PATHS_MAX], const char *name, int fds[2])
{
    struct stat dir, socket;

    if (name[0] == '\0' || strchr(name, '/') || strlen(name) >= SOCKET_PATH_NAME_BYTES ||
        fds[0] < 0 || fds[1] < 0 || fstat(fds[0], &dir) < 0 || fstat(fds[1], &socket) < 0 ||
        !S_ISDIR(dir.st_mode) || !S_ISSOCK(socket.st_mode))
        return -EINVAL;
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++) {
        if (list[i].dir_fd >= 0)
            continue;
        list[i].dir = dir;
        snprintf(list[i].name, sizeof list[i].name, "%s", name);
        list[i].dir_fd = fd_take(&fds[0]);
        list[i].socket_fd = fd_take(&fds[1]);
        return 0;
    }
    return -ENOSPC;
}
