// SPDX-License-Identifier: Apache-2.0
// ls.c - see ls.h.
#include "verbs/ls.h"
#include <string.h>
#include <time.h>
#include "client/rundir.h"
#include "host_client.h"
#include "host_json.h"
#include "options/labels.h"
#include "output.h"
#include "private_vms.h"

enum { LABEL, ALL };

struct args {
    bool help, json, all;
    struct bag bag;
    Bulkhead__KeyValue **labels;
    size_t n_labels;
};

static const struct flag flags[] = {
    { "label", 0, FLAG_ONE, "KEY=VALUE",
      "those with this label; repeat for several, which all must fit", LABEL },
    { "all", 'a', FLAG_ONE, NULL, "stopped ones too", ALL },
    FLAGS_COMMON_JSON,
};
static const struct flag_list list = { flags, ARRAY_SIZE(flags) };

static int on_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct args *a = arg;

    if (id == FLAG_HELP)
        a->help = true;
    else if (id == FLAG_JSON)
        a->json = true;
    else if (id == ALL)
        a->all = true;
    else if (id == LABEL)
        return label_parse(&a->bag, value, &a->labels, &a->n_labels, err);
    else
        return option_fail(err, "ls takes no VM: see bulkhead info %.60s", value);
    return 0;
}

/* ---- gathering ---- */

struct found {
    json_t *vms;
    size_t n_stopped; /* that are not among them */
    bool all, others; /* others: of another tenant than the caller's */
    char tenant[HOSTDIR_TENANT_BYTES];
};

static bool on_vm(void *arg, const Bulkhead__VmStatus *status)
{
    struct found *found = arg;

    if (!found->all && status->state == BULKHEAD__HOST_VM_STATE__HOST_VM_STOPPED) {
        found->n_stopped++;
        return true;
    }
    found->others |= strcmp(status->tenant, found->tenant) != 0;
    json_array_append_new(found->vms, host_status_json(status));
    return true;
}

static int ask_service(struct found *found, const struct args *a)
{
    struct host host = { 0 };
    int r = host_connect(&host);

    if (r == 0)
        r = host_tenant(&host, found->tenant, sizeof(found->tenant));
    if (r == 0)
        r = host_each_vm(&host, a->labels, a->n_labels, HOST_TIMEOUT_MS, on_vm, found);
    host_close(&host);
    if (host_is_none(r) && a->n_labels == 0) /* there need not be one */
        return EXIT_OK;
    return r < 0 ? host_failed(r) : EXIT_OK;
}

static void look_at_private(struct found *found)
{
    static char names[RUNDIR_MAX_VMS][RUNDIR_NAME_BYTES];
    size_t n = rundir_list(names, RUNDIR_MAX_VMS);

    for (size_t i = 0; i < n; i++)
        json_array_append_new(found->vms, private_vm_json(names[i]));
}

/* ---- the table ---- */

enum column { TENANT, NAME, STATE, VCPUS, MEMORY, DEVICES, UP, ENDED, LABELS, N_COLUMNS };

static const char *text_of(const json_t *vm, const char *key)
{
    return json_string_value(json_object_get(vm, key));
}

static json_int_t number_of(const json_t *vm, const char *key)
{
    return json_integer_value(json_object_get(vm, key));
}

static struct say_span age_of(const json_t *vm, const char *key)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return say_span(now.tv_sec - number_of(vm, key) / 1000000000);
}

static void say_devices(char *dst, size_t size, const json_t *vm)
{
    json_int_t disks = number_of(vm, "disks"), nets = number_of(vm, "nets");

    if (!json_is_integer(json_object_get(vm, "disks")))
        snprintf(dst, size, "-");
    else
        snprintf(dst, size, "%lld disk%s, %lld net%s", disks, disks == 1 ? "" : "s", nets,
                 nets == 1 ? "" : "s");
}

static void say_labels(char *dst, size_t size, const json_t *vm)
{
    json_t *labels = json_object_get(vm, "labels"), *value;
    const char *key;
    size_t n = 0;

    dst[0] = '\0';
    json_object_foreach(labels, key, value)
    {
        if (n + 1 < size)
            n += (size_t)snprintf(dst + n, size - n, "%s%s=%s", n ? "," : "", key,
                                  json_string_value(value));
    }
}

static void add_row(struct table *table, const json_t *vm, bool tenants)
{
    char vcpus[16], devices[48], labels[256], ended[160] = "";
    const char *cells[N_COLUMNS] = { NULL };
    const json_t *how = json_object_get(vm, "ended");
    bool private = json_is_true(json_object_get(vm, "private"));
    /* How it ended last is of no interest while it runs again. */
    bool runs = strcmp(text_of(vm, "state"), "stopped") != 0;
    struct say_size memory = say_size((uint64_t)number_of(vm, "memory"));
    struct say_span up = age_of(vm, "started_ns");

    snprintf(vcpus, sizeof(vcpus), "%lld", number_of(vm, "vcpus"));
    say_devices(devices, sizeof(devices), vm);
    say_labels(labels, sizeof(labels), vm);
    if (!runs && json_is_object(how))
        snprintf(ended, sizeof(ended), "%s, %s ago", text_of(how, "text"),
                 age_of(vm, "ended_ns").text);
    cells[TENANT] = private ? NULL : text_of(vm, "tenant");
    cells[NAME] = text_of(vm, "name");
    cells[STATE] = text_of(vm, "state");
    cells[VCPUS] = json_is_integer(json_object_get(vm, "vcpus")) ? vcpus : NULL;
    cells[MEMORY] = json_is_integer(json_object_get(vm, "memory")) ? memory.text : NULL;
    cells[DEVICES] = devices;
    cells[UP] = runs && number_of(vm, "started_ns") ? up.text : NULL;
    cells[ENDED] = ended[0] ? ended : NULL;
    cells[LABELS] = private ? "(private)" : labels[0] ? labels : NULL;
    table_row(table, cells + (tenants ? 0 : 1));
}

static void print(const struct found *found)
{
    static const char *const titles[N_COLUMNS] = { "TENANT",  "NAME", "STATE", "VCPUS", "MEMORY",
                                                   "DEVICES", "UP",   "ENDED", "LABELS" };
    const bool tenants = found->others;
    struct table table;
    json_t *vm;
    size_t i;

    table_init(&table, N_COLUMNS - (tenants ? 0 : 1),
               (1u << VCPUS | 1u << MEMORY | 1u << UP) >> (tenants ? 0 : 1));
    table_row(&table, titles + (tenants ? 0 : 1));
    json_array_foreach(found->vms, i, vm)
    {
        add_row(&table, vm, tenants);
    }
    if (i > 0)
        table_print(&table, stdout);
    else if (found->n_stopped == 0)
        puts("no VM");
    if (found->n_stopped > 0)
        printf("%s%zu stopped: bulkhead ls --all\n", i > 0 ? "\n" : "", found->n_stopped);
    table_deinit(&table);
}

static int run_ls(int argc, char **argv)
{
    struct args a = { 0 };
    struct option_error err;
    struct found found = { 0 };
    int r;

    if (flags_parse(&list, argc, argv, on_flag, &a, &err) < 0) {
        r = say_error(EXIT_BAD_INPUT, "%s", err.text);
    } else if (a.help) {
        r = VERB_HELP;
    } else {
        found.vms = json_array();
        found.all = a.all;
        if (a.n_labels == 0)
            look_at_private(&found);
        r = ask_service(&found, &a);
        if (r == EXIT_OK && a.json)
            r = say_json(json_incref(found.vms));
        else if (r == EXIT_OK)
            print(&found);
        json_decref(found.vms);
    }
    bag_free(&a.bag);
    return r;
}

static void more_of_ls(FILE *out)
{
    fputs("VMs of the host's service that the caller may see, and those that he runs himself\n"
          "(bulkhead run), which are called private.\n",
          out);
}

const struct verb verb_ls = {
    .name = "ls",
    .usage = "[--label KEY=VALUE]... [--all] [--json]",
    .summary = "list VMs",
    .more = more_of_ls,
    .flags = &list,
    .run = run_ls,
};
