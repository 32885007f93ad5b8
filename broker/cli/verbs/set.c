// SPDX-License-Identifier: Apache-2.0
// set.c - `bulkhead set`: what may change while the guest runs.
#include "verbs/set.h"
#include <string.h>
#include "client.h"
#include "options/device_flags.h"
#include "options/flags.h"
#include "output.h"
#include "verbs/operands.h"

static int reply_only(const char *vm, Bulkhead__ClientEnvelope *request)
{
    struct client client = { 0 };
    struct client_answer answer;
    int r = client_ask(&client, vm, request, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY, &answer);

    if (r == EXIT_OK)
        client_close(&client);
    return r;
}

static int set_balloon(const char *vm, const char *arg, struct bag *bag)
{
    static const struct option_spec specs[] = {
        { "size", OPTION_SIZE, 0, 0, 1ull << 40, "bytes taken from the guest" },
    };
    Bulkhead__ResizeBalloon msg = BULKHEAD__RESIZE_BALLOON__INIT;
    struct option_error err;
    uint64_t size = 0;

    if (option_parse("balloon", arg, specs, 1, &size, bag, NULL, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (size % PAGE_BYTES != 0)
        return say_error(EXIT_BAD_INPUT,
                         "balloon: size=%llu is not a multiple of the page (4096 bytes)",
                         (unsigned long long)size);
    CLIENT_ENVELOPE(request, RESIZE_BALLOON, resize_balloon, &msg);
    msg.size = size;
    return reply_only(vm, &request);
}

static int set_limit(const char *vm, const char *device, const char *arg, struct bag *bag)
{
    Bulkhead__SetDeviceRateLimit msg = BULKHEAD__SET_DEVICE_RATE_LIMIT__INIT;
    Bulkhead__RateLimit none = BULKHEAD__RATE_LIMIT__INIT;
    struct option_error err;

    CLIENT_ENVELOPE(request, SET_DEVICE_RATE_LIMIT, set_device_rate_limit, &msg);
    msg.device = bag_strndup(bag, device, strlen(device));
    if (strcmp(arg, "unlimited") == 0)
        msg.limit = &none;
    else if (vm_limit_parse(device, arg, bag, &msg.limit, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    return reply_only(vm, &request);
}

static int set_link(const char *vm, const char *device, const char *arg, struct bag *bag)
{
    Bulkhead__SetLink msg = BULKHEAD__SET_LINK__INIT;

    CLIENT_ENVELOPE(request, SET_LINK, set_link, &msg);
    if (strcmp(arg, "link=up") != 0 && strcmp(arg, "link=down") != 0)
        return say_error(EXIT_BAD_INPUT, "%s: say link=up or link=down", device);
    msg.device = bag_strndup(bag, device, strlen(device));
    msg.up = strcmp(arg, "link=up") == 0;
    return reply_only(vm, &request);
}

static int run_set(int argc, char **argv)
{
    struct simple_args args;
    struct bag bag = { 0 };
    int r = operands_parse(argc, argv, 3, 3, &args);

    if (r != EXIT_OK)
        return r;
    if (strcmp(args.operands[1], "balloon") == 0 || strncmp(args.operands[1], "balloon0", 9) == 0)
        r = set_balloon(args.operands[0], args.operands[2], &bag);
    else if (strncmp(args.operands[2], "link", 4) == 0)
        r = set_link(args.operands[0], args.operands[1], args.operands[2], &bag);
    else
        r = set_limit(args.operands[0], args.operands[1], args.operands[2], &bag);
    bag_free(&bag);
    if (r == EXIT_OK && args.json)
        r = say_json(json_pack("{s:s,s:s,s:s}", "vm", args.operands[0], "device", args.operands[1],
                               "set", args.operands[2]));
    return r;
}

static void more_of_set(FILE *out)
{
    fputs("  bulkhead set VM balloon size=256M\n"
          "  bulkhead set VM disk0 "
          "bw_size=10M,bw_refill_time=1000,ops_size=500,ops_refill_time=1000\n"
          "  bulkhead set VM disk0 unlimited\n"
          "  bulkhead set VM net0 link=down\n"
          "  bulkhead set VM GROUP bw_size=50M,bw_refill_time=1000\n\n"
          "A limit replaces the whole limit of that device, or of that --rate-limit-group.\n",
          out);
}

const struct verb verb_set = {
    .name = "set",
    .usage = "VM balloon size=S | VM DEVICE bw_size=...,... | VM DEVICE link=down",
    .summary = "change a rate limit or the balloon",
    .more = more_of_set,
    .operands = { OPERAND_VM, OPERAND_DEVICE },
    .flags = &flags_simple,
    .run = run_set,
};
