/* SPDX-License-Identifier: Apache-2.0 */
/* note.c - see note.h. */
#include "spawner/note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

enum { NOTE_VERSION = 1, MAX_TRIES = 100 };

/* What is in the file: all that is passt's of a slot. No padding, all that is not used is 0. */
struct content {
    uint32_t version, mtu, n_forwards;
    struct spawner_forward forwards[SPAWNER_MAX_FORWARDS];
    char name[SPAWNER_NAME_BYTES];
};

_Static_assert(sizeof(struct content) == NOTE_BYTES, "two notes are compared byte by byte");

/* No other file's, and no way out of the directory. */
static bool is_name(const char *name, size_t size)
{
    size_t len = strnlen(name, size), end = strlen(RUNDIR_NOTE);

    return len < size && len > end && !memchr(name, '/', len) &&
           strcmp(name + len - end, RUNDIR_NOTE) == 0;
}

static bool describe(const struct spawner_slot *setup, struct content *ret_content)
{
    struct content c = { .version = NOTE_VERSION,
                         .mtu = setup->mtu,
                         .n_forwards = setup->n_forwards };

    if (!is_name(setup->name, sizeof setup->name) || setup->n_forwards > SPAWNER_MAX_FORWARDS)
        return false;
    memcpy(c.forwards, setup->forwards, setup->n_forwards * sizeof c.forwards[0]);
    memcpy(c.name, setup->name, strlen(setup->name));
    *ret_content = c;
    return true;
}

/* Somebody else has a lock on it that takes the right to write: its writer, who lives. Who may only read it, as a
 * broker of the same user may, can have a reader's lock, which keeps no note alive. */
static bool is_locked(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
}

/* ---- who asks ---- */

void note_init(struct note *note)
{
    *note = (struct note){ .fd = -1 };
    rundir_place_init(&note->place);
}

/* Of somebody who was killed, or of somebody who is there. */
static int make_way(struct note *note, struct fault *f)
{
    cleanup_(fd_closep) int fd =
        openat(note->place.dir_fd, note->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0 && is_locked(fd))
        return fault_input(f, "%s is being asked for by another `bulkhead add`: try again",
                           note->name);
    if (unlinkat(note->place.dir_fd, note->name, 0) < 0 && errno != ENOENT)
        return fault_host(f, errno, "the note %s in the VM's run directory: %s", note->name,
                          strerror(errno));
    return 0;
}

/* 0, -EAGAIN: another one took it for one that was left behind, or it is one; or a fault. */
static int make(struct note *note, struct fault *f)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = openat(note->place.dir_fd, note->name,
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return make_way(note, f) < 0 ? -EINVAL : -EAGAIN;
    if (fd < 0)
        return fault_host(f, errno, "the note %s in the VM's run directory: %s", note->name,
                          strerror(errno));
    /* The mode again: the caller's umask may have taken it away. */
    if (fchmod(fd, 0600) < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0 ||
        !rundir_is_there(note->place.dir_fd, note->name, fd)) {
        close(fd);
        return -EAGAIN;
    }
    note->fd = fd;
    return 0;
}

int note_describe(const struct spawner_slot *setup, uint8_t ret_bytes[NOTE_BYTES], struct fault *f)
{
    struct content c;

    if (!describe(setup, &c))
        return fault_input(f, "%.40s can't be asked for: use another id=", setup->name);
    memcpy(ret_bytes, &c, sizeof c);
    return 0;
}

int note_write_bytes(struct note *note, const char *run_dir, const uint8_t bytes[NOTE_BYTES],
                     struct fault *f)
{
    struct content c;
    int r = rundir_visit(&note->place, run_dir, f);

    if (r < 0)
        return r;
    memcpy(&c, bytes, sizeof c);
    if (!is_name(c.name, sizeof c.name))
        return fault_input(f, "what is to be written down is no note");
    memcpy(note->name, c.name, sizeof note->name);
    r = -EAGAIN;
    for (unsigned i = 0; r == -EAGAIN && i < MAX_TRIES; i++)
        r = make(note, f);
    if (r == -EAGAIN)
        return fault_host(f, EAGAIN, "the note %s in the VM's run directory can't be made",
                          note->name);
    if (r == 0 && pwrite(note->fd, &c, sizeof c, 0) != (ssize_t)sizeof c)
        r = fault_host(f, errno, "the note %s in the VM's run directory: %s", note->name,
                       strerror(errno));
    return r;
}

int note_write(struct note *note, const char *run_dir, const struct spawner_slot *setup,
               struct fault *f)
{
    uint8_t bytes[NOTE_BYTES];
    int r = note_describe(setup, bytes, f);

    return r < 0 ? r : note_write_bytes(note, run_dir, bytes, f);
}

void note_withdraw(struct note *note)
{
    struct rundir_place *place = &note->place;

    if (note->fd >= 0 && rundir_is_there(place->dir_fd, note->name, note->fd))
        unlinkat(place->dir_fd, note->name, 0);
    fd_closep(&note->fd);
    rundir_leave(place);
}

void note_forget(struct note *note)
{
    fd_closep(&note->fd);
    fd_closep(&note->place.dir_fd);
    fd_closep(&note->place.base_fd);
}

/* ---- who starts ---- */

static int refuse(const struct spawner_slot *setup, const char *why)
{
    return err_origin(-EPERM, "%.40s: %s", setup->name, why);
}

/* Without following, and without waiting for who may write to a pipe or has a lease. */
static int open_note(const struct rundir_place *place, const struct spawner_slot *setup,
                     int *ret_fd)
{
    struct stat st;

    *ret_fd = openat(place->dir_fd, setup->name,
                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*ret_fd < 0 && errno == ENOENT)
        return refuse(setup, "no user has asked for it");
    if (*ret_fd < 0 || fstat(*ret_fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 07077) != 0 || st.st_nlink != 1)
        return refuse(setup, "what asks for it is no note of the VM's own user");
    return 0;
}

int note_take(const struct rundir_place *place, const struct spawner_slot *setup)
{
    cleanup_(fd_closep) int fd = -1;
    struct content asked, noted = { 0 };
    struct stat st;
    int r;

    if (place->dir_fd < 0 || !describe(setup, &asked))
        return refuse(setup, "a user can't have asked for it");
    r = open_note(place, setup, &fd);
    if (r < 0)
        return err_trace(r);
    /* It is used, whatever comes of it; one that stays could be used again. */
    if (unlinkat(place->dir_fd, setup->name, 0) < 0)
        return refuse(setup, "what asks for it can't be taken away, or was withdrawn");
    if (!is_locked(fd))
        return refuse(setup, "who asked for it is gone");
    if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof noted ||
        pread(fd, &noted, sizeof noted, 0) != (ssize_t)sizeof noted)
        return refuse(setup, "what asks for it is of another release, or none");
    return memcmp(&asked, &noted, sizeof noted) == 0
               ? 0
               : refuse(setup, "its user has asked for other ports, or another MTU");
}
