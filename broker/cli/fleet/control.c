// SPDX-License-Identifier: Apache-2.0
// control.c - see control.h.
#include "fleet/control.h"
#include <string.h>
#include "options/labels.h"
#include "options/nearest.h"
#include "rights.h"

enum { MAX_NAMES = 64, MAX_DEVICES = 16 };

struct reading {
    struct fleet *fleet;
    struct fleet_vm *vm;
    const char *what;
    Bulkhead__ControlRight *right;
};

static void fault(struct fleet *fleet, const struct fleet_vm *vm, const char *what,
                  const char *field, const char *text)
{
    const char *at = bag_printf(&fleet->bag, "%s.%s", vm->path, field);

    faults_add(&fleet->faults, "%s: %s: %s", lines_place(&vm->lines, &fleet->bag, vm->file, at),
               what, text);
}

static void wrong(struct reading *r, const char *field, const char *fmt, ...) printf_like(3, 4);

/* Said at that field's line, or where it should be. field: "control.vms[0]" */
static void wrong(struct reading *r, const char *field, const char *fmt, ...)
{
    char text[700];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fault(r->fleet, r->vm, r->what, field, bag_printf(&r->fleet->bag, "%s%s", field, text));
}

static const char *numbered(struct reading *r, const char *field, size_t number)
{
    return bag_printf(&r->fleet->bag, "%s[%zu]", field, number);
}

static void check_fields(struct reading *r, const json_t *object)
{
    static const char *const known[] = { "verbs", "vms", "labels" };
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        struct nearest near = nearest_to(key);
        bool found = false;

        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
            found |= strcmp(known[i], key) == 0;
            nearest_try(&near, known[i]);
        }
        if (!found)
            wrong(r, bag_printf(&r->fleet->bag, "control.%.60s", key),
                  ": there is no such field%s%s%s", nearest_found(&near) ? ": is '" : "",
                  nearest_found(&near) ? nearest_found(&near) : "",
                  nearest_found(&near) ? "' meant?" : "");
    }
}

/* ---- verbs ---- */

static void take_verb(struct reading *r, size_t number, const json_t *value)
{
    const char *name = json_string_value(value);
    struct nearest near = nearest_to(name ? name : "");
    Bulkhead__ControlVerb verb = rights_verb_of(name, &near);

    if (verb == BULKHEAD__CONTROL_VERB__CONTROL_NONE) {
        wrong(r, numbered(r, "control.verbs", number), ": '%.60s' is none of %s%s%s%s",
              name ? name : "", rights_verbs, nearest_found(&near) ? ": is '" : "",
              nearest_found(&near) ? nearest_found(&near) : "",
              nearest_found(&near) ? "' meant?" : "");
        return;
    }
    for (size_t i = 0; i < r->right->n_verbs; i++)
        if (r->right->verbs[i] == verb) {
            wrong(r, numbered(r, "control.verbs", number), ": '%s' is given twice", name);
            return;
        }
    r->right->verbs[r->right->n_verbs++] = verb;
}

static void take_verbs(struct reading *r, const json_t *list)
{
    size_t max = bulkhead__control_verb__descriptor.n_values, i;
    json_t *value;

    if (!json_is_array(list) || json_array_size(list) == 0) {
        wrong(r, "control.verbs", ": is to be a list of what it may do: %s", rights_verbs);
        return;
    }
    r->right->verbs = bag_alloc(&r->fleet->bag, max * sizeof(*r->right->verbs));
    json_array_foreach(list, i, value)
    {
        take_verb(r, i, value);
    }
}

/* ---- VMs ---- */

/* Without a tenant, which is its own. NULL: another's. */
static const char *own_name(const struct reading *r, const char *name)
{
    const char *slash = strchr(name, '/'), *mine = r->vm->name ? strchr(r->vm->name, '/') : NULL;

    if (!slash)
        return name;
    return mine && mine - r->vm->name == slash - name &&
                   strncmp(name, r->vm->name, (size_t)(slash - name)) == 0
               ? slash + 1
               : NULL;
}

static void take_vms(struct reading *r, const json_t *list)
{
    json_t *value;
    size_t i;

    if (!list || json_is_null(list))
        return;
    if (!json_is_array(list) || json_array_size(list) > MAX_NAMES) {
        wrong(r, "control.vms", ": is to be a list of at most %d VMs' names", MAX_NAMES);
        return;
    }
    r->right->vms = bag_alloc(&r->fleet->bag, (MAX_NAMES + 1) * sizeof(*r->right->vms));
    json_array_foreach(list, i, value)
    {
        const char *name = json_string_value(value), *own = name ? own_name(r, name) : NULL;

        if (!name)
            wrong(r, numbered(r, "control.vms", i), ": is to be a VM's name");
        else if (!own)
            wrong(r, numbered(r, "control.vms", i),
                  ": '%.80s' is another tenant's: a VM may drive those of its own tenant alone, "
                  "which are named without one",
                  name);
        else
            r->right->vms[r->right->n_vms++] = bag_strndup(&r->fleet->bag, own, strlen(own));
    }
}

static void take_labels(struct reading *r, const json_t *labels)
{
    const char *key;
    json_t *value;

    if (!labels || json_is_null(labels))
        return;
    if (!json_is_object(labels)) {
        wrong(r, "control.labels", ": is to be an object of texts");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        struct option_error err;
        const char *text = json_string_value(value);

        if (!text)
            wrong(r, bag_printf(&r->fleet->bag, "control.labels.%.60s", key),
                  ": is to be a text: write it in quotes");
        else if (label_parse(&r->fleet->bag, bag_printf(&r->fleet->bag, "%s=%s", key, text),
                             &r->right->labels, &r->right->n_labels, &err) < 0)
            wrong(r, "control.labels", ": '%.60s' is no label, or there are too many", key);
    }
}

void control_read(struct fleet *fleet, struct fleet_vm *vm, const char *what, const json_t *control)
{
    struct reading r = { .fleet = fleet, .vm = vm, .what = what };
    const Bulkhead__VmConfig *c = &vm->options.config;
    size_t before = fleet->faults.n;

    if (!control || json_is_null(control))
        return;
    if (!json_is_object(control)) {
        wrong(&r, "control", ": is to be an object: verbs, and vms or labels");
        return;
    }
    r.right = bag_alloc(&fleet->bag, sizeof(*r.right));
    bulkhead__control_right__init(r.right);
    check_fields(&r, control);
    take_verbs(&r, json_object_get(control, "verbs"));
    take_vms(&r, json_object_get(control, "vms"));
    take_labels(&r, json_object_get(control, "labels"));
    if (fleet->faults.n == before && r.right->n_vms == 0 && r.right->n_labels == 0)
        wrong(&r, "control", ": say which VMs it may drive: vms, or labels");
    if (vm->is_whole && !(c->vsock && c->vsock->enabled))
        wrong(&r, "control", ": it has no vsock, over which its guest would ask: give it one");
    vm->control = r.right;
}

/* ---- devices ---- */

/* NULL: there is none of that id. */
static const char *why_not_device(const Bulkhead__VmConfig *c, const char *id, struct nearest *near)
{
    for (size_t i = 0; i < c->n_disks; i++) {
        if (strcmp(c->disks[i]->id, id) == 0)
            return "";
        nearest_try(near, c->disks[i]->id);
    }
    for (size_t i = 0; i < c->n_nets; i++) {
        if (strcmp(c->nets[i]->id, id) == 0)
            return strcmp(c->nets[i]->mode, "user") == 0
                       ? "is a user network, which the service can't give: use a tap"
                       : "";
        nearest_try(near, c->nets[i]->id);
    }
    return NULL;
}

static void take_device(struct reading *r, size_t number, const char *id)
{
    struct nearest near = nearest_to(id ? id : "");
    const char *why = id && *id ? why_not_device(&r->vm->options.config, id, &near) : NULL;
    const char *at = numbered(r, "on_request", number);

    for (size_t i = 0; why && i < r->vm->n_on_request; i++)
        if (strcmp(r->vm->on_request[i], id) == 0)
            why = "is given twice";
    if (!why)
        wrong(r, at, ": '%.40s' is the id of no disk or network in its config%s%s%s", id ? id : "",
              nearest_found(&near) ? ": is '" : "",
              nearest_found(&near) ? nearest_found(&near) : "",
              nearest_found(&near) ? "' meant?" : "");
    else if (*why)
        wrong(r, at, ": '%.40s' %s", id, why);
    else
        r->vm->on_request[r->vm->n_on_request++] = bag_strndup(&r->fleet->bag, id, strlen(id));
}

void control_read_devices(struct fleet *fleet, struct fleet_vm *vm, const char *what,
                          const json_t *list)
{
    struct reading r = { .fleet = fleet, .vm = vm, .what = what };
    const Bulkhead__VmConfig *c = &vm->options.config;
    json_t *value;
    size_t i;

    if (!list || json_is_null(list))
        return;
    if (!json_is_array(list) || json_array_size(list) > MAX_DEVICES) {
        wrong(&r, "on_request", ": is to be a list of at most %d ids of devices", MAX_DEVICES);
        return;
    }
    if (!vm->is_whole)
        return;
    if (json_array_size(list) > 0 && !(c->vsock && c->vsock->enabled))
        wrong(&r, "on_request", ": it has no vsock, over which its guest would ask: give it one");
    vm->on_request = bag_alloc(&fleet->bag, (MAX_DEVICES + 1) * sizeof(*vm->on_request));
    json_array_foreach(list, i, value)
    {
        take_device(&r, i, json_string_value(value));
    }
}

/* ---- all of them together ---- */

static const char *bare(const struct fleet_vm *vm)
{
    const char *slash = strrchr(vm->name, '/');

    return slash ? slash + 1 : vm->name;
}

static bool is_of_one_tenant(const struct fleet_vm *a, const struct fleet_vm *b)
{
    size_t n = (size_t)(bare(a) - a->name);

    return n == (size_t)(bare(b) - b->name) && strncmp(a->name, b->name, n) == 0;
}

static void check_name(struct fleet *fleet, const struct fleet_vm *vm, const char *name)
{
    struct nearest near = nearest_to(name);
    const char *text;

    for (size_t i = 0; i < fleet->n; i++) {
        const struct fleet_vm *other = fleet->vms[i];

        if (!is_of_one_tenant(vm, other))
            continue;
        if (other != vm && strcmp(bare(other), name) == 0)
            return;
        if (other != vm)
            nearest_try(&near, bare(other));
    }
    if (strcmp(bare(vm), name) == 0)
        text = "control.vms: a VM may drive others, not itself";
    else
        text = bag_printf(&fleet->bag,
                          "control.vms: there is no VM '%.80s' of its tenant in the "
                          "manifests%s%s%s",
                          name, nearest_found(&near) ? ": is '" : "",
                          nearest_found(&near) ? nearest_found(&near) : "",
                          nearest_found(&near) ? "' meant?" : "");
    fault(fleet, vm, vm->name, "control.vms", text);
}

void control_check(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n; i++) {
        const Bulkhead__ControlRight *right = fleet->vms[i]->control;

        for (size_t k = 0; right && k < right->n_vms; k++)
            check_name(fleet, fleet->vms[i], right->vms[k]);
    }
}
