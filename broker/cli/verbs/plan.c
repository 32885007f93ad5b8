// SPDX-License-Identifier: Apache-2.0
// plan.c - `bulkhead plan`: what run would start, and with which rights.
#include "verbs/plan.h"
#include <stdio.h>
#include <string.h>
#include "client.h"
#include "ipc/cpu_bits.h"
#include "ipc/rules.h"
#include "messages_json.h"
#include "options/run_flags.h"
#include "output.h"
#include "sandbox/profile_info.h"
#include "sandbox/seccomp.h"

static const struct sandbox_filter *find_profile(const char *name)
{
    for (unsigned i = 0; i < SANDBOX_PROFILE__MAX; i++) {
        const struct sandbox_filter *info = sandbox_profile_info((enum sandbox_profile_id)i);

        if (info && strcmp(info->name, name) == 0)
            return info;
    }
    return NULL;
}

static void print_group(const Bulkhead__ProcessPlan *p)
{
    say(stdout, "  cgroup      %s\n", p->cgroup);
    if (p->pids_max != 0)
        say(stdout, "  limit       pids.max=%u\n", p->pids_max);
    if (p->memory_high != 0)
        say(stdout, "  limit       memory.high=%llu\n", (unsigned long long)p->memory_high);
    if (p->memory_max != 0)
        say(stdout, "  limit       memory.max=%llu\n", (unsigned long long)p->memory_max);
}

static void print_process(const Bulkhead__ProcessPlan *p)
{
    say(stdout, "\n%s  %s (%s)%s\n", p->name, p->program, role_name(p->role),
        p->survives_boot ? "" : ", gone before the guest's first instruction");
    if (p->uid != 0 || p->gid != 0 || p->n_namespaces > 0)
        say(stdout, "  uid, gid    %u, %u\n", p->uid, p->gid);
    if (p->n_namespaces > 0) {
        say(stdout, "  namespaces ");
        for (size_t i = 0; i < p->n_namespaces; i++)
            say(stdout, " %s", p->namespaces[i]);
        putchar('\n');
    }
    if (p->root[0])
        say(stdout, "  root        %s\n", p->root);
    if (p->cgroup[0])
        print_group(p);
    say(stdout, "  guest RAM   %s%s\n", p->ram_mapped ? say_size(p->ram_mapped).text : "none",
        p->ram_mapped ? p->ram_writable ? ", read and write" : ", read only" : "");
    for (size_t i = 0; i < p->n_affinity; i++) {
        char cpus[CPU_BITS_TEXT_BYTES];

        say(stdout, "  vCPU %-6u on host CPUs %s\n", p->affinity[i]->vcpu,
            cpu_bits_say(&p->affinity[i]->host_cpus, cpus, sizeof(cpus)));
    }
    for (size_t i = 0; i < p->n_profiles; i++) {
        const struct sandbox_filter *info = find_profile(p->profiles[i]);

        say(stdout, "  seccomp     %s", p->profiles[i]);
        if (info)
            say(stdout, ": %u system calls", info->n_syscalls);
        putchar('\n');
    }
    for (size_t i = 0; i < p->n_rlimits; i++)
        say(stdout, "  limit       %s=%s\n", p->rlimits[i]->key, p->rlimits[i]->value);
    for (size_t i = 0; i < p->n_fds; i++) {
        const Bulkhead__FdPlan *fd = p->fds[i];
        char number[16];

        snprintf(number, sizeof(number), fd->fd < 0 ? "-" : "%d", fd->fd);
        say(stdout, "  fd %3s %2ux  %-9s %s: %s%s\n", number, fd->count ? fd->count : 1, fd->type,
            fd->what, fd->why, fd->kept ? "" : " (closed after use)");
    }
}

static void print_plan(const Bulkhead__VmPlan *plan)
{
    say(stdout, "%s: %zu processes\n", plan->vm, plan->n_processes);
    if (plan->cgroup[0])
        say(stdout, "  cgroup      %s\n", plan->cgroup);
    for (size_t i = 0; i < plan->n_limits; i++)
        say(stdout, "  limit       %s=%s\n", plan->limits[i]->key, plan->limits[i]->value);
    for (size_t i = 0; i < plan->n_processes; i++)
        print_process(plan->processes[i]);
    for (size_t i = 0; i < plan->n_notes; i++)
        say(stdout, i == 0 ? "\nnote: %s\n" : "note: %s\n", plan->notes[i]);
}

static int show(const struct client_answer *answer, bool json)
{
    if (answer->envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY &&
        answer->envelope->reply->error != 0)
        return client_reply(answer->envelope->reply);
    if (answer->envelope->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN ||
        !answer->envelope->plan->plan)
        return say_error(EXIT_HOST, "the broker gave no plan");
    if (json)
        return say_json(plan_json(answer->envelope->plan->plan));
    print_plan(answer->envelope->plan->plan);
    return EXIT_OK;
}

static int plan_vm(const struct vm_options *options)
{
    Bulkhead__RunVm msg = BULKHEAD__RUN_VM__INIT;
    Bulkhead__VmConfig config = options->config;
    struct client client = { 0 };
    struct client_answer answer;
    int r = client_start_broker(&client, -1);

    if (r < 0)
        return client_failed(r);
    CLIENT_ENVELOPE(request, RUN_VM, run_vm, &msg);
    msg.config = &config;
    msg.plan_only = 1;
    msg.has_tty = 0;
    r = client_call(&client, &request, &answer);
    r = r < 0 ? client_failed(r) : show(&answer, options->json);
    client_close(&client);
    return r;
}

/* Of a VM that runs: what it was started with. */
static int plan_running(const char *vm, bool json)
{
    Bulkhead__GetPlan msg = BULKHEAD__GET_PLAN__INIT;
    struct client client = { 0 };
    struct client_answer answer;
    int r;

    CLIENT_ENVELOPE(request, GET_PLAN, get_plan, &msg);
    r = client_ask(&client, vm, &request, BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN, &answer);
    if (r != EXIT_OK)
        return r;
    r = show(&answer, json);
    client_close(&client);
    return r;
}

static int run_plan(int argc, char **argv)
{
    struct vm_options options;
    struct simple_args simple;
    struct option_error err;
    int r;

    if (flags_parse_simple(argc, argv, &simple, &err) == 0 && simple.n_operands == 1 &&
        !simple.help)
        return plan_running(simple.operands[0], simple.json);
    if (vm_options_parse(&options, argc, argv, &err) < 0)
        r = say_error(EXIT_BAD_INPUT, "%s", err.text);
    else if (options.help)
        r = VERB_HELP;
    else
        r = plan_vm(&options);
    vm_options_deinit(&options);
    return r;
}

const struct verb verb_plan = {
    .name = "plan",
    .usage = "--kernel PATH [FLAGS] [--json] | VM [--json]",
    .summary = "print the processes, descriptors and rights that run would start, or a VM has",
    .more = vm_options_print_values,
    .operands = { OPERAND_VM },
    .flags = &vm_options_flags,
    .run = run_plan,
};
