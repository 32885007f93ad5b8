// SPDX-License-Identifier: Apache-2.0
// fleet.c - see fleet.h.
#include "verbs/fleet.h"
#include <limits.h>
#include <string.h>
#include "client/hostdir.h"
#include "fleet/files.h"
#include "fleet/manifest.h"
#include "fleet/order.h"
#include "fleet/show.h"
#include "output.h"

enum { MAX_OPERANDS = 256 };
enum flag_id { DIR_FLAG };

struct args {
    bool help, json;
    const char *dir;
    const char *operands[MAX_OPERANDS];
    size_t n;
    char folder[PATH_MAX]; /* whose manifests they are; "": none's */
};

static const struct flag flags[] = {
    { "dir", 0, FLAG_ONE, "DIR", "the manifests of that folder, not of fleet.d", DIR_FLAG },
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
    else if (id == DIR_FLAG)
        a->dir = value;
    else if (a->n == MAX_OPERANDS)
        return option_fail(err, "more than %d files", MAX_OPERANDS);
    else
        a->operands[a->n++] = value;
    return 0;
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

/* ---- the verb ---- */

static const char *const words[] = { "check", "plan", NULL };

static const struct {
    const char *name;
    int (*run)(struct args *a, struct fleet *fleet);
} deeds[] = {
    { "check", check },
    { "plan", plan },
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

static int run_deed(struct args *a, size_t deed)
{
    struct fleet fleet = { 0 };
    int r = read_manifests(a, &fleet);

    if (r == EXIT_OK) {
        order_check(&fleet, files_identify);
        r = fleet.faults.n > 0 ? refuse(a, &fleet) : deeds[deed].run(a, &fleet);
    }
    manifest_free(&fleet);
    return r;
}

static int run_fleet(int argc, char **argv)
{
    static struct args a;
    struct option_error err;

    a = (struct args){ 0 };
    if (flags_parse(&list, argc, argv, on_flag, &a, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (a.help)
        return VERB_HELP;
    if (a.n == 0)
        return VERB_USAGE;
    for (size_t i = 0; i < ARRAY_SIZE(deeds); i++)
        if (strcmp(deeds[i].name, a.operands[0]) == 0)
            return run_deed(&a, i);
    return say_error(EXIT_BAD_INPUT, "fleet: '%.60s' is none of check, plan", a.operands[0]);
}

static void more_of_fleet(FILE *out)
{
    fputs("A manifest (YAML or JSON) has the VMs of a fleet, and who waits for whom:\n\n"
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
    .usage = "check|plan [FILE...] [--dir DIR]",
    .summary = "VMs that come up together, in order",
    .more = more_of_fleet,
    .operands = { OPERAND_WORD, OPERAND_FILE, OPERAND_AGAIN },
    .words = words,
    .flags = &list,
    .run = run_fleet,
};
