// SPDX-License-Identifier: Apache-2.0
// lifecycle.c - `bulkhead start`, `stop`, `reboot` and `rm`. Several VMs are asked for at once, and answered as they come.
#include "verbs/lifecycle.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "client.h"
#include "host_client.h"
#include "options/flags.h"
#include "output.h"
#include "progress.h"
#include "vouch.h"

enum { MAX_VMS = 256, MAX_GRACE_S = 86400 };
enum { GRACE, FORCE };

enum deed { START, STOP, REBOOT, REMOVE };

static const struct {
    const char *doing, *done;
} words[] = {
    [START] = { "starting", "running" },
    [STOP] = { "stopping", "stopped" },
    [REBOOT] = { "rebooting", "running" },
    [REMOVE] = { "removing", "removed" },
};

struct args {
    bool help, json, force;
    uint32_t grace_s;
    const char *vms[MAX_VMS];
    size_t n;
};

static int on_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct args *a = arg;
    uint64_t v;

    switch (id) {
    case FLAG_HELP:
        a->help = true;
        return 0;
    case FLAG_JSON:
        a->json = true;
        return 0;
    case FORCE:
        a->force = true;
        return 0;
    case GRACE:
        if (option_u64(value, &v) < 0 || v > MAX_GRACE_S)
            return option_fail(err, "--grace: '%s' is not a number of seconds up to %d", value,
                               MAX_GRACE_S);
        a->grace_s = (uint32_t)v;
        return 0;
    default:
        if (a->n == MAX_VMS)
            return option_fail(err, "more than %d VMs at once", MAX_VMS);
        for (size_t i = 0; i < a->n; i++)
            if (strcmp(a->vms[i], value) == 0)
                return option_fail(err, "'%s' is given twice", value);
        a->vms[a->n++] = value;
        return 0;
    }
}

static int say_done(const char *vm, const char *done, bool json)
{
    if (json)
        return say_json(json_pack("{s:s,s:s}", "vm", vm, "result", done));
    say(stdout, "%s: %s\n", vm, done);
    fflush(stdout);
    return EXIT_OK;
}

/* ---- a VM of `run` ---- */

/* Presses its power button. True: the guest has ended by itself. */
static bool ends_by_itself(struct client *client, uint32_t grace_s)
{
    Bulkhead__PressPowerButton press = BULKHEAD__PRESS_POWER_BUTTON__INIT;
    Bulkhead__Subscribe subscribe = BULKHEAD__SUBSCRIBE__INIT;
    const int64_t end = clock_ms(CLOCK_MONOTONIC) + (int64_t)grace_s * 1000;
    struct client_answer answer;

    CLIENT_ENVELOPE(events, SUBSCRIBE, subscribe, &subscribe);
    CLIENT_ENVELOPE(button, PRESS_POWER_BUTTON, press_power_button, &press);
    if (client_send(client, &events, NULL, 0) < 0 || client_send(client, &button, NULL, 0) < 0)
        return false;
    for (int64_t left; (left = end - clock_ms(CLOCK_MONOTONIC)) > 0;) {
        if (client_receive(client, (int)left, &answer) < 0)
            return false; /* too late; or its broker is gone, which says nothing of the guest */
        if (answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED)
            return true;
        if (answer.envelope->id == button.id &&
            answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY &&
            answer.envelope->reply->error != 0)
            return false; /* it has none that would help: a guest that is paused, say */
    }
    return false;
}

static int stop_private(const struct args *a, const char *vm)
{
    Bulkhead__StopVm msg = BULKHEAD__STOP_VM__INIT;
    struct client client = { 0 };
    struct client_answer answer;
    bool gone = false;
    int r = EXIT_OK;

    CLIENT_ENVELOPE(request, STOP_VM, stop_vm, &msg);
    if (a->grace_s > 0) {
        r = client_connect(&client, vm);
        if (r < 0)
            return client_failed(r);
        gone = ends_by_itself(&client, a->grace_s);
        client_close(&client);
    }
    if (gone)
        return say_done(vm, "shut down", a->json);
    r = client_ask(&client, vm, &request, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY, &answer);
    if (r == EXIT_OK) {
        const char *text = answer.envelope->reply->text;

        r = say_done(vm, text[0] ? text : words[STOP].done, a->json);
        client_close(&client);
    }
    return r;
}

/* ---- the service's ---- */

struct asked {
    const char *vm;
    uint32_t id;
};

static int ask_one(struct host *host, enum deed deed, const struct args *a, const char *vm,
                   uint32_t *ret_id)
{
    Bulkhead__HostEnvelope request = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__StartVm start = BULKHEAD__START_VM__INIT;
    Bulkhead__HaltVm halt = BULKHEAD__HALT_VM__INIT;
    Bulkhead__RebootVm reboot = BULKHEAD__REBOOT_VM__INIT;
    Bulkhead__RemoveVm remove = BULKHEAD__REMOVE_VM__INIT;
    char name[HOST_NAME_BYTES];
    int r;

    snprintf(name, sizeof(name), "%s", vm);
    start.vm = halt.vm = reboot.vm = remove.vm = name;
    halt.grace_ms = a->grace_s * 1000;
    remove.force = a->force;
    switch (deed) {
    case START:
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_START_VM;
        request.start_vm = &start;
        break;
    case STOP:
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_HALT_VM;
        request.halt_vm = &halt;
        break;
    case REBOOT:
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_REBOOT_VM;
        request.reboot_vm = &reboot;
        break;
    case REMOVE:
    default:
        request.body_case = BULKHEAD__HOST_ENVELOPE__BODY_REMOVE_VM;
        request.remove_vm = &remove;
        break;
    }
    r = host_send(host, &request);
    *ret_id = request.id;
    return r < 0 ? host_failed(r) : EXIT_OK;
}

static int on_answer(struct asked *asked, size_t *n, enum deed deed, const struct args *a,
                     const struct voucher *voucher, const struct host_answer *answer)
{
    for (size_t i = 0; i < *n; i++) {
        const char *vm = asked[i].vm;
        int r;

        if (asked[i].id != answer->envelope->id)
            continue;
        memmove(&asked[i], &asked[i + 1], (*n - i - 1) * sizeof(*asked));
        (*n)--;
        r = host_expect(answer, BULKHEAD__HOST_ENVELOPE__BODY_REPLY);
        if (r == EXIT_OK && deed == REMOVE)
            vouch_end(voucher, vm);
        return r == EXIT_OK ? say_done(vm, words[deed].done, a->json) : r;
    }
    return EXIT_OK;
}

static int no_private(const char *vm)
{
    const char *near = client_nearest(vm);

    if (near)
        return say_error(EXIT_BAD_INPUT, "no VM '%s' (the nearest running one is '%s')", vm, near);
    return say_error(EXIT_BAD_INPUT,
                     "no VM '%s' of bulkhead run, and no service runs here: see bulkhead ls", vm);
}

/* The worst that happened is the exit status. */
static int tell_service(enum deed deed, const struct args *a, const char *const *vms, size_t n_vms)
{
    static struct asked asked[MAX_VMS];
    struct progress progress;
    struct host_answer answer;
    struct host host = { 0 };
    struct voucher voucher = { 0 };
    size_t n = 0;
    int r = host_connect(&host), status = EXIT_OK;

    if (r == -ECONNREFUSED && deed == STOP)
        return no_private(vms[0]);
    if (r == 0 && deed == REMOVE)
        r = vouch_begin(&host, false, &voucher);
    if (r < 0) {
        host_close(&host);
        return host_failed(r);
    }
    progress_begin(&progress, HOST_PATIENCE_MS + (int)a->grace_s * 1000);
    for (size_t i = 0; i < n_vms && status == EXIT_OK; i++) {
        asked[n] = (struct asked){ .vm = vms[i] };
        status = ask_one(&host, deed, a, vms[i], &asked[n++].id);
    }
    while (n > 0) {
        r = progress_receive(&progress, &host, asked[0].vm, words[deed].doing, &answer);
        if (r < 0)
            n = 0;
        r = r < 0 ? host_failed(r) : on_answer(asked, &n, deed, a, &voucher, &answer);
        status = MAX(status, r);
    }
    host_close(&host);
    return status;
}

/* ---- both ---- */

static int run(enum deed deed, const struct flag_list *flags, int argc, char **argv)
{
    static struct args a;
    const char *of_service[MAX_VMS];
    struct option_error err;
    size_t n = 0;
    int r, status = EXIT_OK;

    a = (struct args){ 0 };
    if (flags_parse(flags, argc, argv, on_flag, &a, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (a.help)
        return VERB_HELP;
    if (a.n == 0)
        return VERB_USAGE;
    for (size_t i = 0; i < a.n; i++) {
        bool private = client_is_private(a.vms[i]);

        if (private && deed == STOP)
            r = stop_private(&a, a.vms[i]);
        else if (private)
            r = say_error(EXIT_BAD_INPUT, "'%s' is a VM of bulkhead run: %s", a.vms[i],
                          deed == START    ? "it runs"
                          : deed == REMOVE ? "it is gone when it ends (see bulkhead stop)"
                                           : "stop it, and run it again");
        else if ((r = host_check_name(a.vms[i])) == EXIT_OK)
            of_service[n++] = a.vms[i];
        status = MAX(status, r);
    }
    r = n > 0 ? tell_service(deed, &a, of_service, n) : EXIT_OK;
    return MAX(status, r);
}

static int run_start(int argc, char **argv)
{
    return run(START, &flags_simple, argc, argv);
}

static int run_reboot(int argc, char **argv)
{
    return run(REBOOT, &flags_simple, argc, argv);
}

static const struct flag stop_flags[] = {
    { "grace", 0, FLAG_ONE, "SECONDS", "press its power button, and give it so long", GRACE },
    FLAGS_COMMON_JSON,
};
static const struct flag_list flags_to_stop = { stop_flags, ARRAY_SIZE(stop_flags) };

static int run_stop(int argc, char **argv)
{
    return run(STOP, &flags_to_stop, argc, argv);
}

static const struct flag rm_flags[] = {
    { "force", 0, FLAG_ONE, NULL, "stop it at once if it runs", FORCE },
    FLAGS_COMMON_JSON,
};
static const struct flag_list flags_to_rm = { rm_flags, ARRAY_SIZE(rm_flags) };

static int run_rm(int argc, char **argv)
{
    return run(REMOVE, &flags_to_rm, argc, argv);
}

static void more_of_rm(FILE *out)
{
    fputs("Its description and its logs go; disk images and all other files of the guest stay.\n",
          out);
}

const struct verb verb_start = {
    .name = "start",
    .usage = "VM...",
    .summary = "start VMs of the host's service",
    .operands = { OPERAND_VM, OPERAND_AGAIN },
    .flags = &flags_simple,
    .run = run_start,
};

const struct verb verb_stop = {
    .name = "stop",
    .usage = "VM... [--grace SECONDS]",
    .summary = "end a VM at once, or after asking its guest",
    .operands = { OPERAND_VM, OPERAND_AGAIN },
    .flags = &flags_to_stop,
    .run = run_stop,
};

const struct verb verb_reboot = {
    .name = "reboot",
    .usage = "VM...",
    .summary = "stop VMs of the host's service at once, and start them again",
    .operands = { OPERAND_VM, OPERAND_AGAIN },
    .flags = &flags_simple,
    .run = run_reboot,
};

const struct verb verb_rm = {
    .name = "rm",
    .usage = "VM... [--force]",
    .summary = "forget VMs of the host's service",
    .more = more_of_rm,
    .operands = { OPERAND_VM, OPERAND_AGAIN },
    .flags = &flags_to_rm,
    .run = run_rm,
};
