// SPDX-License-Identifier: Apache-2.0
// ps.c - `bulkhead ps`: the processes of the running VMs.
#include "verbs/ps.h"
#include <string.h>
#include "base/err.h"
#include "client.h"
#include "host_client.h"
#include "ipc/rules.h"
#include "kin.h"
#include "options/flags.h"
#include "output.h"
#include "process_info.h"
#include "sandbox/layers.h"
#include "sandbox/profile_info.h"
#include "sandbox/seccomp.h"
#include "vcpus.h"
#include "vm_names.h"

enum { MAX_PROCESSES = 128 }; /* more than a VM can have */

/* "16+7": system calls that the filters of its kinds of thread let through; "" without a filter. */
static const char *count_calls(char *dst, size_t size, Bulkhead__Role role)
{
    const char *name = role_name(role);
    const size_t len = strlen(name);

    dst[0] = '\0';
    for (unsigned i = 0; i < SANDBOX_PROFILE__MAX; i++) {
        const struct sandbox_filter *f = sandbox_profile_info((enum sandbox_profile_id)i);
        size_t n = strlen(dst);

        if (f && strncmp(f->name, name, len) == 0 && (f->name[len] == '\0' || f->name[len] == '_'))
            snprintf(dst + n, size - n, "%s%u", n ? "+" : "", f->n_syscalls);
    }
    return dst[0] ? dst : NULL;
}

/* looked: /proc/PID is of that process. */
static json_t *process_row(const Bulkhead__ProcessInfo *p, const struct process_memory *m, int fds,
                           bool looked)
{
    char calls[32];
    json_t *layers = json_array();
    json_t *row =
        json_pack("{s:s,s:s,s:i,s:I,s:s,s:i,s:s,s:s}", "role", role_name(p->role), "name", p->name,
                  "pid", p->pid, "uid", (json_int_t)p->uid, "state", p->state, "restarts",
                  (int)p->restarts, "rights", p->rights, "build_id", p->build_id);

    json_object_set_new(row, "memory_bytes",
                        m->known ? json_integer((json_int_t)m->own_pss) : json_null());
    json_object_set_new(row, "guest_ram_mapped_bytes",
                        m->known ? json_integer((json_int_t)m->guest_mapped) : json_null());
    json_object_set_new(row, "system_calls",
                        count_calls(calls, sizeof(calls), p->role) ? json_string(calls)
                                                                   : json_null());
    for (size_t i = 0; i < p->n_missing_layers; i++)
        json_array_append_new(layers, json_string(p->missing_layers[i]));
    json_object_set_new(row, "missing_layers", layers);
    json_object_set_new(row, "replaced_layer",
                        p->replaced_layer[0] ? json_string(p->replaced_layer) : json_null());
    if (looked && p->role == BULKHEAD__ROLE__ROLE_CORE)
        json_object_set_new(row, "vcpus", vcpus_json(p->pid));
    json_object_set_new(row, "fds", fds >= 0 ? json_integer(fds) : json_null());
    return row;
}

static void process_cells(struct table *table, const Bulkhead__ProcessInfo *p,
                          const struct process_memory *m, int fds)
{
    char pid[16], uid[16], restarts[16], n_fds[16], calls[32];

    snprintf(pid, sizeof(pid), "%d", p->pid);
    snprintf(uid, sizeof(uid), "%u", p->uid);
    snprintf(restarts, sizeof(restarts), "%u", p->restarts);
    snprintf(n_fds, sizeof(n_fds), "%d", fds);
    table_row(table,
              (const char *[]){
                  role_name(p->role), p->name, pid, uid, p->state, restarts,
                  m->known ? say_size(m->own_pss).text : NULL,
                  m->known ? m->guest_mapped ? say_size(m->guest_mapped).text : "none" : NULL,
                  fds >= 0 ? n_fds : NULL, count_calls(calls, sizeof(calls), p->role), p->rights });
}

/* "sandbox: in 7 processes userns replaced by ...; without uid (7), cgroup (7)": for all at once,
 * since hosts differ in it and processes hardly do. */
static void print_layers(const Bulkhead__ProcessList *list)
{
    const char *replaced = NULL, *open = "; without ";
    unsigned n_replaced = 0, counts[32] = { 0 };

    for (size_t i = 0; i < list->n_processes; i++) {
        const Bulkhead__ProcessInfo *p = list->processes[i];

        if (p->replaced_layer[0]) {
            replaced = p->replaced_layer;
            n_replaced++;
        }
        for (size_t j = 0; j < p->n_missing_layers; j++)
            for (unsigned bit = 0; bit < ARRAY_SIZE(counts); bit++) {
                const char *name = sandbox_layer_name(1u << bit);

                counts[bit] += name && strcmp(name, p->missing_layers[j]) == 0;
            }
    }
    if (replaced) {
        say(stdout, "sandbox: in %u process%s %s", n_replaced, n_replaced == 1 ? "" : "es",
            replaced);
    } else {
        open = "sandbox: without ";
    }
    for (unsigned bit = 0; bit < ARRAY_SIZE(counts); bit++)
        if (counts[bit] > 0) {
            say(stdout, "%s%s (%u)", open, sandbox_layer_name(1u << bit), counts[bit]);
            open = ", ";
            replaced = open;
        }
    if (replaced)
        putchar('\n');
}

static int list_one(const char *vm, json_t *all, bool first)
{
    static const char *const titles[] = { "ROLE",  "NAME",     "PID",    "UID",
                                          "STATE", "RESTARTS", "MEMORY", "GUEST-RAM",
                                          "FDS",   "CALLS",    "MAY" };
    Bulkhead__ListProcesses msg = BULKHEAD__LIST_PROCESSES__INIT;
    const Bulkhead__ProcessList *list;
    struct client client = { 0 };
    struct client_answer answer;
    json_t *rows = json_array();
    struct table table;
    struct kin kin;
    uint64_t sum = 0;
    uint64_t passt = 0;
    int r;

    CLIENT_ENVELOPE(request, LIST_PROCESSES, list_processes, &msg);
    r = client_ask(&client, vm, &request, BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST, &answer);
    if (r != EXIT_OK) {
        json_decref(rows);
        return r;
    }
    list = answer.envelope->process_list;
    table_init(&table, ARRAY_SIZE(titles), 0x3ec);
    table_row(&table, titles);
    kin_look(&kin, client.run_dir, list);
    for (size_t i = 0; i < MIN(list->n_processes, (size_t)MAX_PROCESSES); i++) {
        const Bulkhead__ProcessInfo *p = list->processes[i];
        struct process_memory m = { 0 };
        bool is_kin = p->pid > 0 && kin_has(&kin, p->role, p->pid);
        int fds = -1;

        if (is_kin) {
            process_memory(p->pid, &m);
            fds = process_count_fds(p->pid);
        }
        *(p->role == BULKHEAD__ROLE__ROLE_PASST ? &passt : &sum) += m.own_pss;
        process_cells(&table, p, &m, fds);
        json_array_append_new(rows, process_row(p, &m, fds, is_kin));
    }
    if (!all) {
        if (!first)
            putchar('\n');
        say(stdout, "%s: %s, guest RAM %s, %s beside it%s%s\n", vm,
            list->state[0] ? list->state : "unknown", say_size(list->ram_size).text,
            say_size(sum).text, passt ? ", passt " : "", passt ? say_size(passt).text : "");
        table_print(&table, stdout);
        print_layers(list);
    }
    if (all)
        json_array_append_new(all,
                              json_pack("{s:s,s:s,s:I,s:O}", "vm", vm, "state", list->state,
                                        "ram_size", (json_int_t)list->ram_size, "processes", rows));
    json_decref(rows);
    table_deinit(&table);
    client_close(&client);
    return EXIT_OK;
}

static int list_all(json_t *all)
{
    struct vm_names names;
    bool first = true;
    int status = EXIT_OK, r = vm_names_running(&names);

    if (r < 0)
        status = host_failed(r);
    for (size_t i = 0; i < names.n; i++) {
        r = list_one(names.names[i], all, first);
        first = first && r != EXIT_OK;
        status = r != EXIT_OK ? r : status;
    }
    if (names.n == 0 && !all)
        puts("no VM is running");
    vm_names_deinit(&names);
    return status;
}

static int run_ps(int argc, char **argv)
{
    struct simple_args args;
    struct option_error err;
    json_t *all = NULL;
    int r;

    if (flags_parse_simple(argc, argv, &args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (args.help)
        return VERB_HELP;
    if (args.n_operands > 1)
        return say_error(EXIT_BAD_INPUT, "ps takes one VM, or none for all");
    if (args.json)
        all = json_array();
    r = args.n_operands ? list_one(args.operands[0], all, true) : list_all(all);
    if (all && (r == EXIT_OK || args.n_operands == 0))
        return MAX(say_json(all), r);
    json_decref(all);
    return r;
}

const struct verb verb_ps = {
    .name = "ps",
    .usage = "[VM] [--json]",
    .summary = "list running VMs and their processes",
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_ps,
};
