// SPDX-License-Identifier: Apache-2.0
// wait.c - see wait.h.
#include "verbs/wait.h"
#include <errno.h>
#include <stdio.h>
#include "base/err.h"
#include "client.h"
#include "ended.h"
#include "host_client.h"
#include "host_json.h"
#include "output.h"
#include "subscription.h"
#include "verbs/operands.h"

static int say_ended(const char *vm, const Bulkhead__VmEnded *ended, bool json)
{
    char text[512];
    int r;

    if (json) {
        r = say_json(json_pack("{s:s,s:o}", "vm", vm, "ended", host_ended_json(ended)));
        return r != EXIT_OK ? r : ended_status(ended);
    }
    say(stdout, "%s: %s\n", vm, ended_text(text, sizeof(text), ended));
    return ended_status(ended);
}

/* One of `run`: its broker says it to whoever listens. */
static int wait_private(const char *vm, bool json)
{
    struct client client = { 0 };
    struct client_answer answer;
    int status = -1, r = subscription_open(&client, vm);

    while (r == 0 && status < 0) {
        r = subscription_receive(&client, vm, &answer);
        if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED)
            status = say_ended(vm, answer.envelope->vm_ended, json);
    }
    client_close(&client);
    if (r == -EPIPE)
        return say_error(EXIT_HOST, "'%s' has ended, and its broker with it: nobody says how", vm);
    return r < 0 ? client_failed(r) : status;
}

static int ask(struct host *host, const char *vm, struct host_answer *ret_answer)
{
    Bulkhead__WaitVm msg = BULKHEAD__WAIT_VM__INIT;
    char name[HOST_NAME_BYTES];

    HOST_ENVELOPE(request, WAIT_VM, wait_vm, &msg);
    snprintf(name, sizeof(name), "%s", vm);
    msg.vm = name;
    return host_call(host, &request, -1, ret_answer);
}

static int wait_service(const char *vm, bool json)
{
    const Bulkhead__VmStatus *status;
    struct host host = { 0 };
    struct host_answer answer = { 0 };
    int r = host_connect(&host);

    if (r == 0)
        r = ask(&host, vm, &answer);
    /* The VM goes on without its service, so waiting does too. */
    while (r == -EPIPE && host_connect_again(&host) == 0)
        r = ask(&host, vm, &answer);
    r = r < 0 ? host_failed(r) : host_expect(&answer, BULKHEAD__HOST_ENVELOPE__BODY_VM_DETAILS);
    if (r == EXIT_OK) {
        status = answer.envelope->vm_details->status;
        if (!status || !status->how_ended)
            r = say_error(EXIT_BAD_INPUT, "'%s' was never started: bulkhead start %s", vm, vm);
        else
            r = say_ended(vm, status->how_ended, json);
    }
    host_close(&host);
    return r;
}

static int run_wait(int argc, char **argv)
{
    struct simple_args args;
    int r = operands_parse(argc, argv, 1, 1, &args);

    if (r != EXIT_OK)
        return r;
    if (client_is_private(args.operands[0]))
        return wait_private(args.operands[0], args.json);
    r = host_check_name(args.operands[0]);
    return r != EXIT_OK ? r : wait_service(args.operands[0], args.json);
}

static void more_of_wait(FILE *out)
{
    fputs("Exit status: as of bulkhead run. 0 the guest shut down, 1 the host failed, 2 bad input, "
          "3 the\n"
          "guest crashed, 4 it rebooted under --no-reboot, 5 ended from the host. Of a VM that is "
          "stopped\n"
          "it says how it ended last.\n",
          out);
}

const struct verb verb_wait = {
    .name = "wait",
    .usage = "VM [--json]",
    .summary = "wait until a VM has ended, and say how",
    .more = more_of_wait,
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_wait,
};
