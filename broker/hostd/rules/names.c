/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - see names.h. */
#include "hostd/rules/names.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LABEL_BYTES = 63 };

#define SMALL "abcdefghijklmnopqrstuvwxyz0123456789"
#define BOTH "ABCDEFGHIJKLMNOPQRSTUVWXYZ" SMALL

static bool is_made_of(const char *name, const char *letters, size_t max)
{
    size_t len = strlen(name);

    return len > 0 && len <= max && strspn(name, letters) == len;
}

bool names_is_tenant(const char *name)
{
    return is_made_of(name, SMALL "._-", HOSTDIR_TENANT_BYTES - 1) &&
           strchr("._-", name[0]) == NULL;
}

bool names_is_vm(const char *name)
{
    return is_made_of(name, BOTH "._-", HOSTDIR_VM_BYTES - 1) && strchr(".-", name[0]) == NULL;
}

bool names_is_label(const char *key)
{
    return is_made_of(key, BOTH "._/-", MAX_LABEL_BYTES);
}

const char *names_show(const char *name, char ret[NAMES_SHOWN_BYTES])
{
    size_t n = 0;

    for (; name[n] != '\0' && n < NAMES_SHOWN_BYTES - 4; n++)
        ret[n] = name[n] < 0x20 || name[n] > 0x7e ? '?' : name[n];
    strcpy(ret + n, name[n] == '\0' ? "" : "...");
    return ret;
}

bool names_split(const char *name, const char *tenant, char ret_tenant[HOSTDIR_TENANT_BYTES],
                 char ret_vm[HOSTDIR_VM_BYTES])
{
    const char *slash = strchr(name, '/'), *vm = slash ? slash + 1 : name;
    size_t len = slash ? (size_t)(slash - name) : strlen(tenant);
    char prefix[HOSTDIR_TENANT_BYTES];

    if (len >= sizeof prefix || !names_is_vm(vm))
        return false;
    memcpy(prefix, slash ? name : tenant, len);
    prefix[len] = '\0';
    if (!names_is_tenant(prefix))
        return false;
    snprintf(ret_tenant, HOSTDIR_TENANT_BYTES, "%s", prefix);
    snprintf(ret_vm, HOSTDIR_VM_BYTES, "%s", vm);
    return true;
}
