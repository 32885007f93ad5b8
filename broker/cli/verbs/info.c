// SPDX-License-Identifier: Apache-2.0
// info.c - see info.h.
#include "verbs/info.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "client.h"
#include "host_client.h"
#include "host_json.h"
#include "messages_json.h"
#include "output.h"
#include "private_vms.h"
#include "rights.h"
#include "verbs/operands.h"
#include "vmconfig/describe.h"

static void print_time(const char *what, json_int_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    char text[64];
    struct tm tm;

    localtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%F %T %z", &tm);
    say(stdout, "  %-12s %s (%s ago)\n", what, text, say_span(time(NULL) - seconds).text);
}

static void print_leaf(const char *name, const json_t *value)
{
    char *text;

    if (json_is_string(value)) {
        say(stdout, "  %-28s %s\n", name, json_string_value(value));
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY);
    say(stdout, "  %-28s %s\n", name, text ? text : "");
    free(text);
}

/* "disks[0].path   /srv/a.img": as messages name a field. */
static void print_fields(const char *name, const json_t *value)
{
    char inner[256];
    const char *key;
    json_t *part;
    size_t i;

    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, part)
        {
            snprintf(inner, sizeof(inner), "%s%s%s", name, name[0] ? "." : "", key);
            print_fields(inner, part);
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, part)
        {
            snprintf(inner, sizeof(inner), "%s[%zu]", name, i);
            print_fields(inner, part);
        }
    } else {
        print_leaf(name, value);
    }
}

static void print_status(const char *vm, const json_t *s)
{
    const char *tenant = json_string_value(json_object_get(s, "tenant")), *key;
    const json_t *ended = json_object_get(s, "ended");
    json_t *value;

    say(stdout, "%s%s%s\n", vm, tenant ? ", of " : ", private", tenant ? tenant : "");
    say(stdout, "  %-12s %s\n", "state", json_string_value(json_object_get(s, "state")));
    if (json_is_integer(value = json_object_get(s, "created_ns")))
        print_time("created", json_integer_value(value));
    if (json_is_integer(value = json_object_get(s, "started_ns")))
        print_time("started", json_integer_value(value));
    if (json_is_integer(value = json_object_get(s, "ended_ns")))
        print_time("ended", json_integer_value(value));
    if (json_is_object(ended))
        say(stdout, "  %-12s %s\n", "last end", json_string_value(json_object_get(ended, "text")));
    say(stdout, "  %-12s %lld\n", "starts", json_integer_value(json_object_get(s, "starts")));
    if (json_is_true(json_object_get(s, "autostart")))
        say(stdout, "  %-12s with the host's service\n", "autostart");
    json_object_foreach(json_object_get(s, "labels"), key, value)
    {
        say(stdout, "  %-12s %s=%s\n", "label", key, json_string_value(value));
    }
}

/* Takes the references; config and spec may be NULL. */
static int show(const char *vm, json_t *status, json_t *config, const Bulkhead__VmSpec *spec,
                bool json)
{
    const Bulkhead__ControlRight *right = spec ? spec->control : NULL;
    struct bag bag = { 0 };

    if (json) {
        json_object_set_new(status, "control", rights_json(right));
        json_object_set_new(status, "on_request", json_array());
        for (size_t i = 0; spec && i < spec->n_on_request; i++)
            json_array_append_new(json_object_get(status, "on_request"),
                                  text_json(spec->on_request[i]));
        json_object_set(status, "config", config ? config : json_null());
        json_decref(config);
        return say_json(status);
    }
    print_status(vm, status);
    if (right)
        say(stdout, "  %-12s %s\n", "may", rights_text(&bag, right));
    if (spec && spec->n_on_request > 0)
        say(stdout, "  %-12s %s\n", "may ask for",
            rights_devices(&bag, spec->on_request, spec->n_on_request));
    bag_free(&bag);
    if (config) {
        putchar('\n');
        print_fields("", config);
    }
    json_decref(status);
    json_decref(config);
    return EXIT_OK;
}

static int inspect(const char *vm, bool json)
{
    Bulkhead__InspectVm msg = BULKHEAD__INSPECT_VM__INIT;
    const Bulkhead__VmDetails *details;
    char name[HOST_NAME_BYTES];
    struct host_answer answer;
    struct host host = { 0 };
    int r;

    HOST_ENVELOPE(request, INSPECT_VM, inspect_vm, &msg);
    snprintf(name, sizeof(name), "%s", vm);
    msg.vm = name;
    r = host_ask(&host, &request, HOST_TIMEOUT_MS, BULKHEAD__HOST_ENVELOPE__BODY_VM_DETAILS,
                 &answer);
    if (r != EXIT_OK)
        return r;
    details = answer.envelope->vm_details;
    if (details->status)
        r = show(vm, host_status_json(details->status),
                 details->spec && details->spec->config ? describe_config(details->spec->config)
                                                        : NULL,
                 details->spec, json);
    else
        r = say_error(EXIT_HOST, "the host's service says nothing of '%s'", vm);
    host_close(&host);
    return r;
}

static int run_info(int argc, char **argv)
{
    struct simple_args args;
    int r = operands_parse(argc, argv, 1, 1, &args);

    if (r != EXIT_OK)
        return r;
    if (client_is_private(args.operands[0]))
        return show(args.operands[0], private_vm_json(args.operands[0]), NULL, NULL, args.json);
    r = host_check_name(args.operands[0]);
    return r != EXIT_OK ? r : inspect(args.operands[0], args.json);
}

static void more_of_info(FILE *out)
{
    fputs("In JSON \"config\" is what `bulkhead create --config` takes: `bulkhead info web --json "
          "| jq .config`.\n",
          out);
}

const struct verb verb_info = {
    .name = "info",
    .usage = "VM [--json]",
    .summary = "where a VM stands, and how it was described",
    .more = more_of_info,
    .operands = { OPERAND_VM },
    .flags = &flags_simple,
    .run = run_info,
};
