/* SPDX-License-Identifier: Apache-2.0 */
/* add.c - see add.h. */
#include "api/add.h"

#include <string.h>
#include "base/err.h"
#include "base/fd.h"
#include "client/envelope.h"
#include "ipc/channel.h"
#include "json/device.h"

static void fail(struct call *call, int status, const char *text)
{
    call_fail(call, status, text);
    call_free(call);
}

/* NULL: the call has been answered, and is gone. */
static const Bulkhead__Reply *reply_of(struct call *call, const Bulkhead__ClientEnvelope *answer)
{
    if (!answer) {
        fail(call, 503, err_text());
        return NULL;
    }
    if (answer->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY) {
        fail(call, 500, "the broker gave an answer that doesn't fit the question");
        return NULL;
    }
    if (answer->reply->error != 0) {
        call_fail_reply(call, answer->reply);
        call_free(call);
        return NULL;
    }
    return answer->reply;
}

static void on_added(void *arg, const Bulkhead__ClientEnvelope *answer, int *fds, size_t n_fds)
{
    struct call *call = arg;
    const Bulkhead__Reply *reply = reply_of(call, answer);

    (void)fds;
    (void)n_fds;
    if (!reply)
        return;
    call_answer(call, 200, json_pack("{s:s,s:s}", "id", reply->device, "bdf", reply->address));
    call_free(call);
}

/* ---- the opener ---- */

static bool has_passt(const struct call *call)
{
    const Bulkhead__VmConfig *c = &call->options.config;

    return c->n_nets > 0 && strcmp(c->nets[0]->mode, "user") == 0;
}

/* Its descriptors and its message stay in its channel until the call is freed. */
static void on_opened(int fd, unsigned what, void *arg)
{
    struct call *call = arg;
    const Bulkhead__ClientEnvelope *e;
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;
    int r = channel_receive_raw(call->opener, false, &bulkhead__client_envelope__descriptor, &msg,
                                &fds, &n_fds);

    (void)fd;
    (void)what;
    if (r == CHANNEL_EMPTY)
        return;
    (void)loop_event_pause(call->opener_event);
    e = r == 0 ? (const Bulkhead__ClientEnvelope *)msg : NULL;
    if (!e || e->body_case != BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE) {
        if (r != 0)
            fail(call, 500, "what opens devices has ended unexpectedly");
        else
            (void)reply_of(call, e);
        return;
    }
    call->of.add.backend = e->add_device->backend;
    call->of.add.run_dir = (char *)(uintptr_t)protobuf_c_empty_string;
    link_ask(call->calls->link, &call->request, fds, n_fds, on_added, call);
}

static int ask_opener(struct call *call, int *fd)
{
    int r = channel_new(&call->opener, *fd, CHANNEL_ARENA_CLIENT);

    if (r < 0)
        return err_trace(r);
    call->calls->n_openers++;
    r = loop_add_fd(call->calls->loop, fd_take(fd), LOOP_READ, on_opened, call,
                    &call->opener_event);
    call->of.add.run_dir = call->calls->served.run_dir;
    if (r == 0)
        r = channel_send_raw(call->opener, &call->request.base, call->fds, call->n_fds, false);
    return r < 0 ? err_trace(r) : 0;
}

static void on_opener(void *arg, const Bulkhead__ClientEnvelope *answer, int *fds, size_t n_fds)
{
    struct call *call = arg;

    if (!reply_of(call, answer))
        return;
    if (n_fds != 1 || call->calls->n_openers >= CALLS_MAX_OPENERS || ask_opener(call, &fds[0]) < 0)
        fail(call, 503, "the device can't be opened now: try again");
}

/* ---- the broker, first ---- */

static void on_checked(void *arg, const Bulkhead__ClientEnvelope *answer, int *fds, size_t n_fds)
{
    struct call *call = arg;
    const Bulkhead__Reply *reply = reply_of(call, answer);
    Bulkhead__VmConfig *c = &call->options.config;

    (void)fds;
    (void)n_fds;
    if (!reply)
        return;
    /* passt is asked for by its name. All others are the broker's to name, for another may have this one by now. */
    if (has_passt(call) && c->nets[0]->id[0] == '\0')
        c->nets[0]->id = bag_printf(&call->options.bag, "%s", reply->device);
    call->of.add.check_only = false;
    if (call->calls->n_openers >= CALLS_MAX_OPENERS)
        fail(call, 503, "several devices are being added already: try again");
    else
        link_ask_opener(call->calls->link, on_opener, call);
}

static void add(struct call *call, const char *section)
{
    struct option_error err;

    call->options.taps = call->calls->served.taps;
    if (device_parse(section, call->body, call->n_fds, call->calls->served.dir, &call->options,
                     &call->unknown, &err) < 0) {
        fail(call, 400, err.text);
        return;
    }
    bulkhead__add_device__init(&call->of.add);
    call->of.add.device = &call->options.config;
    call->of.add.check_only = true;
    call->request.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE;
    call->request.add_device = &call->of.add;
    call_ask(call, on_checked);
}

void add_disk(struct call *call)
{
    add(call, "disks");
}

void add_net(struct call *call)
{
    add(call, "net");
}

void add_vsock(struct call *call)
{
    add(call, "vsock");
}
