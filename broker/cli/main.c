// SPDX-License-Identifier: Apache-2.0
// main.c - `bulkhead`: the table of verbs.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"
#include "complete.h"
#include "guest_service.h"
#include "manual.h"
#include "options/nearest.h"
#include "output.h"
#include "verbs/ask.h"
#include "verbs/audit.h"
#include "verbs/console.h"
#include "verbs/control.h"
#include "verbs/create.h"
#include "verbs/doctor.h"
#include "verbs/fleet.h"
#include "verbs/follow.h"
#include "verbs/hotplug.h"
#include "verbs/info.h"
#include "verbs/lifecycle.h"
#include "verbs/logs.h"
#include "verbs/ls.h"
#include "verbs/plan.h"
#include "verbs/ps.h"
#include "verbs/run.h"
#include "verbs/set.h"
#include "verbs/tenants.h"
#include "verbs/top.h"
#include "verbs/wait.h"
#include "version.h"

static int run_version(int argc, char **argv);
static int run_help(int argc, char **argv);
static int run_complete(int argc, char **argv);
static int run_manual(int argc, char **argv);

static const struct verb verb_version = {
    .name = "version",
    .usage = "",
    .summary = "print the version",
    .run = run_version,
};

static const struct verb verb_help = {
    .name = "help",
    .usage = "[VERB]",
    .summary = "explain a verb",
    .operands = { OPERAND_VERB },
    .run = run_help,
};

/* For the shells' completion, and for the build. */
static const struct verb verb_complete = {
    .name = "complete",
    .usage = "WORD...",
    .run = run_complete,
};

static const struct verb verb_manual = {
    .name = "manual",
    .usage = "[VERB]",
    .operands = { OPERAND_VERB },
    .run = run_manual,
};

static const struct verb *const verbs[] = {
    &verb_run,    &verb_plan,     &verb_create,  &verb_start,  &verb_stop,         &verb_reboot,
    &verb_rm,     &verb_ls,       &verb_info,    &verb_wait,   &verb_console,      &verb_logs,
    &verb_fleet,  &verb_tenants,  &verb_ps,      &verb_top,    &verb_events,       &verb_audit,
    &verb_doctor, &verb_repair,   &verb_upgrade, &verb_set,    &verb_add,          &verb_remove,
    &verb_ask,    &verb_return,   &verb_pause,   &verb_resume, &verb_power_button, &verb_version,
    &verb_help,   &verb_complete, &verb_manual,
};
static const struct verb_list all = { verbs, ARRAY_SIZE(verbs) };

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int print_help(const struct verb *verb)
{
    printf("usage: bulkhead %s %s\n\n  %s\n", verb->name, verb->usage, verb->summary);
    if (verb->flags) {
        putchar('\n');
        flags_print(verb->flags, stdout);
    }
    if (verb->more) {
        putchar('\n');
        verb->more(stdout);
    }
    return EXIT_OK;
}

static int unknown_verb(const char *name)
{
    struct nearest near = nearest_to(name);

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (verbs[i]->summary)
            nearest_try(&near, verbs[i]->name);
    if (nearest_found(&near))
        return say_error(EXIT_BAD_INPUT, "unknown verb '%s' (the nearest is '%s')", name,
                         nearest_found(&near));
    return say_error(EXIT_BAD_INPUT, "unknown verb '%s' (see bulkhead help)", name);
}

static int print_overview(FILE *out)
{
    fputs("bulkhead - virtual machines as fleets of small sandboxed processes\n\n"
          "usage: bulkhead VERB [ARGUMENTS]\n\n",
          out);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (verbs[i]->summary)
            fprintf(out, "  %-13s %s\n", verbs[i]->name, verbs[i]->summary);
    fputs(
        "\nIn the guest of a VM that has a right (control) over others: bulkhead --service vsock "
        "VERB ...\n"
        "\nA first VM:\n"
        "  bulkhead run --kernel vmlinuz --initramfs initrd.img --disk path=disk.img --net user\n\n"
        "bulkhead help VERB says more; bulkhead doctor says what this host can do.\n",
        out);
    return EXIT_OK;
}

static int run_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("bulkhead " BULKHEAD_VERSION);
    return EXIT_OK;
}

static int run_help(int argc, char **argv)
{
    const struct verb *verb;

    if (argc < 2)
        return print_overview(stdout);
    verb = find_verb(argv[1]);
    return verb && verb->summary ? print_help(verb) : unknown_verb(argv[1]);
}

static int run_complete(int argc, char **argv)
{
    complete_print(&all, (size_t)argc - 1, argv + 1);
    return EXIT_OK;
}

static int run_manual(int argc, char **argv)
{
    const struct verb *verb = argc < 2 ? NULL : find_verb(argv[1]);

    if (argc > 1 && (!verb || !verb->summary))
        return unknown_verb(argv[1]);
    if (verb)
        manual_of_verb(verb, stdout);
    else
        manual_print(&all, stdout);
    return EXIT_OK;
}

/* A standard descriptor that is closed would become the next file we open, and our messages or the
 * guest's output would go there. Opened the wrong way round, its use fails as it should. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            exit(EXIT_HOST);
}

int main(int argc, char **argv)
{
    const struct verb *verb;
    int r;

    fill_standard_descriptors();
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_BAD_INPUT;
    }
    if (strcmp(argv[1], "--service") == 0) {
        if (argc < 4 || setenv(GUEST_SERVICE_VARIABLE, argv[2], 1) < 0)
            return say_error(EXIT_BAD_INPUT, "usage: bulkhead --service vsock[:CID:PORT] VERB ...");
        argc -= 2;
        argv += 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_overview(stdout);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return run_version(0, NULL);
    verb = find_verb(argv[1]);
    if (!verb)
        return unknown_verb(argv[1]);
    r = verb->run(argc - 1, argv + 1);
    if (r == VERB_HELP)
        return print_help(verb);
    if (r == VERB_USAGE)
        return say_error(EXIT_BAD_INPUT, "usage: bulkhead %s %s", verb->name, verb->usage);
    return r;
}
