// SPDX-License-Identifier: Apache-2.0
// control.c - verbs that tell a running VM's broker one thing: pause, resume,
// power-button, repair, upgrade.
#include "verbs/control.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "client.h"
#include "options/flags.h"
#include "output.h"
#include "verbs/operands.h"

/* Sends a request that a Reply answers; prints `done` (NULL: the reply's text). */
static int tell_with(const char *vm, Bulkhead__ClientEnvelope *request, int fd, bool json,
                     const char *done)
{
    struct client client = { 0 };
    struct client_answer answer;
    const char *text;
    int r = client_ask_with(&client, vm, request, &fd, fd >= 0 ? 1 : 0,
                            BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY, &answer);

    if (r != EXIT_OK)
        return r;
    text = answer.envelope->reply->text[0] ? answer.envelope->reply->text : done;
    if (json)
        r = say_json(json_pack("{s:s,s:s}", "vm", vm, "result", text));
    else
        say(stdout, "%s: %s\n", vm, text);
    client_close(&client);
    return r;
}

static int tell(const char *vm, Bulkhead__ClientEnvelope *request, bool json, const char *done)
{
    return tell_with(vm, request, -1, json, done);
}

static int run_pause(int argc, char **argv)
{
    Bulkhead__PauseVm msg = BULKHEAD__PAUSE_VM__INIT;
    struct simple_args args;
    int r = operands_parse(argc, argv, 1, 1, &args);

    CLIENT_ENVELOPE(request, PAUSE_VM, pause_vm, &msg);
    return r != EXIT_OK ? r : tell(args.operands[0], &request, args.json, "paused");
}

static int run_resume(int argc, char **argv)
{
    Bulkhead__ResumeVm msg = BULKHEAD__RESUME_VM__INIT;
    struct simple_args args;
    int r = operands_parse(argc, argv, 1, 1, &args);

    CLIENT_ENVELOPE(request, RESUME_VM, resume_vm, &msg);
    return r != EXIT_OK ? r : tell(args.operands[0], &request, args.json, "running");
}

static int run_power_button(int argc, char **argv)
{
    Bulkhead__PressPowerButton msg = BULKHEAD__PRESS_POWER_BUTTON__INIT;
    struct simple_args args;
    int r = operands_parse(argc, argv, 1, 1, &args);

    CLIENT_ENVELOPE(request, PRESS_POWER_BUTTON, press_power_button, &msg);
    return r != EXIT_OK ? r : tell(args.operands[0], &request, args.json, "power button pressed");
}

static int run_repair(int argc, char **argv)
{
    Bulkhead__Repair msg = BULKHEAD__REPAIR__INIT;
    struct simple_args args;
    int r = operands_parse(argc, argv, 2, 2, &args);
    char device[64];

    if (r != EXIT_OK)
        return r;
    CLIENT_ENVELOPE(request, REPAIR, repair, &msg);
    snprintf(device, sizeof(device), "%s", args.operands[1]);
    msg.device = device;
    return tell(args.operands[0], &request, args.json, "repaired");
}

struct upgrade_args {
    struct simple_args simple;
    const char *binary;
};

static int on_upgrade_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct upgrade_args *a = arg;

    if (id == FLAG_HELP)
        a->simple.help = true;
    else if (id == FLAG_JSON)
        a->simple.json = true;
    else if (id != FLAG_OPERAND)
        a->binary = value;
    else if (a->simple.n_operands == 2)
        return option_fail(err, "too many arguments: '%s'", value);
    else
        a->simple.operands[a->simple.n_operands++] = value;
    return 0;
}

/* program_fd: the new build; -1: the installed one. */
static int upgrade_one(const char *vm, const char *device, int program_fd, bool json)
{
    Bulkhead__Upgrade msg = BULKHEAD__UPGRADE__INIT;
    char device_text[64];

    CLIENT_ENVELOPE(request, UPGRADE, upgrade, &msg);
    snprintf(device_text, sizeof(device_text), "%s", device);
    msg.device = device_text;
    msg.handed_over = program_fd >= 0;
    return tell_with(vm, &request, program_fd, json, "upgraded");
}

/* With the rights of who asks: the broker may be able to open less. */
static int open_build(const char *path, int *ret_fd)
{
    cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return say_error(EXIT_BAD_INPUT, "--binary %s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return say_error(EXIT_BAD_INPUT, "--binary %s: not a regular file", path);
    if (access(path, X_OK) != 0)
        return say_error(EXIT_BAD_INPUT, "--binary %s: not executable", path);
    *ret_fd = fd_take(&fd);
    return EXIT_OK;
}

/* One device after the other; the first that fails ends it, since a build that is bad for one is
 * best not tried on the next. */
static int upgrade_all(const char *vm, bool json)
{
    Bulkhead__GetStats msg = BULKHEAD__GET_STATS__INIT;
    char names[64][64];
    struct client client = { 0 };
    struct client_answer answer;
    size_t n = 0;
    int r;

    CLIENT_ENVELOPE(request, GET_STATS, get_stats, &msg);
    r = client_ask(&client, vm, &request, BULKHEAD__CLIENT_ENVELOPE__BODY_STATS, &answer);
    if (r != EXIT_OK)
        return r;
    for (size_t i = 0; i < answer.envelope->stats->n_devices && n < ARRAY_SIZE(names); i++)
        snprintf(names[n++], sizeof(names[0]), "%s", answer.envelope->stats->devices[i]->name);
    client_close(&client);
    for (size_t i = 0; i < n && r == EXIT_OK; i++)
        r = upgrade_one(vm, names[i], -1, json);
    return r;
}

static int say_broker(const char *vm, const Bulkhead__ProcessList *list, bool json)
{
    for (size_t i = 0; i < list->n_processes; i++) {
        const Bulkhead__ProcessInfo *p = list->processes[i];
        char text[160];

        if (p->role != BULKHEAD__ROLE__ROLE_BROKER)
            continue;
        if (strcmp(p->state, "rolled back") == 0)
            return say_error(EXIT_BAD_INPUT,
                             "broker: the new build was given up, the old one runs on");
        snprintf(text, sizeof(text), "broker upgraded to %s", p->build_id);
        if (json)
            return say_json(json_pack("{s:s,s:s}", "vm", vm, "result", text));
        say(stdout, "%s: %s\n", vm, text);
        return EXIT_OK;
    }
    return say_error(EXIT_HOST, "the new broker of '%s' does not list itself", vm);
}

/* A reply means that there is no new broker. Else the connection ends with the old one, and the next broker says what
 * it is. */
static int upgrade_broker(const char *vm, bool has_binary, bool json)
{
    Bulkhead__Upgrade msg = BULKHEAD__UPGRADE__INIT;
    Bulkhead__ListProcesses list = BULKHEAD__LIST_PROCESSES__INIT;
    struct client client = { 0 };
    struct client_answer answer;
    char device[] = "broker";
    int r = client_connect(&client, vm);

    CLIENT_ENVELOPE(request, UPGRADE, upgrade, &msg);
    CLIENT_ENVELOPE(processes, LIST_PROCESSES, list_processes, &list);
    msg.device = device;
    msg.handed_over = has_binary;
    if (r < 0)
        return client_failed(r);
    r = client_call(&client, &request, &answer);
    if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY)
        r = client_reply(answer.envelope->reply);
    else
        r = r == -EPIPE ? EXIT_OK : client_failed(r);
    client_close(&client);
    if (r != EXIT_OK)
        return r;
    r = client_ask(&client, vm, &processes, BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST, &answer);
    if (r != EXIT_OK)
        return r;
    r = say_broker(vm, answer.envelope->process_list, json);
    client_close(&client);
    return r;
}

static const struct flag flags_of_upgrade[] = {
    { "binary", 0, FLAG_ONE, "PATH", "the new program (default: the installed one)", 1 },
    FLAGS_COMMON_JSON,
};
static const struct flag_list upgrade_flags = { flags_of_upgrade, ARRAY_SIZE(flags_of_upgrade) };

static int run_upgrade(int argc, char **argv)
{
    struct upgrade_args args = { 0 };
    struct option_error err;
    cleanup_(fd_closep) int fd = -1;
    int r;

    if (flags_parse(&upgrade_flags, argc, argv, on_upgrade_flag, &args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (args.simple.help)
        return VERB_HELP;
    if (args.simple.n_operands < 1)
        return VERB_USAGE;
    if (args.binary && args.simple.n_operands < 2)
        return say_error(EXIT_BAD_INPUT, "--binary needs the DEVICE it is for");
    if (args.simple.n_operands == 1)
        return upgrade_all(args.simple.operands[0], args.simple.json);
    r = args.binary ? open_build(args.binary, &fd) : EXIT_OK;
    if (r != EXIT_OK)
        return r;
    if (strcmp(args.simple.operands[1], "broker") == 0)
        return upgrade_broker(args.simple.operands[0], args.binary != NULL, args.simple.json);
    return upgrade_one(args.simple.operands[0], args.simple.operands[1], fd, args.simple.json);
}

const struct verb verb_repair = {
    .name = "repair",
    .usage = "VM DEVICE",
    .summary = "start a failed device again",
    .operands = { OPERAND_VM, OPERAND_DEVICE },
    .flags = &flags_simple,
    .run = run_repair,
};

const struct verb verb_upgrade = {
    .name = "upgrade",
    .usage = "VM [DEVICE [--binary PATH] | broker]",
    .summary = "replace device processes by a new build while the guest runs",
    .operands = { OPERAND_VM, OPERAND_DEVICE },
    .flags = &upgrade_flags,
    .run = run_upgrade,
};

const struct verb verb_pause = {
    .name = "pause",
    .usage = "VM",
    .summary = "stop a VM's CPUs and devices",
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_pause,
};

const struct verb verb_resume = {
    .name = "resume",
    .usage = "VM",
    .summary = "let it run again",
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_resume,
};

const struct verb verb_power_button = {
    .name = "power-button",
    .usage = "VM",
    .summary = "ask the guest to shut down",
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_power_button,
};
