// SPDX-License-Identifier: Apache-2.0
// follow.c - see follow.h.
#include "verbs/follow.h"
#include <errno.h>
#include <unistd.h>
#include "client.h"
#include "events.h"
#include "host_client.h"
#include "output.h"
#include "subscription.h"

enum { ALL };

static int follow_vm(const char *vm, bool json)
{
    struct client client = { 0 };
    struct client_answer answer;
    int r = subscription_open(&client, vm);

    if (r < 0) {
        client_close(&client);
        return client_failed(r);
    }
    while (subscription_receive(&client, vm, &answer) == 0) {
        const Bulkhead__ClientEnvelope *e = answer.envelope;

        if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED)
            break;
        if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY && e->reply->error != 0) {
            r = client_reply(e->reply);
            break;
        }
        if (e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT)
            continue;
        if (!json)
            event_print(e->event, stdout);
        else if (event_write_json(e->event, STDOUT_FILENO) < 0)
            break;
    }
    client_close(&client);
    return r; /* the VM has ended */
}

static int follow(struct host *host)
{
    Bulkhead__FollowHost msg = BULKHEAD__FOLLOW_HOST__INIT;

    HOST_ENVELOPE(request, FOLLOW_HOST, follow_host, &msg);
    return host_send(host, &request);
}

/* A service that was upgraded, or died, is soon back; and counts anew. */
static int next_of_all(struct host *host, struct host_answer *ret_answer)
{
    int r;

    while ((r = host_receive(host, -1, ret_answer)) == -EPIPE) {
        r = host_connect_again(host);
        if (r == 0)
            r = follow(host);
        if (r < 0 && (r != -EPIPE || !host->channel))
            return r;
    }
    return r;
}

static int follow_all(bool json)
{
    struct host host = { 0 };
    struct host_answer answer;
    int status = EXIT_OK, r = host_connect(&host);

    if (r == 0)
        r = follow(&host);
    while (r == 0 && status == EXIT_OK) {
        r = next_of_all(&host, &answer);
        if (r < 0)
            break;
        if (answer.envelope->body_case == BULKHEAD__HOST_ENVELOPE__BODY_REPLY)
            status = host_reply(answer.envelope->reply);
        if (answer.envelope->body_case != BULKHEAD__HOST_ENVELOPE__BODY_HOST_EVENT)
            continue;
        if (!json)
            event_print_host(answer.envelope->host_event, stdout);
        else if (event_write_host_json(answer.envelope->host_event, STDOUT_FILENO) < 0)
            break;
    }
    host_close(&host);
    return r < 0 ? host_failed(r) : status;
}

struct args {
    const char *vm;
    bool help, json, all;
};

static const struct flag flags[] = {
    { "all", 'a', FLAG_ONE, NULL, "of all VMs of the caller's that the host's service has", ALL },
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
    else if (id == ALL)
        a->all = true;
    else if (a->vm)
        return option_fail(err, "too many arguments: '%s'", value);
    else
        a->vm = value;
    return 0;
}

static int run_events(int argc, char **argv)
{
    struct args a = { 0 };
    struct option_error err;

    if (flags_parse(&list, argc, argv, on_flag, &a, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (a.help)
        return VERB_HELP;
    if (a.all == (a.vm != NULL))
        return VERB_USAGE;
    return a.all ? follow_all(a.json) : follow_vm(a.vm, a.json);
}

const struct verb verb_events = {
    .name = "events",
    .usage = "VM | --all [--json]",
    .summary = "print a VM's events as they happen, or all of the host's service",
    .operands = { OPERAND_VM },
    .flags = &list,
    .run = run_events,
};
