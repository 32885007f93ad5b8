// SPDX-License-Identifier: Apache-2.0
// fds.c - each open descriptor must be one that the plan lists.
#include "audit/fds.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "process_info.h"

enum { AUDIT_MAX_PLANNED = 64 };

struct open_fd {
    int number;
    char type[16];
    char target[512];
    int access;  /* O_RDONLY, O_WRONLY, O_RDWR */
    bool tap;    /* the kernel names its interface; a macvtap by its path alone */
    bool stated; /* dev and ino are known */
    dev_t dev;
    ino_t ino;
};

static void classify(struct open_fd *fd, mode_t mode)
{
    static const struct {
        const char *prefix, *type;
    } kinds[] = {
        { "socket:", "socket" },
        { "pipe:", "pipe" },
        { "anon_inode:[eventfd]", "eventfd" },
        { "anon_inode:[eventpoll]", "epoll" },
        { "anon_inode:[io_uring]", "io_uring" },
        { "anon_inode:[timerfd]", "timerfd" },
        { "anon_inode:[signalfd]", "signalfd" },
        { "anon_inode:[pidfd]", "pidfd" },
        { "anon_inode:[userfaultfd]", "userfaultfd" },
        { "anon_inode:kvm-vm", "kvm-vm" },
        { "anon_inode:kvm-vcpu", "kvm-vcpu" },
        { "/memfd:", "memfd" },
        { "/anon_hugepage", "memfd" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strncmp(fd->target, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            snprintf(fd->type, sizeof(fd->type), "%s", kinds[i].type);
            return;
        }
    }
    snprintf(fd->type, sizeof(fd->type), "%s",
             S_ISCHR(mode)                    ? "char"
             : S_ISREG(mode) || S_ISBLK(mode) ? "file"
             : S_ISDIR(mode)                  ? "directory"
                                              : "other");
}

static int look_at(pid_t pid, int number, struct open_fd *ret_fd)
{
    char path[96];
    char info[1024];
    char value[32];
    struct statx st = { 0 };
    ssize_t n;

    *ret_fd = (struct open_fd){ .number = number, .access = O_RDWR };
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, number);
    n = readlink(path, ret_fd->target, sizeof(ret_fd->target) - 1);
    if (n < 0)
        return -errno;
    /* What the kernel knows by itself: its file system may be one that doesn't answer. */
    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) == 0) {
        ret_fd->stated = true;
        ret_fd->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
        ret_fd->ino = st.stx_ino;
    }
    classify(ret_fd, st.stx_mode);
    snprintf(path, sizeof(path), "fdinfo/%d", number);
    n = process_read_pid(pid, path, info, sizeof(info));
    if (n < 0)
        return (int)n;
    if (process_field(info, "flags", value, sizeof(value)))
        ret_fd->access = (int)strtoul(value, NULL, 8) & O_ACCMODE;
    ret_fd->tap = strncmp(ret_fd->target, "/dev/tap", 8) == 0 ||
                  process_field(info, "iff", value, sizeof(value));
    return 0;
}

/* By now the name may stand for another file: a log was rotated, an image replaced. Nor is it looked up: it is the
 * broker's word, and may lead to a file system that doesn't answer. */
static bool same_file(const struct open_fd *fd, const Bulkhead__FdPlan *plan)
{
    const char *path = plan->what;
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t len = strlen(fd->target);
    size_t base_len = strlen(base);

    if (fd->stated && plan->ino != 0)
        return plan->dev == fd->dev && plan->ino == fd->ino;
    if (path[0] == '/') /* the kernel's name for it must do */
        return strcmp(fd->target, path) == 0;
    /* Relative to a folder of the broker's: its last part must do. */
    return base_len < len && fd->target[len - base_len - 1] == '/' &&
           strcmp(fd->target + len - base_len, base) == 0;
}

/* The plan's rights are upper bounds: "read-only" and "read end" are part of the reason. What a file
 * is called is the user's affair, who may call it "read end". */
static bool access_fits(const struct open_fd *fd, const Bulkhead__FdPlan *plan)
{
    bool pipe = strcmp(plan->type, "pipe") == 0;

    if (strstr(plan->why, "read-only") || (pipe && strstr(plan->what, "read end")))
        return fd->access == O_RDONLY;
    if (pipe && (strstr(plan->what, "write end") || strcmp(plan->what, "log pipe") == 0))
        return fd->access == O_WRONLY;
    return true;
}

/* A console's file may be a device or a fifo. */
static bool file_fits(const struct open_fd *fd, const Bulkhead__FdPlan *plan)
{
    static const char *const types[] = { "file", "char", "other" };
    bool fits = false;

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        fits |= strcmp(fd->type, types[i]) == 0;
    return fits && access_fits(fd, plan) && same_file(fd, plan);
}

static bool fits(const struct open_fd *fd, const Bulkhead__FdPlan *plan)
{
    if (strcmp(plan->type, "file") == 0)
        return file_fits(fd, plan);
    if (strcmp(plan->what, "terminal") == 0) /* a user may put a pipe or file there */
        return strcmp(fd->type, "char") == 0 || strcmp(fd->type, "pipe") == 0 ||
               strcmp(fd->type, "file") == 0 || strcmp(fd->type, "socket") == 0;
    if (strcmp(fd->type, plan->type) != 0 || !access_fits(fd, plan))
        return false;
    if (strcmp(plan->what, "/dev/null") == 0)
        return strcmp(fd->target, "/dev/null") == 0;
    if (strcmp(plan->type, "memfd") == 0)
        return (strstr(fd->target, "guest-ram") != NULL) == (strcmp(plan->what, "guest RAM") == 0);
    if (strcmp(plan->what, "tap") == 0)
        return fd->tap;
    return true;
}

/* Takes one of the plan's entries for this descriptor; false when none is left. */
static bool take(const struct audit_target *t, const struct open_fd *fd, unsigned *left)
{
    size_t n = MIN(t->plan->n_fds, (size_t)AUDIT_MAX_PLANNED);

    for (int exact = 1; exact >= 0; exact--) {
        for (size_t i = 0; i < n; i++) {
            const Bulkhead__FdPlan *p = t->plan->fds[i];
            bool numbered = p->fd >= 0;

            if (left[i] == 0 || numbered != (exact == 1) || (numbered && p->fd != fd->number) ||
                !fits(fd, p))
                continue;
            left[i]--;
            return true;
        }
    }
    return false;
}

void audit_fds(const struct audit_target *t)
{
    unsigned left[AUDIT_MAX_PLANNED] = { 0 };
    struct dirent *entry;
    unsigned open_fds = 0;
    bool drift = false;
    char path[64];
    DIR *dir;

    if (!t->child && t->plan->role != BULKHEAD__ROLE__ROLE_HOLDER)
        return;
    for (size_t i = 0; i < t->plan->n_fds && i < AUDIT_MAX_PLANNED; i++)
        left[i] = t->plan->fds[i]->kept ? MAX(t->plan->fds[i]->count, 1u) : 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)t->pid);
    dir = opendir(path);
    if (!dir) {
        audit_unreadable(t, "fds", errno);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        struct open_fd fd;
        int r;

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        r = look_at(t->pid, (int)strtol(entry->d_name, NULL, 10), &fd);
        if (r == -ENOENT)
            continue; /* closed meanwhile */
        if (r < 0) {
            audit_unreadable(t, "fds", -r);
            drift = true;
            break;
        }
        open_fds++;
        if (take(t, &fd, left))
            continue;
        drift = true;
        audit_add(t, AUDIT_DRIFT, "fds", "%d -> %.200s (%s%s) is not in the plan", fd.number,
                  fd.target, fd.type,
                  fd.access == O_RDONLY   ? ", read"
                  : fd.access == O_WRONLY ? ", write"
                                          : "");
    }
    closedir(dir);
    if (!drift)
        audit_add(t, AUDIT_OK, "fds", "%u, each of them planned", open_fds);
}
