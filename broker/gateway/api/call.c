/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - see call.h. */
#include "api/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/fd.h"
#include "http/answer.h"
#include "ipc/channel.h"

struct call *call_new(struct calls *calls, const struct server_request *request)
{
    struct call *call = NULL, **place = NULL;

    for (unsigned i = 0; i < CALLS_MAX && !place; i++)
        if (!calls->all[i])
            place = &calls->all[i];
    if (place)
        call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    *place = call;
    call->calls = calls;
    call->number = request->number;
    call->unknown = (char *)(uintptr_t) "";
    bulkhead__client_envelope__init(&call->request);
    bulkhead__vm_config__init(&call->options.config);
    for (size_t i = 0; i < request->n_fds; i++)
        call->fds[call->n_fds++] = fd_take(&request->fds[i]);
    return call;
}

void call_free(struct call *call)
{
    struct calls *calls = call->calls;

    for (unsigned i = 0; i < CALLS_MAX; i++)
        if (calls->all[i] == call)
            calls->all[i] = NULL;
    if (call->timer)
        loop_event_free(call->timer);
    if (call->opener_event)
        loop_event_free(call->opener_event);
    if (call->opener)
        calls->n_openers--;
    channel_free(call->opener);
    for (size_t i = 0; i < call->n_fds; i++)
        fd_closep(&call->fds[i]);
    json_decref(call->body);
    bag_free(&call->options.bag);
    free(call);
}

static void send_answer(struct call *call, int status, const char *text)
{
    const struct server_answer a = { .status = status,
                                     .body = text,
                                     .body_len = text ? strlen(text) : 0,
                                     .ignored = call->unknown };

    if (!call->answered)
        server_answer(call->calls->server, call->number, &a);
    call->answered = true;
}

void call_answer(struct call *call, int status, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    json_decref(body);
    if (body && !text)
        call_fail(call, 500, "the answer can't be written as JSON");
    else
        send_answer(call, status, text);
    free(text);
}

void call_fail(struct call *call, int status, const char *text)
{
    char *body = answer_fault(status, text);

    send_answer(call, status, body ? body : "[]");
    free(body);
}

void call_fail_reply(struct call *call, const Bulkhead__Reply *reply)
{
    int status = reply->error == ENOENT && reply->bad_input ? 404
                 : reply->error == EEXIST                   ? 409
                 : reply->error == EALREADY                 ? 405
                 : reply->bad_input                         ? 400
                                                            : 500;

    call_fail(call, status, reply->text[0] ? reply->text : strerror(reply->error));
}

void call_ask(struct call *call, link_fn fn)
{
    link_ask(call->calls->link, &call->request, NULL, 0, fn, call);
}
