// SPDX-License-Identifier: Apache-2.0
// main.c - `bulkhead`: the table of verbs.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"
#include "nearest.h"
#include "say.h"
#include "verbs.h"
#include "version.h"

static int verb_version(int argc, char **argv);
static int verb_help_verb(int argc, char **argv);

static const struct verb verbs[] = {
    { "run", verb_run, "--kernel PATH [FLAGS]", "start a VM and stay with it until it ends",
      verb_run_help },
    { "plan", verb_plan, "--kernel PATH [FLAGS] [--json]",
      "print the processes, descriptors and rights that run would start, without starting them",
      verb_run_help },
    { "ps", verb_ps, "[VM] [--json]", "list running VMs and their processes", NULL },
    { "top", verb_top, "[VM] [--json]", "watch processes and devices; --json prints one sample",
      NULL },
    { "events", verb_events, "VM [--json]", "print a VM's events as they happen", NULL },
    { "audit", verb_audit, "VM [--json]",
      "compare each process with its plan, as the kernel sees it", NULL },
    { "doctor", verb_doctor, "[--json] [--kvm-only]",
      "say what this host can do and what is missing", verb_doctor_help },
    { "repair", verb_repair, "VM DEVICE", "start a failed device again", NULL },
    { "upgrade", verb_upgrade, "VM [DEVICE] [--binary PATH]",
      "replace device processes by a new build while the guest runs", NULL },
    { "set", verb_set, "VM balloon size=S | VM DEVICE bw_size=...,... | VM DEVICE link=down",
      "change a rate limit or the balloon", verb_set_help },
    { "pause", verb_pause, "VM", "stop a VM's CPUs and devices", NULL },
    { "resume", verb_resume, "VM", "let it run again", NULL },
    { "power-button", verb_power_button, "VM", "ask the guest to shut down", NULL },
    { "stop", verb_stop, "VM", "end a VM at once", NULL },
    { "version", verb_version, "", "print the version", NULL },
    { "help", verb_help_verb, "[VERB]", "explain a verb", NULL },
};

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

int verb_help(const char *name)
{
    const struct verb *verb = verb_find(name);

    if (!verb)
        return EXIT_BAD_INPUT;
    printf("usage: bulkhead %s %s\n\n  %s\n", verb->name, verb->usage, verb->summary);
    if (verb->help) {
        putchar('\n');
        verb->help(stdout);
    }
    return EXIT_OK;
}

static int unknown_verb(const char *name)
{
    struct nearest near = nearest_to(name);

    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        nearest_try(&near, verbs[i].name);
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
        fprintf(out, "  %-13s %s\n", verbs[i].name, verbs[i].summary);
    fputs(
        "\nA first VM:\n"
        "  bulkhead run --kernel vmlinuz --initramfs initrd.img --disk path=disk.img --net user\n\n"
        "bulkhead help VERB says more; bulkhead doctor says what this host can do.\n",
        out);
    return EXIT_OK;
}

static int verb_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("bulkhead " BULKHEAD_VERSION);
    return EXIT_OK;
}

static int verb_help_verb(int argc, char **argv)
{
    if (argc < 2)
        return print_overview(stdout);
    return verb_find(argv[1]) ? verb_help(argv[1]) : unknown_verb(argv[1]);
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

    fill_standard_descriptors();
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_BAD_INPUT;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_overview(stdout);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return verb_version(0, NULL);
    verb = verb_find(argv[1]);
    if (!verb)
        return unknown_verb(argv[1]);
    return verb->run(argc - 1, argv + 1);
}
