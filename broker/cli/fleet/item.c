// SPDX-License-Identifier: Apache-2.0
// item.c - see item.h. Each field is looked at whatever is wrong with the others; of the configuration each section.
#include "fleet/item.h"
#include <regex.h>
#include <string.h>
#include "fleet/control.h"
#include "options/labels.h"
#include "options/nearest.h"
#include "options/paths.h"
#include "options/run_flags.h"
#include "vmconfig/translate.h"

enum { MAX_TIMEOUT_S = 86400, MAX_AFTER = 256, MAX_READY_BYTES = 255 };
enum { MAX_TRIED = 256 }; /* more than a VM has flags and devices */

struct reading {
    struct fleet *fleet;
    struct fleet_vm *vm;
    const struct manifest_source *source;
    const char *what;
};

static void wrong(struct reading *r, const char *field, const char *fmt, ...) printf_like(3, 4);

/* Said at that field's line, or where it should be. */
static void wrong(struct reading *r, const char *field, const char *fmt, ...)
{
    struct bag *bag = &r->fleet->bag;
    char text[700];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    faults_add(&r->fleet->faults, "%s: %s: %s",
               lines_place(&r->source->lines, bag, r->source->file,
                           bag_printf(bag, "%s.%s", r->vm->path, field)),
               r->what, text);
}

static bool is_absent(const json_t *value)
{
    return !value || json_is_null(value);
}

/* Names all fields that are none of these. */
static void check_fields(struct reading *r, const char *where, const json_t *object,
                         const char *const *known)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        struct nearest near = nearest_to(key);
        bool found = false;

        for (size_t i = 0; known[i]; i++) {
            found |= strcmp(known[i], key) == 0;
            nearest_try(&near, known[i]);
        }
        if (!found)
            wrong(r, bag_printf(&r->fleet->bag, "%s%s", where, key),
                  "%s%.60s: there is no such field%s%s%s", where, key,
                  nearest_found(&near) ? ": is '" : "",
                  nearest_found(&near) ? nearest_found(&near) : "",
                  nearest_found(&near) ? "' meant?" : "");
    }
}

/* ---- config ---- */

/* Each section by itself first, to name what is wrong with every one. */
static bool check_sections(struct reading *r, const struct config_source *source,
                           const json_t *config)
{
    size_t before = r->fleet->faults.n;
    struct option_error err;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)config, key, value)
    {
        json_t *section = json_object();
        struct config_flags flags;

        json_object_set(section, key, value);
        if (translate_config(source, section, &r->vm->options.bag, &flags, &err) < 0)
            faults_add(&r->fleet->faults, "%s", err.text);
        json_decref(section);
    }
    return r->fleet->faults.n == before;
}

/* Where the first of the flags stands that is refused in these words without those behind it. */
static const char *refused_at(const struct config_flags *flags, const char *text)
{
    for (int n = 1; n <= MIN(flags->argc, MAX_TRIED); n++) {
        struct vm_options o;
        struct option_error err;
        bool same = vm_options_parse(&o, n, flags->argv, &err) < 0 && strcmp(err.text, text) == 0;

        vm_options_deinit(&o);
        if (same)
            return flags->where[n - 1];
    }
    return flags->where[0];
}

/* A name in it need not be there; where the file is the VM's alone it is to be the same. */
static void read_config(struct reading *r, const struct config_source *source, const char *dir,
                        const json_t *config)
{
    const char *given = json_string_value(json_object_get(config, "name"));
    const char *bare = strrchr(r->vm->name ? r->vm->name : "", '/');
    struct vm_options *o = &r->vm->options;
    struct bag bag = { 0 };
    struct option_error err;
    struct config_flags flags;
    char **all;

    bare = bare ? bare + 1 : r->vm->name;
    if (!json_is_object(config)) {
        faults_add(&r->fleet->faults, "%s: is to be an object: payload, cpus, memory, disks, ...",
                   translate_place(source, &bag, source->path));
        bag_free(&bag);
        return;
    }
    if (!r->vm->has_file && bare && given && strcmp(given, bare) != 0)
        wrong(r, "config.name", "config.name: '%.60s' is not the name above: leave it out", given);
    if (!check_sections(r, source, config) ||
        translate_config(source, config, &bag, &flags, &err) < 0) {
        bag_free(&bag);
        return;
    }
    all = bag_alloc(&bag, ((size_t)flags.argc + 2) * sizeof(*all));
    memcpy(all, flags.argv, (size_t)flags.argc * sizeof(*all));
    flags.argv[0] = all[0] = bag_printf(&bag, "create");
    all[flags.argc] = bag_printf(&bag, "--name=%s", bare ? bare : "unnamed");
    bag_free(&o->bag);
    if (vm_options_parse(o, flags.argc + 1, all, &err) < 0) {
        faults_add(&r->fleet->faults, "%s: %s",
                   translate_place(source, &bag, refused_at(&flags, err.text)), err.text);
    } else {
        vm_paths_make_absolute(o, dir);
        r->vm->is_whole = true;
    }
    bag_free(&bag);
}

/* That of a file of its own; messages name both files. */
static void read_config_file(struct reading *r, const char *path)
{
    struct bag *bag = &r->fleet->bag;
    struct config_source source = { .path = "" };
    struct option_error err;
    const char *dir = NULL, *at = bag_printf(bag, "%s.config_file", r->vm->path);
    json_t *loaded = r->source->load(r->source->dir, path, bag, &dir, &source.lines, &err);

    if (loaded) {
        at = lines_place(&r->source->lines, bag, r->source->file, at);
        source.file = bag_printf(bag, "%s: %s: %s", at, r->what, path);
        read_config(r, &source, dir, loaded);
    } else {
        wrong(r, "config_file", "config_file: %s", err.text);
    }
    lines_deinit(&source.lines);
    json_decref(loaded);
}

static void take_config(struct reading *r, const json_t *item)
{
    const json_t *config = json_object_get(item, "config"),
                 *file = json_object_get(item, "config_file");
    struct bag *bag = &r->fleet->bag;
    struct config_source source = { .file = r->source->file, .lines = r->source->lines };

    r->vm->has_file = !is_absent(file);
    if (is_absent(config) == is_absent(file)) {
        wrong(r, "config_file",
              is_absent(file) ? "config is missing, or config_file: what the VM is made of"
                              : "config and config_file: give one of them");
    } else if (is_absent(file)) {
        source.what = bag_printf(bag, "%s: config", r->what);
        source.path = bag_printf(bag, "%s.config", r->vm->path);
        read_config(r, &source, r->source->dir, config);
    } else if (!json_is_string(file)) {
        wrong(r, "config_file", "config_file: is to be a text, the path of a file");
    } else {
        read_config_file(r, json_string_value(file));
    }
}

/* ---- labels, autostart ---- */

static void take_labels(struct reading *r, const json_t *labels)
{
    static const char prefix[] = "--label: ";
    struct vm_options *o = &r->vm->options;
    const char *key;
    json_t *value;

    if (is_absent(labels))
        return;
    if (!json_is_object(labels)) {
        wrong(r, "labels", "labels: is to be an object of texts");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        struct option_error err;
        const char *text;

        if (!json_is_string(value)) {
            wrong(r, bag_printf(&o->bag, "labels.%s", key),
                  "labels.%.60s: is to be a text: write it in quotes", key);
            continue;
        }
        text = bag_printf(&o->bag, "%s=%s", key, json_string_value(value));
        if (label_parse(&o->bag, text, &o->labels, &o->n_labels, &err) < 0)
            wrong(r, bag_printf(&o->bag, "labels.%s", key), "labels: %s",
                  strncmp(err.text, prefix, sizeof(prefix) - 1) == 0 ? err.text + sizeof(prefix) - 1
                                                                     : err.text);
    }
}

static void take_autostart(struct reading *r, const json_t *value)
{
    if (is_absent(value))
        return;
    if (!json_is_boolean(value))
        wrong(r, "autostart", "autostart: is to be true or false");
    else if (json_is_true(value) && r->vm->n_after > 0)
        wrong(r, "autostart",
              "autostart: the service would start it without waiting for '%s': leave it out, "
              "bulkhead fleet up starts it in its turn",
              r->vm->after[0].name);
    else
        r->vm->options.autostart = json_is_true(value);
}

/* ---- after ---- */

/* "db" of the same tenant, or "acme/db". */
static const char *whole_name(struct reading *r, const char *name)
{
    const char *slash = r->vm->name ? strchr(r->vm->name, '/') : NULL;

    if (!slash || strchr(name, '/'))
        return bag_strndup(&r->fleet->bag, name, strlen(name));
    return bag_printf(&r->fleet->bag, "%.*s/%s", (int)(slash - r->vm->name), r->vm->name, name);
}

static void take_one_after(struct reading *r, size_t number, const json_t *value,
                           struct fleet_after *ret_after)
{
    static const char *const known[] = { "vm", "when", NULL };
    const json_t *vm = value, *when = NULL;
    char where[40], when_at[48];

    snprintf(where, sizeof(where), "after[%zu].", number);
    snprintf(when_at, sizeof(when_at), "%swhen", where);
    ret_after->number = number;
    if (json_is_object(value)) {
        check_fields(r, where, value, known);
        vm = json_object_get(value, "vm");
        when = json_object_get(value, "when");
    }
    if (!json_is_string(vm)) {
        wrong(r, where, "after[%zu]: is to be a VM's name, or an object: vm, when", number);
        return;
    }
    if (!is_absent(when)) {
        const char *word = json_string_value(when);

        if (word && strcmp(word, "started") == 0)
            ret_after->when = WHEN_STARTED;
        else if (word && strcmp(word, "ready") == 0)
            ret_after->when = WHEN_READY;
        else
            wrong(r, when_at, "%s: is to be started or ready", when_at);
    }
    ret_after->name = whole_name(r, json_string_value(vm));
}

static void take_after(struct reading *r, const json_t *list)
{
    struct fleet_vm *vm = r->vm;
    json_t *value;
    size_t i;

    if (is_absent(list))
        return;
    if (!json_is_array(list)) {
        wrong(r, "after", "after: is to be a list of VMs");
        return;
    }
    if (json_array_size(list) > MAX_AFTER) {
        wrong(r, "after", "after: more than %d", MAX_AFTER);
        return;
    }
    vm->after = bag_alloc(&r->fleet->bag, (json_array_size(list) + 1) * sizeof(*vm->after));
    json_array_foreach(list, i, value)
    {
        struct fleet_after *after = &vm->after[vm->n_after];

        take_one_after(r, i, value, after);
        for (size_t k = 0; after->name && k < vm->n_after; k++)
            if (strcmp(vm->after[k].name, after->name) == 0)
                wrong(r, bag_printf(&r->fleet->bag, "after[%zu]", i),
                      "after[%zu]: '%s' is given twice", i, after->name);
        vm->n_after += after->name != NULL;
    }
}

/* ---- ready ---- */

static void take_text(struct reading *r, enum ready_kind kind, const char *field,
                      const json_t *value)
{
    const char *text = json_string_value(value);
    const char *at = bag_printf(&r->fleet->bag, "ready.%s", field);
    regex_t regex;
    char why[128];
    int error;

    if (!text || !*text || strlen(text) > MAX_READY_BYTES || strchr(text, '\n')) {
        wrong(r, at, "%s: is to be a text of 1 to %d bytes, within one line", at, MAX_READY_BYTES);
        return;
    }
    if (kind == READY_REGEX) {
        error = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
        if (error != 0) {
            regerror(error, &regex, why, sizeof(why));
            wrong(r, at, "%s: '%s': %s", at, text, why);
            return;
        }
        regfree(&regex);
        /* What a guest writes could keep these busy for ever. */
        for (const char *p = text; (p = strchr(p, '\\')) && p[1]; p += 2)
            if (p[1] >= '1' && p[1] <= '9') {
                wrong(r, at, "%s: '%s': no back references", at, text);
                return;
            }
    }
    r->vm->ready.kind = kind;
    r->vm->ready.text = bag_strndup(&r->fleet->bag, text, strlen(text));
}

static bool take_number(struct reading *r, const char *at, const json_t *value, json_int_t max,
                        uint32_t *dst)
{
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > max) {
        wrong(r, at, "%s: is to be a number from 1 to %lld", at, (long long)max);
        return false;
    }
    *dst = (uint32_t)json_integer_value(value);
    return true;
}

/* What its configuration must have for that. */
static void check_ready(struct reading *r)
{
    const Bulkhead__VmConfig *c = &r->vm->options.config;

    if (!r->vm->is_whole)
        return;
    if (r->vm->ready.kind == READY_VSOCK && !(c->vsock && c->vsock->enabled))
        wrong(r, "ready.vsock", "ready.vsock: it has no vsock: give it one, or another condition");
    if ((r->vm->ready.kind == READY_TEXT || r->vm->ready.kind == READY_REGEX) &&
        !vm_options_uses_tty(&r->vm->options))
        wrong(r, r->vm->ready.kind == READY_TEXT ? "ready.console" : "ready.console_regex",
              "ready.console: neither its serial port nor its console is one of mode tty, which "
              "the service reads");
}

static void take_ready(struct reading *r, const json_t *ready)
{
    static const char *const known[] = { "console", "console_regex", "vsock", "timeout_s", NULL };
    const json_t *console = json_object_get(ready, "console"),
                 *regex = json_object_get(ready, "console_regex"),
                 *vsock = json_object_get(ready, "vsock"),
                 *timeout = json_object_get(ready, "timeout_s");
    int given = !is_absent(console) + !is_absent(regex) + !is_absent(vsock);

    r->vm->ready.timeout_s = FLEET_TIMEOUT_S;
    if (is_absent(ready))
        return;
    if (!json_is_object(ready)) {
        wrong(r, "ready",
              "ready: is to be an object: console, console_regex or vsock, and timeout_s");
        return;
    }
    check_fields(r, "ready.", ready, known);
    if (given != 1) {
        wrong(r, "ready", "ready: give one of console, console_regex and vsock");
        return;
    }
    if (!is_absent(console))
        take_text(r, READY_TEXT, "console", console);
    else if (!is_absent(regex))
        take_text(r, READY_REGEX, "console_regex", regex);
    else if (take_number(r, "ready.vsock", vsock, UINT32_MAX - 1, &r->vm->ready.port))
        r->vm->ready.kind = READY_VSOCK;
    if (!is_absent(timeout))
        take_number(r, "ready.timeout_s", timeout, MAX_TIMEOUT_S, &r->vm->ready.timeout_s);
    check_ready(r);
}

void item_read(struct fleet *fleet, struct fleet_vm *vm, const struct manifest_source *source,
               const char *what, const json_t *item)
{
    static const char *const known[] = { "name",   "tenant",  "config",  "config_file",
                                         "labels", "after",   "ready",   "autostart",
                                         "cpus",   "restart", "control", "on_request",
                                         NULL };
    struct reading r = { .fleet = fleet, .vm = vm, .source = source, .what = what };
    const json_t *restart = json_object_get(item, "restart");
    const char *word = json_string_value(restart);

    check_fields(&r, "", item, known);
    take_config(&r, item);
    take_labels(&r, json_object_get(item, "labels"));
    take_after(&r, json_object_get(item, "after"));
    take_autostart(&r, json_object_get(item, "autostart"));
    take_ready(&r, json_object_get(item, "ready"));
    control_read(fleet, vm, what, json_object_get(item, "control"));
    control_read_devices(fleet, vm, what, json_object_get(item, "on_request"));
    if (!is_absent(json_object_get(item, "cpus")))
        wrong(&r, "cpus",
              "cpus: which of the host's run it is for its config to say: config.cpus.affinity");
    if (!is_absent(restart) && !json_is_false(restart) && !(word && strcmp(word, "no") == 0))
        wrong(&r, "restart", "restart: a VM that has ended is not started again yet: leave it out");
}

void item_deinit(struct fleet_vm *vm)
{
    vm_options_deinit(&vm->options);
    lines_deinit(&vm->lines);
}
