/* SPDX-License-Identifier: Apache-2.0 */
/* simple.c - see simple.h. */
#include "api/simple.h"

#include <string.h>
#include "base/err.h"
#include "json/describe_vm.h"

/* The version of Cloud Hypervisor whose API this is: clients compare it with what they need. */
#define API_VERSION "46.0.0"
/* A guest may take its time to let go of a device: who asked is told that it was asked for. */
enum { REMOVAL_MS = 500 };

#define ASK(CASE, field, member, type)                                                             \
    do {                                                                                           \
        bulkhead__##type##__init(&call->of.member);                                                \
        call->request.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_##CASE;                          \
        call->request.field = &call->of.member;                                                    \
    } while (0)

/* Whether it has the body that it is to have; if not the call has been answered. */
static bool is_answer(struct call *call, const Bulkhead__ClientEnvelope *answer,
                      Bulkhead__ClientEnvelope__BodyCase want)
{
    if (!answer)
        call_fail(call, 503, err_text());
    else if (answer->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY &&
             answer->reply->error != 0)
        call_fail_reply(call, answer->reply);
    else if (answer->body_case != want)
        call_fail(call, 500, "the broker gave an answer that doesn't fit the question");
    else
        return true;
    return false;
}

static void on_done(void *arg, const Bulkhead__ClientEnvelope *answer, int *fds, size_t n_fds)
{
    struct call *call = arg;

    (void)fds;
    (void)n_fds;
    if (is_answer(call, answer, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY))
        call_answer(call, 204, NULL);
    call_free(call);
}

void simple_ping(struct call *call)
{
    call_answer(call, 200,
                json_pack("{s:s,s:s,s:i,s:[s,s]}", "build_version", "bulkhead-" BH_BUILD_ID,
                          "version", API_VERSION, "pid", call->calls->served.pid, "features", "kvm",
                          "io_uring"));
    call_free(call);
}

static void on_description(void *arg, const Bulkhead__ClientEnvelope *answer, int *fds,
                           size_t n_fds)
{
    struct call *call = arg;

    (void)fds;
    (void)n_fds;
    if (is_answer(call, answer, BULKHEAD__CLIENT_ENVELOPE__BODY_VM_DESCRIPTION)) {
        if (answer->vm_description->config)
            call_answer(call, 200, describe_vm(answer->vm_description));
        else
            call_fail(call, 500, "the broker gave no configuration");
    }
    call_free(call);
}

void simple_info(struct call *call)
{
    ASK(GET_VM, get_vm, get_vm, get_vm);
    call_ask(call, on_description);
}

static void on_stats(void *arg, const Bulkhead__ClientEnvelope *answer, int *fds, size_t n_fds)
{
    struct call *call = arg;

    (void)fds;
    (void)n_fds;
    if (is_answer(call, answer, BULKHEAD__CLIENT_ENVELOPE__BODY_STATS))
        call_answer(call, 200, describe_counters(answer->stats));
    call_free(call);
}

void simple_counters(struct call *call)
{
    ASK(GET_STATS, get_stats, get_stats, get_stats);
    call_ask(call, on_stats);
}

void simple_pause(struct call *call)
{
    ASK(PAUSE_VM, pause_vm, pause, pause_vm);
    call_ask(call, on_done);
}

void simple_resume(struct call *call)
{
    ASK(RESUME_VM, resume_vm, resume, resume_vm);
    call_ask(call, on_done);
}

void simple_power_button(struct call *call)
{
    ASK(PRESS_POWER_BUTTON, press_power_button, press, press_power_button);
    call_ask(call, on_done);
}

void simple_stop(struct call *call)
{
    ASK(STOP_VM, stop_vm, stop, stop_vm);
    call_ask(call, on_done);
}

void simple_resize(struct call *call)
{
    const json_t *vcpus = json_object_get(call->body, "desired_vcpus"),
                 *ram = json_object_get(call->body, "desired_ram"),
                 *balloon = json_object_get(call->body, "desired_balloon");

    if ((vcpus && !json_is_null(vcpus)) || (ram && !json_is_null(ram))) {
        call_fail(call, 501,
                  "vCPUs and memory can't be added to a VM that runs: only "
                  "desired_balloon is known here");
    } else if (!json_is_integer(balloon) || json_integer_value(balloon) < 0) {
        call_fail(call, 400, "desired_balloon: is to be a number of bytes");
    } else {
        ASK(RESIZE_BALLOON, resize_balloon, balloon, resize_balloon);
        call->of.balloon.size = (uint64_t)json_integer_value(balloon);
        call_ask(call, on_done);
        return;
    }
    call_free(call);
}

static void on_removal_takes_long(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    call_answer(arg, 204, NULL);
}

void simple_remove_device(struct call *call)
{
    const char *id = json_string_value(json_object_get(call->body, "id"));

    if (!id) {
        call_fail(call, 400, "id: is to be the name of a device");
        call_free(call);
        return;
    }
    ASK(REMOVE_DEVICE, remove_device, remove, remove_device);
    call->of.remove.device = (char *)(uintptr_t)id;
    if (loop_add_timer(call->calls->loop, on_removal_takes_long, call, &call->timer) == 0)
        (void)loop_timer_arm(call->timer, REMOVAL_MS, false);
    call_ask(call, on_done);
}
