/* SPDX-License-Identifier: Apache-2.0 */
/* uids.c - see uids.h. */
#include "spawner/uids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "sandbox/ids.h"

enum {
    MAX_TRIES = 65536,  /* ranges, before there is none to be had */
    MIN_TRIES = 256,    /* where there are few: some of them may be marked by mischief alone */
    MAX_MARKED = 64,    /* ranges that the file has free and the namespace not */
    MAX_REOPENED = 100, /* each time another VM ended that was the only one */
};

void uids_init(struct uids *uids)
{
    *uids = (struct uids){ .file_fd = -1, .ns_fd = -1 };
}

uint32_t uids_random(void)
{
    uint32_t number = 0;

    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        number = (uint32_t)getpid();
    return number;
}

static int set_lock(int fd, short type, uint32_t range)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = range, .l_len = 1 };

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static bool is_named(const struct uids *uids)
{
    struct stat named, opened;

    return lstat(uids->path, &named) == 0 && fstat(uids->file_fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

static bool open_file(struct uids *uids)
{
    struct stat st;

    fd_closep(&uids->file_fd);
    uids->file_fd = open(uids->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (uids->file_fd < 0) {
        snprintf(uids->why_not, sizeof uids->why_not, "%.100s: %s", uids->path, strerror(errno));
        return false;
    }
    /* A file that others may open is a file that others may lock. */
    if (fstat(uids->file_fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        (st.st_mode & 0077) == 0)
        return true;
    snprintf(uids->why_not, sizeof uids->why_not, "%.100s is not a file of root's own: remove it",
             uids->path);
    fd_closep(&uids->file_fd);
    return false;
}

/* 0, or -EAGAIN: another VM has the range. Without a file none has. */
static int lock_in_file(struct uids *uids, uint32_t range)
{
    for (int i = 0; i < MAX_REOPENED && uids->file_fd >= 0; i++) {
        int r = set_lock(uids->file_fd, F_WRLCK, range);

        if (is_named(uids))
            return r;
        /* The last VM that used it has ended and removed it. */
        open_file(uids);
    }
    return 0;
}

/* The file can't be opened for writing, so these are read locks, which don't refuse each other.
 * Each puts its own and then looks for another's: of two at once both see one. */
static int mark_in_namespace(struct uids *uids, uint32_t range)
{
    struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = range, .l_len = 1 };

    if (uids->ns_fd < 0)
        return 0;
    if (set_lock(uids->ns_fd, F_RDLCK, range) < 0 || fcntl(uids->ns_fd, F_OFD_GETLK, &other) < 0) {
        fd_closep(&uids->ns_fd);
        return 0;
    }
    if (other.l_type == F_UNLCK)
        return 0;
    (void)set_lock(uids->ns_fd, F_UNLCK, range);
    return -EAGAIN;
}

static int try_range(struct uids *uids, uint32_t range, unsigned *n_marked)
{
    if (lock_in_file(uids, range) < 0)
        return -EAGAIN;
    if (uids->file_fd < 0 && uids->ns_fd < 0)
        return -EIO;
    if (mark_in_namespace(uids, range) == 0)
        return 0;
    ++*n_marked;
    if (uids->file_fd < 0)
        return -EAGAIN;
    /* Some user's mischief; the file is root's. */
    if (*n_marked > MAX_MARKED)
        return 0;
    (void)set_lock(uids->file_fd, F_UNLCK, range);
    return -EAGAIN;
}

/* To the next range. Two that looked at one range at once have both left it; so that they don't meet
 * at each that follows, the step is the longer and the more random the more often that happened. */
static uint32_t step(unsigned n_marked)
{
    return n_marked == 0 ? 1 : 1 + uids_random() % n_marked;
}

bool uids_find_ranges(uint32_t first_uid, uint32_t uid_count, uint32_t *ret_low,
                      uint32_t *ret_count)
{
    const uint32_t offset = first_uid - SANDBOX_UID_FIRST;

    if (first_uid == 0 && uid_count == 0) {
        *ret_low = *ret_count = 0;
        return true;
    }
    if (first_uid < SANDBOX_UID_FIRST || offset >= SANDBOX_UID_COUNT || uid_count == 0 ||
        uid_count > SANDBOX_UID_COUNT - offset || offset % SANDBOX_UIDS_PER_VM != 0 ||
        uid_count % SANDBOX_UIDS_PER_VM != 0)
        return false;
    *ret_low = offset / SANDBOX_UIDS_PER_VM;
    *ret_count = uid_count / SANDBOX_UIDS_PER_VM;
    return true;
}

void uids_claim(struct uids *uids, const char *path, uint32_t first)
{
    uids_claim_within(uids, path, first, 0, 0);
}

void uids_claim_within(struct uids *uids, const char *path, uint32_t first, uint32_t low,
                       uint32_t count)
{
    const uint32_t n = count == 0 ? SANDBOX_UID_RANGES : count;
    const uint32_t tries = MIN(MAX(n, (uint32_t)MIN_TRIES), (uint32_t)MAX_TRIES);
    uint32_t at = first % n;
    unsigned n_marked = 0;
    int r = -EAGAIN;

    uids_init(uids);
    uids->path = path;
    open_file(uids);
    uids->ns_fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    for (uint32_t i = 0; i < tries; i++) {
        uids->range = low + at;
        r = try_range(uids, uids->range, &n_marked);
        if (r != -EAGAIN)
            break;
        at = (at + step(n_marked)) % n;
    }
    uids->claimed = r == 0;
    if (r == -EAGAIN)
        snprintf(uids->why_not, sizeof uids->why_not, "all that were tried are taken");
}

void uids_release(struct uids *uids)
{
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    /* Who has it all to himself may remove it: whoever locks it later sees that it has no name. */
    if (uids->file_fd >= 0 && fcntl(uids->file_fd, F_OFD_SETLK, &all) == 0 && is_named(uids))
        unlink(uids->path);
    fd_closep(&uids->file_fd);
    fd_closep(&uids->ns_fd);
    uids->claimed = false;
}
