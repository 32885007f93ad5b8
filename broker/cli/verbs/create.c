// SPDX-License-Identifier: Apache-2.0
// create.c - see create.h. Files are named as seen from the caller's directory, as for `run`.
#include "verbs/create.h"
#include <string.h>
#include "host_client.h"
#include "options/paths.h"
#include "options/run_flags.h"
#include "output.h"
#include "progress.h"
#include "vouch.h"

static int create(struct vm_options *o)
{
    Bulkhead__CreateVm msg = BULKHEAD__CREATE_VM__INIT;
    Bulkhead__VmSpec spec = BULKHEAD__VM_SPEC__INIT;
    const char *done = o->start ? "running" : "created";
    struct host_answer answer = { 0 };
    struct progress progress;
    struct host host = { 0 };
    struct vouch vouch = { 0 };
    struct voucher voucher;
    int r = host_connect(&host);

    if (r < 0)
        return host_failed(r);
    HOST_ENVELOPE(request, CREATE_VM, create_vm, &msg);
    spec.config = &o->config;
    spec.labels = o->labels;
    spec.n_labels = o->n_labels;
    spec.autostart = o->autostart;
    msg.spec = &spec;
    msg.start = o->start;
    r = vouch_begin(&host, true, &voucher);
    if (r == 0)
        r = vouch_for(&voucher, &o->config, &vouch);
    if (r == 0)
        r = host_send(&host, &request);
    progress_begin(&progress, HOST_PATIENCE_MS);
    while (r == 0 && (!answer.envelope || answer.envelope->id != request.id))
        r = progress_receive(&progress, &host, o->config.name, o->start ? "starting" : "creating",
                             &answer);
    r = r < 0 ? host_failed(r) : host_expect(&answer, BULKHEAD__HOST_ENVELOPE__BODY_REPLY);
    if (answer.envelope && answer.envelope->id == request.id)
        vouch_settle(&vouch, r != EXIT_OK); /* else nobody knows what came of it */
    if (r == EXIT_OK && o->json)
        r = say_json(json_pack("{s:s,s:s}", "vm", o->config.name, "result", done));
    else if (r == EXIT_OK)
        say(stdout, "%s: %s\n", o->config.name, done);
    host_close(&host);
    return r;
}

static int run_create(int argc, char **argv)
{
    struct vm_options options;
    struct option_error err;
    int r;

    if (vm_options_parse(&options, argc, argv, &err) < 0) {
        r = say_error(EXIT_BAD_INPUT, "%s", err.text);
    } else if (options.help) {
        r = VERB_HELP;
    } else {
        vm_paths_make_absolute(&options, NULL);
        r = create(&options);
    }
    vm_options_deinit(&options);
    return r;
}

static void more_of_create(FILE *out)
{
    fputs("The host's service (bulkhead-hostd) keeps the description until `bulkhead rm`. Paths "
          "are as seen from\n"
          "the current directory. A serial port of mode tty, the default, is the console that "
          "`bulkhead console`\n"
          "attaches to, and `bulkhead logs` has kept.\n\n",
          out);
    vm_options_print_values(out);
}

const struct verb verb_create = {
    .name = "create",
    .usage = "--config FILE | --name NAME --kernel PATH [FLAGS] [--start]",
    .summary = "describe a VM to the host's service",
    .more = more_of_create,
    .flags = &vm_options_create_flags,
    .run = run_create,
};
