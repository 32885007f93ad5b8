/* SPDX-License-Identifier: Apache-2.0 */
/* programs.c - see programs.h. */
#include "resources/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "plan/plan.h"
#include "resources/open.h"

static const char *const passt_paths[] = { "/usr/bin/passt", "/usr/local/bin/passt" };

static int open_program(const int folders[PROGRAMS_FOLDERS], Bulkhead__Role role)
{
    int fd = -1;

    for (int i = 0; i < PROGRAMS_FOLDERS && fd < 0; i++)
        if (folders[i] >= 0)
            fd = openat(folders[i], plan_program(role), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd;
}

void programs_open_folders(struct programs *programs)
{
    programs->folders[0] = open(programs->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    programs->folders[1] =
        openat(programs->folders[0], "../libexec/bulkhead", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void programs_open(struct programs *programs)
{
    char *slash;
    ssize_t n = readlink("/proc/self/exe", programs->dir, sizeof programs->dir - 1);

    for (int role = 0; role < PROGRAMS_MAX; role++)
        programs->fds[role] = -1;
    programs->dir[n > 0 ? n : 0] = '\0';
    slash = strrchr(programs->dir, '/');
    if (slash)
        *slash = '\0';
    programs_open_folders(programs);
    for (int role = BULKHEAD__ROLE__ROLE_CORE; role <= BULKHEAD__ROLE__ROLE_BALLOON; role++)
        programs->fds[role] = open_program(programs->folders, (Bulkhead__Role)role);
    for (size_t i = 0; i < ARRAY_SIZE(passt_paths); i++)
        if (programs->fds[BULKHEAD__ROLE__ROLE_PASST] < 0)
            programs->fds[BULKHEAD__ROLE__ROLE_PASST] = open(passt_paths[i], O_RDONLY | O_CLOEXEC);
}

int programs_reopen(const struct programs *programs, Bulkhead__Role role, int *ret_fd,
                    struct fault *f)
{
    int fd = open_program(programs->folders, role);

    if (fd < 0)
        return fault_input(f, "%s is no longer installed in %s: install it or give --binary PATH",
                           plan_program(role), programs->dir);
    *ret_fd = fd;
    return 0;
}

void programs_close(struct programs *programs)
{
    for (int role = 0; role < PROGRAMS_MAX; role++)
        fd_closep(&programs->fds[role]);
    for (int i = 0; i < PROGRAMS_FOLDERS; i++)
        fd_closep(&programs->folders[i]);
}

int programs_fd(const struct programs *programs, Bulkhead__Role role, struct fault *f)
{
    if ((int)role < (int)PROGRAMS_MAX && programs->fds[role] >= 0)
        return programs->fds[role];
    if (role == BULKHEAD__ROLE__ROLE_PASST)
        return fault_input(f, "user networking needs passt: apt-get install passt");
    fault_input(f, "%s is not installed beside bulkhead-broker: build or install it",
                plan_program(role));
    return -ENOENT;
}

int programs_check(int fd, struct fault *f)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return fault_input(f, "the new build is not a regular file: give the program itself");
    if (!(st.st_mode & 0111))
        return fault_input(f, "the new build is not executable: chmod +x it");
    if (flags < 0 || (flags & (O_ACCMODE | O_PATH)) != O_RDONLY)
        return fault_input(f, "the new build's descriptor is not open for reading alone");
    return 0;
}
