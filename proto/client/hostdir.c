/* SPDX-License-Identifier: Apache-2.0 */
/* hostdir.c - see hostdir.h. */
#include "hostdir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A directory of the service: what `own` says; root's; or `name` below what `xdg` says, or below `fallback` in the
 * user's home. */
struct place {
    const char *own, *root, *xdg, *fallback;
};

static int put(char *dst, size_t size, const char *first, const char *second)
{
    int n = snprintf(dst, size, "%s%s", first, second);

    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int find(char *dst, size_t size, const struct place *place)
{
    const char *own = getenv(place->own), *xdg = getenv(place->xdg), *home = getenv("HOME");
    char path[HOSTDIR_PATH_BYTES];
    int r;

    if (own && own[0] == '/')
        return put(dst, size, own, "");
    if (geteuid() == 0)
        return put(dst, size, place->root, "");
    if (xdg && xdg[0] == '/') /* the standard says: else it is to be ignored */
        return put(dst, size, xdg, "/bulkhead-host");
    if (!place->fallback) {
        snprintf(path, sizeof path, "/run/user/%u", (unsigned)geteuid());
        return put(dst, size, path, "/bulkhead-host");
    }
    if (!home || home[0] != '/')
        return -ENOENT;
    r = put(path, sizeof path, home, place->fallback);
    return r < 0 ? r : put(dst, size, path, "/bulkhead-host");
}

int hostdir_run(char *dst, size_t size)
{
    const struct place place = { "BULKHEAD_HOST_RUN", HOSTDIR_RUN, "XDG_RUNTIME_DIR", NULL };

    return find(dst, size, &place);
}

int hostdir_state(char *dst, size_t size)
{
    const struct place place = { "BULKHEAD_HOST_STATE", HOSTDIR_STATE, "XDG_STATE_HOME",
                                 "/.local/state" };

    return find(dst, size, &place);
}

int hostdir_config(char *dst, size_t size)
{
    const struct place place = { "BULKHEAD_HOST_CONFIG", HOSTDIR_CONFIG, "XDG_CONFIG_HOME",
                                 "/.config" };

    return find(dst, size, &place);
}

int hostdir_socket(char *dst, size_t size)
{
    char run[HOSTDIR_PATH_BYTES];
    int r = hostdir_run(run, sizeof run);

    return r < 0 ? r : put(dst, size, run, "/" HOSTDIR_SOCKET);
}

#define SMALL "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define LARGE "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_made_of(const char *name, size_t size, const char *letters)
{
    size_t len = strnlen(name, size);

    return len > 0 && len < size && strspn(name, letters) == len;
}

bool hostdir_is_tenant(const char *name)
{
    return is_made_of(name, HOSTDIR_TENANT_BYTES, SMALL) && !strchr("._-", name[0]);
}

bool hostdir_is_vm(const char *name)
{
    return is_made_of(name, HOSTDIR_VM_BYTES, SMALL LARGE) && !strchr(".-", name[0]);
}
