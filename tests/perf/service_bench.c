// SPDX-License-Identifier: Apache-2.0
// service_bench.c - a real hostd in its sandbox, whose starter and VMs' brokers are this process: how long a request takes with
// few VMs and with many, what memory hostd has then, and what one tenant hears of another's flood. No VM's process is there,
// so that any host will do. Prints "WHAT N FIGURE..." per round; tests/perf/service and tenants make tables of it.
//   perf_service requests ROUNDS | memory | tenants ROUNDS
#include "../unit/hostd/stage.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/loop.h"

#define B(name) BULKHEAD__HOST_ENVELOPE__BODY_##name
#define C(name) BULKHEAD__CLIENT_ENVELOPE__BODY_##name
#define T(text) ((char *)(uintptr_t)(text))

enum {
    MAX_VMS = 200,
    TRIES = 2000,
    FLOODERS = 16,
    NO_LIMIT = 1000000,
    CALM = 1000000,
    FULL = CALM + 3
};

static struct stage s;
static struct channel *brokers[MAX_VMS];

static const Bulkhead__ClientEnvelope *hear(struct channel *channel)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds;
    int *fds;

    if (channel_receive_raw(channel, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds) != 0)
        return NULL;
    return (const Bulkhead__ClientEnvelope *)msg;
}

/* As launcher and broker have it. */
static struct channel *run_vm(struct channel *client, const char *name)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Reply reply = BULKHEAD__REPLY__INIT;
    Bulkhead__ProcessList list = BULKHEAD__PROCESS_LIST__INIT;
    struct channel *launcher, *broker;
    int pair[2];

    stage_create(&s, client, name, true);
    stage_asked(&s, STARTER_SAVE);
    stage_done(&s, 0, NULL, 0);
    stage_asked(&s, STARTER_START);
    assert_int_equal(channel_new(&launcher, fd_take(&s.fd), CHANNEL_ARENA_CLIENT), 0);
    stage_done(&s, 0, NULL, 0);
    assert_int_equal(hear(launcher)->body_case, C(RUN_VM));
    stage_asked(&s, STARTER_SAVE);
    stage_done(&s, 0, NULL, 0);
    e.body_case = C(REPLY);
    e.reply = &reply;
    assert_int_equal(channel_send_raw(launcher, &e.base, NULL, 0, true), 0);
    stage_asked(&s, STARTER_CONNECT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    stage_done(&s, 0, pair, 1);
    close(pair[0]);
    assert_int_equal(channel_new(&broker, pair[1], CHANNEL_ARENA_CLIENT), 0);
    while (hear(broker)->body_case != C(LIST_PROCESSES))
        ;
    list.state = T("running");
    e.body_case = C(PROCESS_LIST);
    e.process_list = &list;
    assert_int_equal(channel_send_raw(broker, &e.base, NULL, 0, true), 0);
    assert_int_equal(stage_hear(client, NULL, NULL)->reply->error, 0);
    assert_null(hear(launcher));
    channel_free(launcher);
    return broker;
}

static uid_t calm_uid(void)
{
    return geteuid() == 0 ? CALM : geteuid();
}

static struct channel *begin(unsigned n_vms)
{
    struct channel *client;
    char name[16];

    stage_begin(&s, NO_LIMIT);
    client = stage_connect(&s, calm_uid());
    for (unsigned i = 0; i < n_vms; i++) {
        snprintf(name, sizeof name, "v%u", i);
        brokers[i] = run_vm(client, name);
    }
    return client;
}

static void end(struct channel *client, unsigned n_vms)
{
    channel_free(client);
    stage_end(&s);
    for (unsigned i = 0; i < n_vms; i++)
        channel_free(brokers[i]);
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void time_requests(const char *what, struct channel *client, unsigned n_vms)
{
    static uint64_t times[TRIES];
    char name[16];

    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = now_ns();

        snprintf(name, sizeof name, "v%u", i % n_vms);
        assert_int_equal(stage_ask(&s, client, B(INSPECT_VM), name)->body_case, B(VM_DETAILS));
        times[i] = now_ns() - before;
    }
    qsort(times, TRIES, sizeof times[0], compare);
    printf("%s %u %.1f %.1f\n", what, n_vms, (double)times[TRIES / 2] / 1000,
           (double)times[TRIES * 99 / 100] / 1000);
}

static int requests(unsigned rounds)
{
    static const unsigned sizes[] = { 1, 100 };

    for (unsigned r = 0; r < rounds; r++)
        for (unsigned i = 0; i < 2; i++) {
            struct channel *client = begin(sizes[i]);

            time_requests("requests", client, sizes[i]);
            end(client, sizes[i]);
        }
    return 0;
}

static long pss_kib(pid_t pid)
{
    char path[64], line[128];
    long kib = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static int memory(void)
{
    static const unsigned sizes[] = { 1, 32, 200 };

    for (unsigned i = 0; i < 3; i++) {
        struct channel *client = begin(sizes[i]);

        printf("memory %u %ld\n", sizes[i], pss_kib(s.hostd));
        end(client, sizes[i]);
    }
    return 0;
}

enum flood { LISTS, REFUSALS };

/* A list; or a VM more than he may have and, in turn, a start of the one he has, which runs. */
static void ask(struct channel *client, enum flood flood)
{
    static unsigned n;
    Bulkhead__HostEnvelope e = BULKHEAD__HOST_ENVELOPE__INIT;
    Bulkhead__ListVms list = BULKHEAD__LIST_VMS__INIT;
    Bulkhead__StartVm start = BULKHEAD__START_VM__INIT;

    if (flood == REFUSALS && n++ % 2 == 0) {
        stage_create(&s, client, "more", true);
        return;
    }
    start.vm = T("own");
    if (flood == LISTS) {
        e.body_case = B(LIST_VMS);
        e.list_vms = &list;
    } else {
        e.body_case = B(START_VM);
        e.start_vm = &start;
    }
    stage_send(&s, client, &e);
}

/* It ends when the flood is not the one that is meant. */
static void hear_answer(struct channel *client, enum flood flood)
{
    const Bulkhead__HostEnvelope *e = stage_hear(client, NULL, NULL);

    if (!e || (flood == REFUSALS && (e->body_case != B(REPLY) || e->reply->error == 0)))
        _exit(1);
}

/* As fast as it is let, on all its connections, by all that a session may have without an answer. */
static _Noreturn void flood(enum flood flood)
{
    struct channel *clients[FLOODERS];
    struct pollfd polls[FLOODERS];

    for (unsigned i = 0; i < FLOODERS; i++) {
        clients[i] = stage_connect(&s, flood == LISTS ? CALM + 1 : FULL);
        for (unsigned n = 0; n < 24; n++)
            ask(clients[i], flood);
        polls[i] = (struct pollfd){ .fd = channel_fd(clients[i]), .events = POLLIN };
    }
    for (;;) {
        (void)poll(polls, FLOODERS, -1);
        for (unsigned i = 0; i < FLOODERS; i++)
            if (polls[i].revents) {
                hear_answer(clients[i], flood);
                ask(clients[i], flood);
            }
    }
}

static void time_beside(enum flood kind, const char *what, struct channel *client)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        flood(kind);
    (void)poll(NULL, 0, 300); /* his burst is over by then */
    time_requests(what, client, 20);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* he is still at it */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int tenants(unsigned rounds)
{
    if (geteuid() != 0) {
        fprintf(stderr, "perf_service: tenants are users: only root can be several\n");
        return 77;
    }
    for (unsigned r = 0; r < rounds; r++) {
        struct channel *client = begin(20), *full = stage_connect(&s, FULL);
        struct channel *broker = run_vm(full, "own");

        time_requests("alone", client, 20);
        time_beside(LISTS, "lists", client);
        time_beside(REFUSALS, "refusals", client);
        channel_free(full);
        end(client, 20);
        channel_free(broker);
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 5;

    if (argc > 1 && strcmp(argv[1], "requests") == 0)
        return requests(rounds);
    if (argc > 1 && strcmp(argv[1], "memory") == 0)
        return memory();
    if (argc > 1 && strcmp(argv[1], "tenants") == 0)
        return tenants(rounds);
    fputs("usage: perf_service requests ROUNDS | memory | tenants ROUNDS\n", stderr);
    return 2;
}
