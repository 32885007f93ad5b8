// SPDX-License-Identifier: Apache-2.0
// fleet.c - see fleet.h.
#include "verbs/fleet.h"
#include <limits.h>
#include <string.h>
#include "client/hostdir.h"
#include "fleet/drive.h"
#include "fleet/files.h"
#include "fleet/manifest.h"
#include "fleet/order.h"
#include "fleet/report.h"
#include "fleet/show.h"
#include "options/nearest.h"
#include "output.h"

enum { MAX_OPERANDS = 256, MAX_AT_ONCE = 24, AT_ONCE = 8, MAX_GRACE_S = 86400, GRACE_S = 30 };
enum flag_id { DIR_FLAG, RECREATE, GRACE, RM, PARALLEL, N_FLAGS }; /* as in the table */

struct args {
    bool help, json;
    const char *dir;
    const char *operands[MAX_OPERANDS];
    size_t n;
    struct drive_wish wish;
    bool given[N_FLAGS];
    char folder[PATH_MAX]; /* whose manifests they are; "": none's */
};

static const struct flag flags[] = {
    { "dir", 0, FLAG_ONE, "DIR", "the manifests of that folder, not of fleet.d", DIR_FLAG },
    { "recreate", 0, FLAG_ONE, NULL,
      "up: what the service has described otherwise is removed\nand created again", RECREATE },
    { "grace", 0, FLAG_ONE, "SECONDS",
      "down: press power buttons, and give guests so long\n(default 30; 0: at once)", GRACE },
    { "rm", 0, FLAG_ONE, NULL, "down: have the service forget them too", RM },
    { "parallel", 0, FLAG_ONE, "N", "up, down: so many at once at most (default 8)", PARALLEL },
    FLAGS_COMMON_JSON,
};
static const struct flag_list list = { flags, ARRAY_SIZE(flags) };

static int take_number(const char *flag, const char *value, uint64_t min, uint64_t max,
                       unsigned *dst, struct option_error *err)
{
    uint64_t v;

    if (option_u64(value, &v) < 0 || v < min || v > max)
        return option_fail(err, "%s: '%s' is not a number from %llu to %llu", flag, value,
                           (unsigned long long)min, (unsigned long long)max);
    *dst = (unsigned)v;
    return 0;
}

static int on_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct args *a = arg;

    if (id >= 0 && id < N_FLAGS)
        a->given[id] = true;
    switch (id) {
    case FLAG_HELP:
        a->help = true;
        return 0;
    case FLAG_JSON:
        a->json = true;
        return 0;
    case DIR_FLAG:
        a->dir = value;
        return 0;
    case RECREATE:
        a->wish.recreate = true;
        return 0;
    case RM:
        a->wish.remove = true;
        return 0;
    case GRACE:
        return take_number("--grace", value, 0, MAX_GRACE_S, &a->wish.grace_s, err);
    case PARALLEL:
        return take_number("--parallel", value, 1, MAX_AT_ONCE, &a->wish.at_once, err);
    default:
        if (a->n == MAX_OPERANDS)
            return option_fail(err, "more than %d files", MAX_OPERANDS);
        a->operands[a->n++] = value;
        return 0;
    }
}

/* ---- manifests ---- */

/* EXIT_OK, or what to end with when no manifest could even be looked for. */
static int read_manifests(struct args *a, struct fleet *fleet)
{
    if (a->dir && a->n > 1)
        return say_error(EXIT_BAD_INPUT, "--dir and files: give one of them");
    for (size_t i = 1; i < a->n; i++)
        files_read_one(fleet, a->operands[i]);
    if (a->n > 1)
        return EXIT_OK;
    if (a->dir)
        snprintf(a->folder, sizeof(a->folder), "%s", a->dir);
    else if (files_default_folder(a->folder, sizeof(a->folder)) < 0)
        return say_error(EXIT_BAD_INPUT, "there is no home to look for " FILES_FOLDER
                                         " below: give --dir, or files");
    files_read_folder(fleet, a->folder, !a->dir);
    return EXIT_OK;
}

static void say_nothing_there(const struct args *a)
{
    printf("no VM is described%s%s\n", a->folder[0] ? " in " : "", a->folder);
}

static int check(struct args *a, struct fleet *fleet)
{
    if (a->json)
        return say_json(json_pack("{s:I,s:I,s:[]}", "files", (json_int_t)fleet->n_files, "vms",
                                  (json_int_t)fleet->n, "faults"));
    if (fleet->n == 0)
        say_nothing_there(a);
    else
        printf("%zu VM%s in %zu file%s: no fault\n", fleet->n, fleet->n == 1 ? "" : "s",
               fleet->n_files, fleet->n_files == 1 ? "" : "s");
    return EXIT_OK;
}

static int plan(struct args *a, struct fleet *fleet)
{
    if (a->json)
        return say_json(show_plan_json(fleet));
    if (fleet->n == 0)
        say_nothing_there(a);
    else
        show_plan(fleet);
    return EXIT_OK;
}

static int up(struct args *a, struct fleet *fleet)
{
    a->wish.json = a->json;
    if (fleet->n == 0 && !a->json)
        say_nothing_there(a);
    return fleet->n == 0 ? EXIT_OK : drive(fleet, &a->wish);
}

static int down(struct args *a, struct fleet *fleet)
{
    a->wish.down = true;
    return up(a, fleet);
}

static int status(struct args *a, struct fleet *fleet)
{
    if (fleet->n == 0 && !a->json)
        say_nothing_there(a);
    return fleet->n == 0 && !a->json ? EXIT_OK : report_status(fleet, a->json);
}

/* ---- the verb ---- */

static const char *const words[] = { "check", "plan", "up", "down", "status", NULL };

static const struct deed {
    const char *name;
    int (*run)(struct args *a, struct fleet *fleet);
    unsigned flags; /* bit i: that one fits */
} deeds[] = {
    { "check", check, 1u << DIR_FLAG },
    { "plan", plan, 1u << DIR_FLAG },
    { "up", up, 1u << DIR_FLAG | 1u << RECREATE | 1u << PARALLEL },
    { "down", down, 1u << DIR_FLAG | 1u << GRACE | 1u << RM | 1u << PARALLEL },
    { "status", status, 1u << DIR_FLAG },
};

static int refuse(const struct args *a, const struct fleet *fleet)
{
    if (!a->json) {
        faults_print(&fleet->faults);
        return EXIT_BAD_INPUT;
    }
    (void)say_json(json_pack("{s:I,s:I,s:o}", "files", (json_int_t)fleet->n_files, "vms",
                             (json_int_t)fleet->n, "faults", faults_json(&fleet->faults)));
    return EXIT_BAD_INPUT;
}

static int run_deed(struct args *a, const struct deed *deed)
{
    struct fleet fleet = { 0 };
    int r;

    for (unsigned i = 0; i < N_FLAGS; i++)
        if (a->given[i] && !(deed->flags & 1u << i))
            return say_error(EXIT_BAD_INPUT, "fleet %s takes no --%s", deed->name, flags[i].name);
    r = read_manifests(a, &fleet);
    if (r == EXIT_OK) {
        order_check(&fleet, files_identify);
        r = fleet.faults.n > 0 ? refuse(a, &fleet) : deed->run(a, &fleet);
    }
    manifest_free(&fleet);
    return r;
}

static int run_fleet(int argc, char **argv)
{
    static struct args a;
    struct nearest near;
    struct option_error err;

    a = (struct args){ .wish = { .at_once = AT_ONCE, .grace_s = GRACE_S } };
    if (flags_parse(&list, argc, argv, on_flag, &a, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (a.help)
        return VERB_HELP;
    if (a.n == 0)
        return VERB_USAGE;
    near = nearest_to(a.operands[0]);
    for (size_t i = 0; i < ARRAY_SIZE(deeds); i++) {
        if (strcmp(deeds[i].name, a.operands[0]) == 0)
            return run_deed(&a, &deeds[i]);
        nearest_try(&near, deeds[i].name);
    }
    return say_error(
        EXIT_BAD_INPUT, "fleet: '%.60s' is none of check, plan, up, down, status%s%s%s",
        a.operands[0], nearest_found(&near) ? " (the nearest is '" : "",
        nearest_found(&near) ? nearest_found(&near) : "", nearest_found(&near) ? "')" : "");
}

static void more_of_fleet(FILE *out)
{
    fputs("check   names each fault of the manifests\n"
          "plan    prints the order, and what each VM has\n"
          "up      creates what isn't there, starts what doesn't run, and waits until it is ready\n"
          "down    stops them, those that wait for others first\n"
          "status  prints how they stand\n\n"
          "A manifest (YAML or JSON) has the VMs of a fleet, and who waits for whom:\n\n"
          "  vms:\n"
          "  - name: db\n"
          "    config: {payload: {kernel: /srv/db/vmlinuz}, disks: [{path: /srv/db/root.img}]}\n"
          "    ready: {console: \"database ready\", timeout_s: 60}\n"
          "  - name: web\n"
          "    config_file: web.yaml\n"
          "    after: [db]\n\n"
          "Without files or --dir those of fleet.d in the service's configuration directory, which "
          "is\n"
          "root's " HOSTDIR_CONFIG ", are taken: *.yaml, *.yml and *.json.\n"
          "docs/operating.md, 'A fleet', has all fields.\n",
          out);
}

const struct verb verb_fleet = {
    .name = "fleet",
    .usage = "check|plan|up|down|status [FILE...] [FLAGS]",
    .summary = "VMs that come up together, in order",
    .more = more_of_fleet,
    .operands = { OPERAND_WORD, OPERAND_FILE, OPERAND_AGAIN },
    .words = words,
    .flags = &list,
    .run = run_fleet,
};
