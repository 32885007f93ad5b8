/* SPDX-License-Identifier: Apache-2.0 */
/* nss_stub.c - libcap-ng's capng_change_id(), which nobody calls, looks users up by name. In a
 * static program that would pull in libc's whole name service; these refuse instead. Linked behind
 * libcap-ng, so a program that really wants the name service still gets libc's. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>

struct passwd *getpwuid(uid_t uid)
{
    (void)uid;
    errno = ENOSYS;
    return NULL;
}

int initgroups(const char *user, gid_t group)
{
    (void)user;
    (void)group;
    errno = ENOSYS;
    return -1;
}
