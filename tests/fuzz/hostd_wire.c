// SPDX-License-Identifier: Apache-2.0
// hostd_wire.c - the datagrams between hostd and the starter (hostd/starter/wire.h), each side hearing whatever it is: a hostd
// that was taken over gets one answer for each request with a number, and nothing else comes of it; what a starter says is an
// event that is whole, or none. The first byte says whose side it is. Nothing is started: what would fork is left out.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "hostd/run/service.h"
#include "hostd/run/starter_link.h"
#include "hostd/starter/requests.h"
#include "hostd/starter/starter.h"
#include "hostd/starter/state.h"

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "hostd_wire: not so: %s\n", #what);                                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the starter's side ---- */

static struct starter *starter;
static int hostd_fd;
static char dir[] = "/tmp/bulkhead-fuzz.XXXXXX";

static void nothing(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void remove_dir(void)
{
    static const char *const parts[] = { "run/vms", "run/io",    "run/lock",
                                         "run",     "state/vms", "state" };
    char path[64];

    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, parts[i]);
        (void)remove(path);
    }
    (void)rmdir(dir);
}

static void set_place(const char *variable, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK(setenv(variable, path, 1) == 0);
}

static void begin(void)
{
    struct fault f = { 0 };
    int pair[2];

    CHECK(mkdtemp(dir));
    CHECK(atexit(remove_dir) == 0);
    set_place("BULKHEAD_HOST_RUN", "run");
    set_place("BULKHEAD_HOST_STATE", "state");
    set_place("BULKHEAD_HOST_CONFIG", "config");
    CHECK(starter_new(&starter, &f) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    starter->fd = pair[0];
    hostd_fd = pair[1];
    closers_init(&starter->closers);
    CHECK(loop_new(&starter->loop) == 0);
    CHECK(loop_add_timer(starter->loop, nothing, NULL, &starter->tick) == 0);
    CHECK(loop_add_fd(starter->loop, pair[0], LOOP_WRITE, nothing, NULL, &starter->room_event) ==
          0);
    CHECK(loop_event_pause(starter->room_event) == 0);
}

static void be_hostd(const uint8_t *data, size_t size)
{
    struct handed fds = { .fds = { -1 } };
    struct starter_report report;
    struct starter_request q = { 0 };
    uint8_t bytes[sizeof report + STARTER_MAX_BYTES];
    unsigned done = 0;
    ssize_t n;

    if (size < 1 || size - 1 > sizeof starter->datagram)
        return;
    fds.n = data[0] & 1;
    if (fds.n > 0) /* which is no channel to a launcher: no VM is started */
        fds.fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
    memcpy(starter->datagram, data + 1, size - 1);
    memcpy(&q, data + 1, size - 1 < sizeof q ? 0 : sizeof q);
    if (q.kind != STARTER_SAVE && q.kind != STARTER_REMOVE) /* done by processes of their own */
        requests_take(starter, size - 1, &fds);
    handed_close(&starter->closers, &fds);
    while ((n = recv(hostd_fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        CHECK((size_t)n >= sizeof report);
        memcpy(&report, bytes, sizeof report);
        CHECK(report.len == (size_t)n - sizeof report && report.id == q.id);
        CHECK(memchr(report.text, 0, sizeof report.text));
        CHECK(report.error == 0 || report.text[0] != '\0');
        done += report.kind == STARTER_DONE;
    }
    CHECK(done == (q.id != 0 && q.kind != STARTER_SAVE && q.kind != STARTER_REMOVE));
    for (unsigned i = 0; i < STATE_MAX_VMS; i++)
        CHECK(starter->places[i].broker.pid == 0 && starter->places[i].console.pid == 0);
}

/* ---- hostd's side ---- */

static unsigned events;

static void happen(struct service *s, struct host_event *e)
{
    events++;
    if (e->kind == HOST_END) {
        loop_quit(s->loop, 0);
        return;
    }
    CHECK(e->kind == HOST_REPORTED || e->kind == HOST_KEPT || e->kind == HOST_CONSOLE_ENDED ||
          e->kind == HOST_BROKER_ENDED);
    CHECK(memchr(e->fault.text, 0, sizeof e->fault.text));
    if (e->kind == HOST_REPORTED) {
        CHECK(e->fault.error == 0 || e->fault.text[0] != '\0');
        return;
    }
    CHECK(strlen(e->tenant) < sizeof(struct starter_report) && strlen(e->name) < 64);
    if (e->kind == HOST_KEPT && *e->kept && (*e->kept)->spec)
        CHECK((*e->kept)->spec->config);
}

static void be_starter(const uint8_t *data, size_t size)
{
    static struct service s = { .happen = happen };
    int pair[2];

    if (!s.loop)
        CHECK(loop_new(&s.loop) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(starter_link_new(&s, pair[0]) == 0);
    if (size > 0)
        (void)!send(pair[1], data, size, MSG_NOSIGNAL);
    close(pair[1]);
    events = 0;
    CHECK(loop_run(s.loop) == 0);
    CHECK(events >= 1 && events <= 2);
    starter_link_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int quiet;

    if (!quiet) { /* each refusal is a line, and there are millions */
        log_init("fuzz", (enum log_level)(LOG_LEVEL_ERROR + 1));
        quiet = 1;
    }
    if (size < 1)
        return 0;
    if (data[0] & 1) {
        be_starter(data + 1, size - 1);
        return 0;
    }
    if (!starter)
        begin();
    be_hostd(data + 1, size - 1);
    return 0;
}
