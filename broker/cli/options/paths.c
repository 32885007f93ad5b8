// SPDX-License-Identifier: Apache-2.0
// paths.c - see paths.h.
#include "options/paths.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Without "//" and "/./", of which the service takes none. */
static void make_plain(char *path)
{
    char *to = path;

    for (const char *from = path; *from;) {
        if (from[0] == '/' && (from[1] == '/' || (from[1] == '.' && from[2] == '/')))
            from += from[1] == '/' ? 1 : 2;
        else
            *to++ = *from++;
    }
    *to = '\0';
}

/* The directory has no link in its name, so a leading ".." takes its last part away. */
static void make_absolute(struct bag *bag, const char *dir, char **path)
{
    char cwd[PATH_MAX];
    const char *rest = *path;
    char *last;

    if (*rest == '/')
        make_plain(*path);
    if (*rest == '\0' || *rest == '/' || dir[0] != '/')
        return;
    snprintf(cwd, sizeof(cwd), "%s", dir);
    if (cwd[1] == '\0')
        cwd[0] = '\0';
    for (;;) {
        if (strncmp(rest, "./", 2) == 0) {
            rest += 2;
        } else if (strncmp(rest, "../", 3) == 0) {
            rest += 3;
            last = strrchr(cwd, '/');
            if (last)
                *last = '\0';
        } else if (*rest == '/') {
            rest++;
        } else {
            break;
        }
    }
    *path = bag_printf(bag, "%s/%s", cwd, rest);
    make_plain(*path);
}

void vm_paths_make_absolute(struct vm_options *o, const char *dir)
{
    Bulkhead__VmConfig *c = &o->config;
    char cwd[PATH_MAX];

    if (!dir)
        dir = getcwd(cwd, sizeof(cwd)) ? cwd : "";
    make_absolute(&o->bag, dir, &c->kernel);
    make_absolute(&o->bag, dir, &c->initramfs);
    for (size_t i = 0; i < c->n_disks; i++)
        make_absolute(&o->bag, dir, &c->disks[i]->path);
    if (c->serial)
        make_absolute(&o->bag, dir, &c->serial->path);
    if (c->console)
        make_absolute(&o->bag, dir, &c->console->path);
    if (c->vsock)
        make_absolute(&o->bag, dir, &c->vsock->socket);
}
