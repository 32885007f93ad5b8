// SPDX-License-Identifier: Apache-2.0
// audit.c - `bulkhead audit`: prints what the audit of a VM found.
#include "verbs/audit.h"
#include <string.h>
#include "audit/vm.h"
#include "options/flags.h"
#include "output.h"
#include "verbs/operands.h"

static json_t *finding_json(const struct audit_finding *f)
{
    static const char *const words[] = { "ok", "drift", "unreadable", "note" };

    return json_pack("{s:s,s:s,s:s,s:s}", "process", f->process, "check", f->check, "verdict",
                     words[f->verdict], "text", f->text);
}

static int show_json(const char *vm, const struct audit *audit, size_t n_processes)
{
    json_t *all = json_array();
    size_t counts[4];

    audit_count(audit, counts);
    for (size_t i = 0; i < audit->n_findings; i++)
        json_array_append_new(all, finding_json(&audit->findings[i]));
    return say_json(json_pack("{s:s,s:i,s:i,s:i,s:i,s:o}", "vm", vm, "processes", (int)n_processes,
                              "passed", (int)counts[AUDIT_OK], "drift", (int)counts[AUDIT_DRIFT],
                              "unreadable", (int)counts[AUDIT_UNREADABLE], "findings", all));
}

static void show_text(const char *vm, const struct audit *audit, size_t n_processes)
{
    static const char *const words[] = { "ok", "DRIFT", "unread", "note" };
    size_t counts[4];

    audit_count(audit, counts);
    for (size_t i = 0; i < audit->n_findings; i++) {
        const struct audit_finding *f = &audit->findings[i];

        say(stdout, "%-6s %-14s %-12s %s\n", words[f->verdict], f->process, f->check, f->text);
    }
    say(stdout, "\n%s: %zu processes, %zu checks passed, %zu drift, %zu unreadable\n", vm,
        n_processes, counts[AUDIT_OK], counts[AUDIT_DRIFT], counts[AUDIT_UNREADABLE]);
}

static int show_audit(const char *vm, bool json)
{
    struct audit audit = { 0 };
    size_t counts[4];
    size_t n = 0;
    int r = audit_vm(vm, &audit, &n);

    if (r == EXIT_OK && json)
        r = show_json(vm, &audit, n);
    else if (r == EXIT_OK)
        show_text(vm, &audit, n);
    audit_count(&audit, counts);
    audit_deinit(&audit);
    return r != EXIT_OK ? r : counts[AUDIT_DRIFT] ? EXIT_HOST : EXIT_OK;
}

static int run_audit(int argc, char **argv)
{
    struct simple_args args;
    int r = operands_parse(argc, argv, 1, 1, &args);

    return r != EXIT_OK ? r : show_audit(args.operands[0], args.json);
}

const struct verb verb_audit = {
    .name = "audit",
    .usage = "VM [--json]",
    .summary = "compare each process with its plan, as the kernel sees it",
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_audit,
};
