/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - bulkhead-gateway: HTTP and JSON at one socket, for one VM. It opens nothing and connects to nothing: it is born
 * with the listening socket, its starter hands it a connection to the VM's broker, and what it may ask there is what who may
 * connect to the socket could ask himself. Who starts it does so when somebody connects, and it ends when nobody has
 * been there for a while, or when its starter has gone. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "api/routes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/gateway.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_gateway.h"

enum {
    EXIT_USAGE = 2,
    IDLE_LOOK_MS = 500,
    MAX_FILES = 1024,
    /* Bodies, what they are when they are parsed, answers, channels: beyond that a request is refused. */
    MAX_HEAP_BYTES = 48 << 20,
};

static struct gateway {
    struct loop *loop;
    struct calls calls;
    struct loop_event *idle;
    uint32_t idle_s;
} gateway;

static void on_request(void *arg, const struct server_request *request)
{
    routes_take(arg, request);
}

static void on_idle_look(int fd, unsigned what, void *arg)
{
    uint64_t empty_ns;

    (void)fd;
    (void)what;
    (void)arg;
    if (server_connections(gateway.calls.server, &empty_ns) == 0 &&
        now_ns() - empty_ns > gateway.idle_s * UINT64_C(1000000000))
        loop_quit(gateway.loop, 0);
}

/* Once: a second one is not for us. */
static void on_serve(void *arg, const Bulkhead__ServeVm *serve)
{
    struct calls *calls = arg;

    if (calls->server)
        return;
    calls->served =
        (struct served){ .pid = serve->pid,
                         .dir = strdup(serve->dir),
                         .run_dir = strdup(serve->run_dir),
                         .taps = serve->makes_taps ? VM_OPTIONS_TAPS_YES : VM_OPTIONS_TAPS_NO };
    gateway.idle_s = serve->idle_s;
    if (!calls->served.dir || !calls->served.run_dir ||
        server_new(&calls->server, gateway.loop, GATEWAY_LISTEN, &server_usual_limits, on_request,
                   calls) < 0 ||
        (gateway.idle_s > 0 && loop_timer_arm(gateway.idle, IDLE_LOOK_MS, true) < 0)) {
        log_error("%s", err_text());
        loop_quit(gateway.loop, EXIT_FAILURE);
        return;
    }
    link_begin(calls->link);
}

static void on_starter_gone(void *arg)
{
    (void)arg;
    loop_quit(gateway.loop, 0);
}

static int prepare(void)
{
    struct calls *calls = &gateway.calls;
    int r = loop_new(&gateway.loop);

    if (r < 0)
        return err_trace(r);
    calls->loop = gateway.loop;
    r = loop_add_timer(gateway.loop, on_idle_look, NULL, &gateway.idle);
    if (r == 0)
        r = link_new(&calls->link, gateway.loop, GATEWAY_STARTER, on_serve, on_starter_gone, calls);
    return r < 0 ? err_trace(r) : 0;
}

static int enter(bool insecure)
{
    const struct sandbox_limits limits = { .max_files = MAX_FILES, .stack_bytes = MAX_HEAP_BYTES };
    const int keep[] = { GATEWAY_LISTEN, loop_fd(gateway.loop) };
    unsigned missing = 0;

    return sandbox_enter(&sandbox_filter_gateway, keep, ARRAY_SIZE(keep), &limits, insecure,
                         &missing);
}

int main(int argc, char **argv)
{
    bool insecure = argc == 2 && strcmp(argv[1], "--insecure") == 0;

    log_init("bulkhead-gateway", LOG_LEVEL_INFO);
    if ((argc != 1 && !insecure) ||
        fd_expect(GATEWAY_STARTER, FD_TYPE_SEQPACKET, "the starter's socket") < 0 ||
        fd_expect(GATEWAY_LISTEN, FD_TYPE_STREAM, "the listening socket") < 0 ||
        fd_set_nonblock(GATEWAY_LISTEN) < 0) {
        log_error("bulkhead-gateway is started by `bulkhead run --api-socket`");
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    json_object_seed(0); /* it reads the kernel's random numbers, once: not in the sandbox */
    if (prepare() < 0 || enter(insecure) < 0) {
        log_error("%s", err_text());
        return EXIT_FAILURE;
    }
    return loop_run(gateway.loop) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
