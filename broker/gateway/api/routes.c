/* SPDX-License-Identifier: Apache-2.0 */
/* routes.c - see routes.h. */
#include "api/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "api/add.h"
#include "api/simple.h"
#include "http/answer.h"
#include "openapi/check.h"

#define ROOT "/api/v1"

static void not_here(struct call *call)
{
    call_fail(call, 501, "this is not in Bulkhead yet");
    call_free(call);
}

static const struct {
    const char *name; /* x-handler of the document */
    void (*take)(struct call *call);
} handlers[] = {
    { "ping", simple_ping },
    { "info", simple_info },
    { "counters", simple_counters },
    { "pause", simple_pause },
    { "resume", simple_resume },
    { "power-button", simple_power_button },
    { "stop", simple_stop },
    { "resize", simple_resize },
    { "remove-device", simple_remove_device },
    { "add-disk", add_disk },
    { "add-net", add_net },
    { "add-vsock", add_vsock },
    { "not-here", not_here },
};

static void refuse(struct calls *calls, uint64_t number, int status, const char *why)
{
    char *body = answer_fault(status, why);
    const struct server_answer a = { .status = status,
                                     .body = body ? body : "[]",
                                     .body_len = body ? strlen(body) : 2 };

    server_answer(calls->server, number, &a);
    free(body);
}

static bool is_path(const char *target, const char *path)
{
    size_t root = strlen(ROOT), len = strlen(path);

    return strncmp(target, ROOT, root) == 0 && strncmp(target + root, path, len) == 0 &&
           (target[root + len] == '\0' || target[root + len] == '?');
}

/* As Cloud Hypervisor: 404 where there is no such path, 400 for another method. */
static const struct openapi_operation *find(const struct server_request *request, int *ret_status)
{
    *ret_status = 404;
    for (const struct openapi_operation *o = openapi_vm; o->path; o++) {
        if (!is_path(request->target, o->path))
            continue;
        if (strcmp(request->method, o->method) == 0)
            return o;
        *ret_status = 400;
    }
    return NULL;
}

/* false: the call has been answered. */
static bool take_body(struct call *call, const struct openapi_operation *operation,
                      const struct server_request *request)
{
    char fault[OPENAPI_FAULT_BYTES];
    json_error_t where;

    if (strcmp(operation->handler, "not-here") == 0)
        return true; /* whatever it is */
    if (!operation->body) {
        if (request->body)
            call_fail(call, 400, "this request has no body");
        return !request->body;
    }
    if (!request->body) {
        call_fail(call, 400, "this request needs a body: see docs/api/vm.yaml");
        return false;
    }
    call->body =
        json_loadb((const char *)request->body, request->body_len, JSON_REJECT_DUPLICATES, &where);
    if (!call->body) {
        snprintf(fault, sizeof fault, "the body is not JSON: line %d: %.120s", where.line,
                 where.text);
        call_fail(call, 400, fault);
        return false;
    }
    if (check_body(operation->body, call->body, fault))
        return true;
    call_fail(call, 400, fault);
    return false;
}

void routes_take(struct calls *calls, const struct server_request *request)
{
    int status;
    const struct openapi_operation *operation = find(request, &status);
    struct call *call;

    if (!operation) {
        refuse(calls, request->number, status,
               status == 404 ? "there is no such path: see docs/api/vm.yaml"
                             : "this path has another method: see docs/api/vm.yaml");
        return;
    }
    call = call_new(calls, request);
    if (!call) {
        refuse(calls, request->number, 503, "too many requests are being dealt with: ask again");
        return;
    }
    if (!take_body(call, operation, request)) {
        call_free(call);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (strcmp(handlers[i].name, operation->handler) == 0) {
            handlers[i].take(call);
            return;
        }
    }
    not_here(call);
}
