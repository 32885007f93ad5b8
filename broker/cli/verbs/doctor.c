// SPDX-License-Identifier: Apache-2.0
// doctor.c - `bulkhead doctor`: what this host can do, tried out.
#include "verbs/doctor.h"
#include <string.h>
#include "doctor/checks.h"
#include "doctor/group_check.h"
#include "doctor/hardening.h"
#include "doctor/sandbox_checks.h"
#include "doctor/uring.h"
#include "options/flags.h"
#include "output.h"

static const struct doctor_check checks[] = {
    { "kvm", "KVM runs guest code", doctor_kvm },
    { "programs", "Bulkhead's programs", doctor_programs },
    { "userns", "namespaces", doctor_userns },
    { "uids", "a uid per process", doctor_uids },
    { "seccomp", "seccomp filters", doctor_seccomp },
    { "landlock", "Landlock", doctor_landlock },
    { "mdwe", "no writable code", doctor_mdwe },
    { "memfd", "sealed guest RAM", doctor_memfd },
    { "pidfd", "pidfds", doctor_pidfd },
    { "cgroup", "cgroup v2 delegation", doctor_cgroup },
    { "readback", "filters can be read back", doctor_readback },
    { "io_uring", "fenced io_uring", doctor_io_uring },
    { "tun", "tap devices", doctor_tun },
    { "passt", "passt (rootless network)", doctor_passt },
    { "hugepages", "huge pages", doctor_hugepages },
    { "rundir", "run directory", doctor_rundir },
};

enum { JUST_KVM = 1 };

struct doctor_args {
    bool help, json, kvm_only;
};

static int on_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct doctor_args *a = arg;

    if (id == FLAG_OPERAND)
        return option_fail(err, "doctor takes no argument: '%s'", value);
    a->help |= id == FLAG_HELP;
    a->json |= id == FLAG_JSON;
    a->kvm_only |= id == JUST_KVM;
    return 0;
}

static void print_result(const struct doctor_check *check, const struct doctor_result *result)
{
    static const char *const words[] = { "ok", "instead", "less", "MISSING" };

    printf("%-8s %-25s %s\n", words[result->verdict], check->title, result->detail);
    if (result->cure[0])
        printf("%-8s %-25s to get it: %s\n", "", "", result->cure);
}

static json_t *result_json(const struct doctor_check *check, const struct doctor_result *result)
{
    static const char *const words[] = { "ok", "replaced", "optional-missing", "missing" };

    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", check->id, "title", check->title, "verdict",
                     words[result->verdict], "detail", result->detail, "cure", result->cure);
}

static void print_settings(const struct doctor_setting *settings, size_t n)
{
    char text[64];

    if (n > 0)
        printf("\nHardening that is turned on here, and what it costs:\n");
    for (size_t i = 0; i < n; i++) {
        const struct doctor_setting *s = &settings[i];

        printf("%s=%s: %s\n", s->name, say_clean(text, sizeof(text), s->value),
               s->costs[0] ? s->costs : "nothing");
        if (s->cure[0])
            printf("%8s to have it all the same: %s\n", "", s->cure);
    }
}

static json_t *settings_json(const struct doctor_setting *settings, size_t n)
{
    json_t *all = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s}", "setting", settings[i].name,
                                             "value", settings[i].value, "costs", settings[i].costs,
                                             "cure", settings[i].cure));
    return all;
}

static const struct flag flags[] = {
    { "kvm-only", 0, FLAG_ONE, NULL, "only: is there a working KVM?", JUST_KVM },
    FLAGS_COMMON_JSON,
};
static const struct flag_list doctor_flags = { flags, ARRAY_SIZE(flags) };

static int run_doctor(int argc, char **argv)
{
    struct doctor_args args = { 0 };
    struct option_error err;
    struct doctor_setting settings[DOCTOR_MAX_SETTINGS];
    json_t *all = NULL;
    bool good = true;
    size_t n = 0;
    int r = EXIT_OK;

    if (flags_parse(&doctor_flags, argc, argv, on_flag, &args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (args.help)
        return VERB_HELP;
    if (args.json)
        all = json_array();
    for (size_t i = 0; i < (args.kvm_only ? 1 : ARRAY_SIZE(checks)); i++) {
        struct doctor_result result = { .verdict = DOCTOR_MISSING };

        checks[i].run(&result);
        good = good && result.verdict != DOCTOR_MISSING;
        if (all)
            json_array_append_new(all, result_json(&checks[i], &result));
        else
            print_result(&checks[i], &result);
        fflush(stdout);
    }
    if (!args.kvm_only)
        n = doctor_settings(settings, ARRAY_SIZE(settings));
    if (!all)
        print_settings(settings, n);
    if (all)
        r = say_json(json_pack("{s:b,s:o,s:o}", "can_run_vms", good, "checks", all, "hardening",
                               settings_json(settings, n)));
    else if (!args.kvm_only)
        printf("\nThis host %s.\n", good ? "can run VMs" : "can't run VMs: see MISSING above");
    return r != EXIT_OK ? r : good ? EXIT_OK : EXIT_HOST;
}

static void more_of_doctor(FILE *out)
{
    fputs("KVM is proved by running instructions in a VM: integer, SSE, CMPXCHG16B, XSAVE.\n"
          "Exit status: 0 everything that is needed is there, 1 something is missing.\n",
          out);
}

const struct verb verb_doctor = {
    .name = "doctor",
    .usage = "[--json] [--kvm-only]",
    .summary = "say what this host can do and what is missing",
    .more = more_of_doctor,
    .flags = &doctor_flags,
    .run = run_doctor,
};
