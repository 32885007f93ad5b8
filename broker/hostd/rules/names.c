/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - see names.h. */
#include "hostd/rules/names.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LABEL_BYTES = 63 };

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-"

bool names_is_label(const char *key)
{
    size_t len = strlen(key);

    return len > 0 && len <= MAX_LABEL_BYTES && strspn(key, LETTERS) == len;
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

    if (len >= sizeof prefix || !hostdir_is_vm(vm))
        return false;
    memcpy(prefix, slash ? name : tenant, len);
    prefix[len] = '\0';
    if (!hostdir_is_tenant(prefix))
        return false;
    snprintf(ret_tenant, HOSTDIR_TENANT_BYTES, "%s", prefix);
    snprintf(ret_vm, HOSTDIR_VM_BYTES, "%s", vm);
    return true;
}
