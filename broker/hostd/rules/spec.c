/* SPDX-License-Identifier: Apache-2.0 */
/* spec.c - see spec.h. Each check is one line for who asked: what, and what instead. */
#include "hostd/rules/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/allowed.h"
#include "config/checks.h"
#include "config/config.h"
#include "hostd/rules/names.h"
#include "hostd/rules/tenants.h"

enum { MAX_LABEL_VALUE = 255 };

Bulkhead__VmSpec *spec_copy(const Bulkhead__VmSpec *from)
{
    size_t len = bulkhead__vm_spec__get_packed_size(from);
    uint8_t *bytes = malloc(len + 1);
    Bulkhead__VmSpec *copy;

    if (!bytes)
        return NULL;
    bulkhead__vm_spec__pack(from, bytes);
    copy = bulkhead__vm_spec__unpack(NULL, len, bytes);
    free(bytes);
    if (copy && copy->config && config_fill(copy->config, "") == 0)
        return copy;
    if (copy)
        bulkhead__vm_spec__free_unpacked(copy, NULL);
    return NULL;
}

static int check_labels(const Bulkhead__VmSpec *spec, struct fault *f)
{
    char shown[NAMES_SHOWN_BYTES];

    if (spec->n_labels > SPEC_MAX_LABELS)
        return fault_input(f, "%zu labels are over the limit: give at most %d", spec->n_labels,
                           SPEC_MAX_LABELS);
    for (size_t i = 0; i < spec->n_labels; i++) {
        const Bulkhead__KeyValue *l = spec->labels[i];

        if (!names_is_label(l->key))
            return fault_input(f,
                               "label '%s' is not usable: 1 to 63 letters, digits, '.', '_', '/' "
                               "or '-'",
                               names_show(l->key, shown));
        if (strlen(l->value) > MAX_LABEL_VALUE)
            return fault_input(f, "label %s: its value has %zu bytes: use at most %d", l->key,
                               strlen(l->value), MAX_LABEL_VALUE);
        for (const char *p = l->value; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                return fault_input(f, "label %s: its value has a control character: remove it",
                                   l->key);
        if (spec_label(spec, l->key) != l->value)
            return fault_input(f, "label %s is given twice: give it once", l->key);
    }
    return 0;
}

const char *spec_label(const Bulkhead__VmSpec *spec, const char *key)
{
    const char *value = NULL;

    for (size_t i = 0; i < spec->n_labels; i++)
        if (strcmp(spec->labels[i]->key, key) == 0)
            value = spec->labels[i]->value;
    return value;
}

/* ---- paths ---- */

static int refuse_path(const char *what, const char *path, const Bulkhead__Tenant *t,
                       struct fault *f)
{
    char shown[NAMES_SHOWN_BYTES];

    names_show(path, shown);
    if (path[0] != '/')
        fault_input(f, "%s: path '%s' is not absolute: begin it with '/'", what, shown);
    else if (t->n_trees == 0)
        fault_input(f, "%s: tenant %s may use no files: it has no trees", what, t->name);
    else
        fault_input(f,
                    "%s: %s is not below %s%s: put it there, and name it without '.', '..' or '//'",
                    what, shown, t->trees[0], t->n_trees > 1 ? " or another of the trees" : "");
    return -EINVAL;
}

static int check_path(const char *what, const char *path, const Bulkhead__Tenant *t,
                      struct fault *f)
{
    return path[0] == '\0' || tenants_allow_path(t, path) ? 0 : refuse_path(what, path, t, f);
}

static int check_paths(const Bulkhead__VmConfig *c, const Bulkhead__Tenant *t, struct fault *f)
{
    if (check_path("the kernel", c->kernel, t, f) < 0 ||
        check_path("the initramfs", c->initramfs, t, f) < 0)
        return -EINVAL;
    for (size_t i = 0; i < c->n_disks; i++)
        if (check_path(c->disks[i]->id, c->disks[i]->path, t, f) < 0)
            return -EINVAL;
    if (check_path("the serial port", c->serial->path, t, f) < 0 ||
        check_path("the console", c->console->path, t, f) < 0)
        return -EINVAL;
    return c->vsock->enabled ? check_path("vsock", c->vsock->socket, t, f) : 0;
}

/* ---- networks ---- */

bool spec_may_have_user_net(const Bulkhead__Tenant *t)
{
    return t && (t->user_net || t->host);
}

struct cost spec_cost(const Bulkhead__VmConfig *c)
{
    struct cost cost = { .vcpus = c->cpus->boot_vcpus, .memory = c->memory->size };

    cost.disks = (uint32_t)c->n_disks;
    return cost;
}

int spec_check(const struct host *host, const Bulkhead__VmSpec *spec, const Bulkhead__Tenant *t,
               struct fault *f)
{
    const struct validate_host limits = { .memory_bytes = host->memory_bytes };
    const struct allowed allowed = tenants_allowed(t);
    const Bulkhead__VmConfig *c = spec->config;
    size_t bytes = bulkhead__vm_spec__get_packed_size(spec);

    if (bytes > SPEC_MAX_BYTES)
        return fault_input(f, "the description has %zu bytes: %d at most, use shorter paths", bytes,
                           SPEC_MAX_BYTES);
    if (validate_config(c, &limits, f) < 0 || check_labels(spec, f) < 0 || check_paths(c, t, f) < 0)
        return -EINVAL;
    return allowed_check(c, &allowed, f);
}
