/* SPDX-License-Identifier: Apache-2.0 */
/* requests.c - see requests.h. */
#include "api/requests.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "api/queries.h"
#include "base/err.h"
#include "base/fd.h"
#include "config/config.h"
#include "config/group.h"
#include "config/merge.h"
#include "run/add.h"
#include "run/happen.h"
#include "run/lines.h"
#include "run/steps.h"
#include "vm/replace.h"

static void refuse(struct client *client, const Bulkhead__ClientEnvelope *request,
                   const struct fault *fault)
{
    session_reply(client, request->id, fault);
}

/* false: there is none of that name, which the client has been told. */
static bool find_device(struct client *client, const Bulkhead__ClientEnvelope *request,
                        const char *name, unsigned *ret_number)
{
    const struct vm *vm = &client->sessions->in->vm;
    char known[160] = "";
    struct fault f;

    for (unsigned i = 0; i < vm->n_devices; i++) {
        const char *own = vm->devices[i].plan->name;

        if (!vm->devices[i].here)
            continue;
        *ret_number = i;
        if (strcmp(own, name) == 0)
            return true;
        if (strlen(known) < sizeof known - PLAN_NAME_BYTES - 2)
            snprintf(known + strlen(known), sizeof known - strlen(known), " %s", own);
    }
    fault_input(&f, "there is no device '%.40s': this VM has%s", name, known[0] ? known : " none");
    f.error = ENOENT;
    refuse(client, request, &f);
    return false;
}

static void command(struct client *client, const Bulkhead__ClientEnvelope *request,
                    struct command *command)
{
    const struct event e = { .kind = EVENT_COMMAND, .command = command };

    command->ticket = (struct ticket){ .session = client->serial, .request = request->id };
    happen(client->sessions->in, &e);
}

static void subscribe(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    const struct fault ok = { 0 };

    client->subscribed = true;
    session_reply(client, request->id, &ok);
}

static void stop(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    command(client, request, &(struct command){ .kind = COMMAND_STOP });
}

static void press(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    command(client, request, &(struct command){ .kind = COMMAND_PRESS_POWER_BUTTON });
}

static void pause_vm(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    command(client, request, &(struct command){ .kind = COMMAND_PAUSE });
}

static void resume_vm(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    command(client, request, &(struct command){ .kind = COMMAND_RESUME });
}

static void repair(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct command c = { .kind = COMMAND_REPAIR };

    if (find_device(client, request, request->repair->device, &c.device))
        command(client, request, &c);
}

/* A program comes open: the client could read it, which this process perhaps can't. */
static int take_program(struct client *client, struct device *d, struct fault *f)
{
    struct instance *in = client->sessions->in;
    int *candidate = &in->ends[d->number].candidate_fd;
    int r = replace_check_upgrade(&in->vm, d, f);

    if (r < 0)
        return r;
    if (client->n_fds != 1)
        return fault_input(f, "%zu descriptors came with the request: one is needed, the new build",
                           client->n_fds);
    r = programs_check(client->fds[0], f);
    if (r < 0)
        return r;
    fd_closep(candidate);
    *candidate = fd_take(&client->fds[0]);
    return 0;
}

/* The spawner opens what is installed: what a broker names, one that was taken over could have made. If all is
 * well there is no reply: this broker is killed, and the next one is asked. */
static void upgrade_broker(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    const struct spawner_request renew = { .kind = SPAWNER_RENEW };
    struct instance *in = client->sessions->in;
    struct fault f = { 0 };

    if (request->upgrade->handed_over)
        fault_input(&f,
                    "the broker is upgraded to the build that is installed: leave --binary out");
    else if (in->vm.phase != VM_RUNNING || in->renewer.session != 0)
        fault_input(&f, "the broker can be upgraded while the VM runs: try again");
    else if (spawner_send(in->spawner, &renew, NULL, 0) < 0)
        fault_host(&f, EPIPE, "%s", err_text());
    steps_pass("renewal asked for", 0);
    if (f.error != 0)
        refuse(client, request, &f);
    else
        in->renewer = (struct ticket){ .session = client->serial, .request = request->id };
}

static bool is_device(const struct vm *vm, const char *name)
{
    for (unsigned i = 0; i < vm->n_devices; i++)
        if (strcmp(vm->devices[i].plan->name, name) == 0)
            return true;
    return false;
}

static void upgrade(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct command c = { .kind = COMMAND_UPGRADE, .opened = request->upgrade->handed_over };
    struct vm *vm = &client->sessions->in->vm;
    struct fault f;

    if (c.opened && client->no_programs) {
        fault_input(&f, "this VM's programs are its host's: leave --binary out");
        refuse(client, request, &f);
        return;
    }
    if (request->upgrade->device[0] == '\0') {
        command(client, request, &(struct command){ .kind = COMMAND_UPGRADE_ALL });
        return;
    }
    if (strcmp(request->upgrade->device, "broker") == 0 && !is_device(vm, "broker")) {
        upgrade_broker(client, request);
        return;
    }
    if (!find_device(client, request, request->upgrade->device, &c.device))
        return;
    if (c.opened && take_program(client, &vm->devices[c.device], &f) < 0) {
        refuse(client, request, &f);
        return;
    }
    command(client, request, &c);
}

static Bulkhead__RateLimit *copy_limit(const Bulkhead__RateLimit *limit)
{
    uint8_t bytes[128];

    if (bulkhead__rate_limit__get_packed_size(limit) > sizeof bytes)
        return NULL;
    return bulkhead__rate_limit__unpack(NULL, bulkhead__rate_limit__pack(limit, bytes), bytes);
}

/* device: its name, or a group's. */
static void set_limit(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    const Bulkhead__SetDeviceRateLimit *set = request->set_device_rate_limit;
    Bulkhead__RateLimit none = BULKHEAD__RATE_LIMIT__INIT;
    struct command c = { .kind = COMMAND_SET_LIMIT };
    struct fault f;

    c.group = group_find(client->sessions->in->config, set->device);
    if (!c.group && !find_device(client, request, set->device, &c.device))
        return;
    c.limit = copy_limit(set->limit ? set->limit : &none);
    if (c.limit) {
        command(client, request, &c);
        return;
    }
    fault_host(&f, ENOMEM, "no memory");
    refuse(client, request, &f);
}

static void set_balloon(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    command(client, request,
            &(struct command){ .kind = COMMAND_SET_BALLOON,
                               .size_bytes = request->resize_balloon->size });
}

static void set_link(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct command c = { .kind = COMMAND_SET_LINK, .up = request->set_link->up };

    if (find_device(client, request, request->set_link->device, &c.device))
        command(client, request, &c);
}

static bool has_user_net(const Bulkhead__VmConfig *device)
{
    for (size_t i = 0; i < device->n_nets; i++)
        if (strcmp(device->nets[i]->mode, "user") == 0)
            return true;
    return false;
}

/* Of those that the guest finds on its bus so many. */
static int check_limit(const struct client *client, const Bulkhead__VmConfig *device,
                       struct fault *f)
{
    const struct plan *plan = &client->sessions->in->plan;
    uint32_t n = 0;

    if (client->no_user_net && has_user_net(device))
        return fault_input(f, "this VM's tenant may have no user network: use a tap that it may "
                              "have, or ask who runs the host");
    for (unsigned i = 0; i < plan->n_devices; i++)
        n += !plan_is_free(&plan->devices[i]) && plan->devices[i].pci_slot != 0;
    if (client->max_devices == 0 || n < client->max_devices)
        return 0;
    return fault_input(f, "this VM has %u devices, and may have %u: remove one first", n,
                       client->max_devices);
}

/* Who asks whether it may be added is told its name. */
static void say_addable(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    const struct fault none = { 0 };
    Bulkhead__Reply reply = fault_reply(&none);
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);
    Bulkhead__VmConfig *config;
    Bulkhead__Role role;
    unsigned index;
    struct fault f;

    if (add_check(client->sessions->in, request->add_device->device, &config, &role, &index, &f) <
        0) {
        refuse(client, request, &f);
        return;
    }
    if (role == BULKHEAD__ROLE__ROLE_BLK)
        reply.device = config->disks[index]->id;
    else if (role == BULKHEAD__ROLE__ROLE_NET)
        reply.device = config->nets[index]->id;
    e.id = request->id;
    session_send(client, &e);
    config_free(config);
}

static void add(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    const Bulkhead__AddDevice *m = request->add_device;
    struct command c = { .kind = COMMAND_ADD };
    struct fault f;

    if (!m->device) {
        fault_input(&f, "there is no device in the request");
        refuse(client, request, &f);
    } else if (check_limit(client, m->device, &f) < 0) {
        refuse(client, request, &f);
    } else if (m->check_only) {
        say_addable(client, request);
    } else if (add_take(client->sessions->in, m, client->fds, client->n_fds, &c.device, &f) < 0) {
        refuse(client, request, &f);
    } else {
        command(client, request, &c);
    }
}

static void remove_device(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct command c = { .kind = COMMAND_REMOVE, .force = request->remove_device->force };

    if (find_device(client, request, request->remove_device->device, &c.device))
        command(client, request, &c);
}

/* Of the service alone, which says it before it hands the session on: whoever has that can't take it back. Only root and
 * the one who started the VM get a session at all (session.c). */
static void limit_session(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct fault f;

    if (client->n_heard == 1) {
        client->is_limited = true;
        client->no_programs = request->limit_session->no_programs;
        client->max_devices = request->limit_session->max_devices;
        client->no_user_net = request->limit_session->no_user_net;
        return;
    }
    fault_input(&f, "a session's limits are its first message, or there are none");
    refuse(client, request, &f);
}

/* It is his word, and stands in lists alone. Of others it would be a name for a process that root's audit looks at. */
static void gateway_runs(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    const Bulkhead__GatewayRuns *m = request->gateway_runs;
    struct plan_host *host = &client->sessions->in->host;
    struct fault f;

    if (!client->is_run) {
        fault_input(&f, "only who ran the VM has gateways");
        refuse(client, request, &f);
        return;
    }
    host->gateway_pid = m->pid > 0 ? m->pid : 0;
    host->gateway_uid = m->uid;
    host->gateway_gid = m->gid;
}

/* Not of who has a session of the service's: what a guest says at that port is for the service alone. */
static void take_line(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct instance *in = client->sessions->in;
    const char *why = "what was sent is no line";
    struct fault f;

    if (client->is_limited || !in->is_service || in->config->vsock->service_port == 0)
        why = "the lines of a VM's guest are the host's service's to hand in";
    else if (client->n_fds == 1 && fd_type(client->fds[0]) == FD_TYPE_STREAM) {
        lines_put(in, fd_take(&client->fds[0]));
        return;
    }
    fault_input(&f, "%s", why);
    refuse(client, request, &f);
}

static const struct {
    Bulkhead__ClientEnvelope__BodyCase body;
    void (*take)(struct client *client, const Bulkhead__ClientEnvelope *request);
} table[] = {
    { BULKHEAD__CLIENT_ENVELOPE__BODY_LIST_PROCESSES, query_processes },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_GET_PLAN, query_plan },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_GET_STATS, query_stats },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_GET_VM, query_vm },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_SUBSCRIBE, subscribe },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_STOP_VM, stop },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_PRESS_POWER_BUTTON, press },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_REPAIR, repair },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_UPGRADE, upgrade },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_PAUSE_VM, pause_vm },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_RESUME_VM, resume_vm },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_SET_DEVICE_RATE_LIMIT, set_limit },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_RESIZE_BALLOON, set_balloon },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_SET_LINK, set_link },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE, add },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_REMOVE_DEVICE, remove_device },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_LIMIT_SESSION, limit_session },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_GATEWAY_RUNS, gateway_runs },
    { BULKHEAD__CLIENT_ENVELOPE__BODY_SERVICE_LINE, take_line },
};

void request_take(struct client *client, const Bulkhead__ClientEnvelope *request)
{
    struct fault f;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].body == request->body_case) {
            table[i].take(client, request);
            return;
        }
    fault_input(&f, "this request is not known here: is the client newer than the broker?");
    refuse(client, request, &f);
}
