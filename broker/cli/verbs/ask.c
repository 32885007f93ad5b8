// SPDX-License-Identifier: Apache-2.0
// ask.c - see ask.h. The service knows whose guest that is.
#include "verbs/ask.h"
#include <string.h>
#include "guest_service.h"
#include "host_client.h"
#include "output.h"
#include "verbs/operands.h"

static int ask(Bulkhead__HostEnvelope *request, const char *device, const char *done, bool json)
{
    struct host host = { 0 };
    struct host_answer answer;
    int r =
        host_ask(&host, request, HOST_PATIENCE_MS, BULKHEAD__HOST_ENVELOPE__BODY_REPLY, &answer);

    if (r != EXIT_OK)
        return r;
    host_close(&host);
    if (json)
        return say_json(json_pack("{s:s,s:s}", "device", device, "result", done));
    say(stdout, "%s: %s\n", device, done);
    return EXIT_OK;
}

static int run(int argc, char **argv, bool back)
{
    Bulkhead__AskDevice asked = BULKHEAD__ASK_DEVICE__INIT;
    Bulkhead__ReturnDevice returned = BULKHEAD__RETURN_DEVICE__INIT;
    struct simple_args args;
    char device[64];
    int r = operands_parse(argc, argv, 1, 1, &args);

    if (r != EXIT_OK)
        return r;
    if (!guest_service_where())
        return say_error(EXIT_BAD_INPUT,
                         "%s: only the guest of a VM asks for devices of its own: "
                         "bulkhead --service vsock %s DEVICE; on the host see "
                         "bulkhead add",
                         argv[0], argv[0]);
    if (snprintf(device, sizeof(device), "%s", args.operands[0]) >= (int)sizeof(device))
        return say_error(EXIT_BAD_INPUT, "'%.40s...' is no device's name", args.operands[0]);
    HOST_ENVELOPE(ask_for, ASK_DEVICE, ask_device, &asked);
    HOST_ENVELOPE(give_back, RETURN_DEVICE, return_device, &returned);
    asked.device = returned.device = device;
    return back ? ask(&give_back, device, "given back", args.json)
                : ask(&ask_for, device, "there", args.json);
}

static int run_ask(int argc, char **argv)
{
    return run(argc, argv, false);
}

static int run_return(int argc, char **argv)
{
    return run(argc, argv, true);
}

static void more_of_ask(FILE *out)
{
    fputs("In a guest: bulkhead --service vsock ask DEVICE. What may be asked for is what the VM's "
          "description has\nas on_request, by the id that it has there.\n",
          out);
}

const struct verb verb_ask = {
    .name = "ask",
    .usage = "DEVICE [--json]",
    .summary = "from within a guest: have a device that its VM may ask for",
    .more = more_of_ask,
    .operands = { OPERAND_DEVICE },
    .flags = &flags_simple,
    .run = run_ask,
};

const struct verb verb_return = {
    .name = "return",
    .usage = "DEVICE [--json]",
    .summary = "from within a guest: give such a device back",
    .more = more_of_ask,
    .operands = { OPERAND_DEVICE },
    .flags = &flags_simple,
    .run = run_return,
};
