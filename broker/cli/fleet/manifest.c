// SPDX-License-Identifier: Apache-2.0
// manifest.c - see manifest.h. A VM whose name is good is in the fleet whatever else is wrong with it, so that others may
// name it.
#include "fleet/manifest.h"
#include <string.h>
#include "client/hostdir.h"
#include "fleet/item.h"
#include "options/nearest.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define SMALL "abcdefghijklmnopqrstuvwxyz0123456789._-"

static bool is_name(const char *text, const char *letters, const char *not_first, size_t max)
{
    size_t len = strlen(text);

    return len > 0 && len <= max && strspn(text, letters) == len && !strchr(not_first, text[0]);
}

static const char *place(struct fleet *fleet, const struct manifest_source *source,
                         const char *path)
{
    return lines_place(&source->lines, &fleet->bag, source->file, path);
}

/* NULL: there is none, or none that may be. */
static const char *name_of(struct fleet *fleet, const struct manifest_source *source,
                           const char *where, const char *tenant, const json_t *item)
{
    const json_t *value = json_object_get(item, "name");
    const char *name = json_string_value(value);
    const char *at = place(fleet, source, bag_printf(&fleet->bag, "%s.name", where));

    if (!value || json_is_null(value)) {
        faults_add(&fleet->faults, "%s: %s: name is missing: what the other verbs are to call it",
                   at, where);
    } else if (!name || !is_name(name, LETTERS, ".-", HOSTDIR_VM_BYTES - 1)) {
        faults_add(
            &fleet->faults,
            "%s: %s: name: '%.60s' is no name: 1 to 48 letters, digits, '.', '_' or '-', not "
            "starting with '.' or '-'",
            at, where, name ? name : "");
        name = NULL;
    }
    if (!name)
        return NULL;
    return bag_printf(&fleet->bag, "%s%s%s", tenant ? tenant : "", tenant ? "/" : "", name);
}

/* False: it may not be. *ret_tenant NULL: the caller's. where "": all of the file. */
static bool take_tenant(struct fleet *fleet, const struct manifest_source *source,
                        const char *where, const json_t *object, const char **ret_tenant)
{
    const json_t *value = json_object_get(object, "tenant");
    const char *tenant = json_string_value(value), *dot = *where ? "." : "",
               *colon = *where ? ": " : "";

    if (!value || json_is_null(value))
        return true;
    if (!tenant || !is_name(tenant, SMALL, "._-", HOSTDIR_TENANT_BYTES - 1)) {
        faults_add(&fleet->faults,
                   "%s: %s%stenant: '%.60s' is no tenant's name: 1 to 32 small letters, digits, "
                   "'.', '_' or '-'",
                   place(fleet, source, bag_printf(&fleet->bag, "%s%stenant", where, dot)), where,
                   colon, tenant ? tenant : "");
        return false;
    }
    *ret_tenant = bag_strndup(&fleet->bag, tenant, strlen(tenant));
    return true;
}

static void add_vm(struct fleet *fleet, const struct manifest_source *source, const char *tenant,
                   size_t number, const json_t *item)
{
    const char *where = bag_printf(&fleet->bag, "vms[%zu]", number);
    void **array = (void **)fleet->vms;
    struct fleet_vm *vm;
    const char *name;

    if (!json_is_object(item)) {
        faults_add(&fleet->faults, "%s: %s: is to be an object: name, config, after, ready, ...",
                   place(fleet, source, where), where);
        return;
    }
    if (!take_tenant(fleet, source, where, item, &tenant))
        return;
    name = name_of(fleet, source, where, tenant, item);
    if (fleet->n == FLEET_MAX_VMS) {
        faults_add(&fleet->faults, "%s: %s: more than %d VMs", place(fleet, source, where), where,
                   FLEET_MAX_VMS);
        return;
    }
    vm = bag_alloc(&fleet->bag, sizeof(*vm));
    vm->file = bag_strndup(&fleet->bag, source->file, strlen(source->file));
    vm->lines = lines_ref(&source->lines);
    vm->path = where;
    vm->name = name;
    item_read(fleet, vm, source, name ? name : where, item);
    if (!name) {
        item_deinit(vm);
        return;
    }
    bag_append(&fleet->bag, &array, &fleet->n, vm);
    fleet->vms = (struct fleet_vm **)array;
}

static void check_fields(struct fleet *fleet, const struct manifest_source *source,
                         const json_t *root)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        struct nearest near = nearest_to(key);

        if (strcmp(key, "vms") == 0 || strcmp(key, "tenant") == 0)
            continue;
        nearest_try(&near, "vms");
        nearest_try(&near, "tenant");
        faults_add(&fleet->faults, "%s: %.60s: there is no such field%s%s%s",
                   place(fleet, source, key), key, nearest_found(&near) ? ": is '" : "",
                   nearest_found(&near) ? nearest_found(&near) : "",
                   nearest_found(&near) ? "' meant?" : "");
    }
}

void manifest_read(struct fleet *fleet, const struct manifest_source *source, const json_t *root)
{
    const char *tenant = NULL;
    json_t *item, *vms;
    size_t i;

    if (!json_is_object(root)) {
        faults_add(&fleet->faults, "%s: is to be an object: vms, and perhaps tenant",
                   place(fleet, source, ""));
        return;
    }
    check_fields(fleet, source, root);
    vms = json_object_get(root, "vms");
    if (!take_tenant(fleet, source, "", root, &tenant))
        return;
    if (vms && !json_is_null(vms) && !json_is_array(vms))
        faults_add(&fleet->faults, "%s: vms: is to be a list", place(fleet, source, "vms"));
    else if (!vms)
        faults_add(&fleet->faults, "%s: vms is missing: the list of VMs", place(fleet, source, ""));
    json_array_foreach(vms, i, item)
    {
        add_vm(fleet, source, tenant, i, item);
    }
}

void manifest_free(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n; i++)
        item_deinit(fleet->vms[i]);
    faults_deinit(&fleet->faults);
    bag_free(&fleet->bag);
    *fleet = (struct fleet){ 0 };
}
