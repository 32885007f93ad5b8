/* SPDX-License-Identifier: Apache-2.0 */
/* session_test.c - clients that don't listen, don't leave, or come in numbers. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "api/requests.h"
#include "api/session.h"
#include "base/fd.h"
#include "rig.h"
#include "run/happen.h"
#include "run/lines.h"
#include "silent.h"

enum { SERVER_ENDS_MS = 5000 };
enum { MANY_EVENTS = 20000, ACCEPT_AGAIN_MS = 100, TRIES = 4, PATIENCE_MS = 60000 };

static struct rig rig;
static struct sessions sessions;

/* How often a client was to be let in; the test goes on when it was, or has failed so often. */
static unsigned n_accepts, enough;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    int r = __real_accept4(fd, address, len, flags), error = errno;

    if (r >= 0 || ++n_accepts == enough)
        loop_quit(rig.loop, 0);
    errno = error;
    return r;
}

static void start(void)
{
    memset(&sessions, 0, sizeof sessions);
    rig_run(&rig, 5);
    session_init(&sessions, &rig.in, request_take);
}

static void end(void)
{
    session_close_all(&sessions);
    rig_end(&rig);
}

/* Its end of a new session. */
static struct channel *connect_client(bool is_run)
{
    struct channel *ours;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    assert_int_equal(session_add(&sessions, pair[0], is_run), 0);
    assert_int_equal(channel_new(&ours, pair[1], CHANNEL_ARENA_BROKER), 0);
    return ours;
}

/* The next message; NULL: none. Valid until the next one. */
static const Bulkhead__ClientEnvelope *hear(struct channel *channel, bool *ret_closed)
{
    ProtobufCMessage *msg = NULL;
    int *fds = NULL, r;
    size_t n_fds;

    r = channel_receive_raw(channel, false, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds);
    *ret_closed = r != 0 && r != CHANNEL_EMPTY;
    return r == 0 ? (const Bulkhead__ClientEnvelope *)msg : NULL;
}

static bool is_closed(struct channel *channel)
{
    bool closed = false;

    while (hear(channel, &closed))
        ;
    return closed;
}

static void on_stop(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    loop_quit(arg, 0);
}

/* What the broker has to do, it does. */
static void turn(void)
{
    struct loop_event *timer;

    assert_int_equal(loop_add_timer(rig.loop, on_stop, rig.loop, &timer), 0);
    assert_int_equal(loop_timer_arm(timer, 20, false), 0);
    assert_int_equal(loop_run(rig.loop), 0);
    loop_event_free(timer);
}

static void ask_to_stop(struct channel *client)
{
    Bulkhead__StopVm stop = BULKHEAD__STOP_VM__INIT;
    CLIENT_ENVELOPE(e, STOP_VM, stop_vm, &stop);

    e.id = 1;
    assert_int_equal(channel_send_raw(client, &e.base, NULL, 0, false), 0);
}

/* Sixteen that are stopped don't lock the seventeenth out: it may be the one that ends the VM. */
static void somebody_gets_in(void **state)
{
    struct channel *run, *idle[SESSIONS_MAX - 1], *last;

    (void)state;
    start();
    run = connect_client(true);
    for (unsigned i = 0; i < ARRAY_SIZE(idle); i++)
        idle[i] = connect_client(false);
    last = connect_client(false);
    assert_true(is_closed(idle[0])); /* it has been silent longest */
    assert_false(is_closed(run));    /* not the one who runs the VM */
    assert_false(is_closed(idle[1]));
    ask_to_stop(last);
    turn();
    assert_int_equal(rig.in.vm.phase, VM_ENDING);
    for (unsigned i = 0; i < ARRAY_SIZE(idle); i++)
        channel_free(idle[i]);
    channel_free(run);
    channel_free(last);
    end();
}

static void notice(void)
{
    struct actions *actions = &rig.in.vm.actions;

    actions->n = 0;
    action_notice(actions, "test", "tick", "n", "1", NULL);
    rig.in.audience.notice(rig.in.audience.arg, &actions->list[0]);
}

/* One that reads late has missed some, and knows how many. */
static void who_reads_late_is_told(void **state)
{
    const Bulkhead__ClientEnvelope *e;
    struct channel *client;
    unsigned heard = 0, missed = 0;
    bool closed;

    (void)state;
    start();
    client = connect_client(true);
    for (unsigned i = 0; i < MANY_EVENTS; i++)
        notice();
    while ((e = hear(client, &closed)) != NULL)
        heard++;
    assert_false(closed);
    assert_in_range(heard, 1, MANY_EVENTS - 1);
    notice();
    while ((e = hear(client, &closed)) != NULL) {
        if (strcmp(e->event->event, "missed") == 0)
            missed = (unsigned)strtoul(e->event->properties[0]->value, NULL, 10);
        else
            heard++;
    }
    assert_int_equal(missed, MANY_EVENTS - (heard - 1));
    channel_free(client);
    end();
}

/* Each request has one answer, whatever it was. */
static void one_answer(void **state)
{
    const Bulkhead__ClientEnvelope *e;
    struct channel *client;
    bool closed;

    (void)state;
    start();
    client = connect_client(false);
    ask_to_stop(client);
    turn();
    e = hear(client, &closed);
    assert_non_null(e);
    assert_int_equal(e->id, 1);
    assert_int_equal(e->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY);
    assert_null(hear(client, &closed));
    channel_free(client);
    end();
}

/* ---- a service's VM ---- */

/* Whose launcher's leaving ends nothing; of any other VM that is the end. */
static void a_launcher_leaves(void **state)
{
    (void)state;
    for (int service = 0; service < 2; service++) {
        struct channel *run;

        start();
        rig.in.is_service = service;
        run = connect_client(true);
        channel_free(run);
        turn();
        assert_int_equal(rig.in.vm.phase, service ? VM_RUNNING : VM_ENDING);
        end();
    }
}

/* The answer's text; "": it was done. */
static const char *ask(struct channel *client, Bulkhead__ClientEnvelope *e)
{
    const Bulkhead__ClientEnvelope *answer;
    bool closed;

    e->id = 1;
    assert_int_equal(channel_send_raw(client, &e->base, NULL, 0, false), 0);
    turn();
    answer = hear(client, &closed);
    if (!answer)
        return NULL;
    assert_int_equal(answer->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY);
    return answer->reply->error == 0 ? "" : answer->reply->text;
}

static const char *limit(struct channel *client, bool no_programs, uint32_t max_devices,
                         bool no_user_net)
{
    Bulkhead__LimitSession limits = BULKHEAD__LIMIT_SESSION__INIT;
    CLIENT_ENVELOPE(e, LIMIT_SESSION, limit_session, &limits);

    limits.no_programs = no_programs;
    limits.max_devices = max_devices;
    limits.no_user_net = no_user_net;
    return ask(client, &e);
}

static const char *bring_program(struct channel *client)
{
    Bulkhead__Upgrade upgrade = BULKHEAD__UPGRADE__INIT;
    CLIENT_ENVELOPE(e, UPGRADE, upgrade, &upgrade);
    char device[] = "rng";

    upgrade.device = device;
    upgrade.handed_over = true;
    return ask(client, &e);
}

static const char *may_add_disk(struct channel *client)
{
    Bulkhead__AddDevice add = BULKHEAD__ADD_DEVICE__INIT;
    Bulkhead__VmConfig device = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__DiskConfig disk = BULKHEAD__DISK_CONFIG__INIT, *disks[] = { &disk };
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &add);
    char path[] = "/disk";

    disk.path = path;
    device.disks = disks;
    device.n_disks = 1;
    add.device = &device;
    add.check_only = true;
    return ask(client, &e);
}

/* check: whether it may be; else it is asked for at once. */
static const char *add_net(struct channel *client, const char *mode, bool check)
{
    Bulkhead__AddDevice add = BULKHEAD__ADD_DEVICE__INIT;
    Bulkhead__VmConfig device = BULKHEAD__VM_CONFIG__INIT;
    Bulkhead__NetConfig net = BULKHEAD__NET_CONFIG__INIT, *nets[] = { &net };
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &add);

    net.mode = (char *)(uintptr_t)mode;
    device.nets = nets;
    device.n_nets = 1;
    add.device = &device;
    add.check_only = check;
    return ask(client, &e);
}

/* The rig's VM has two devices. */
static void a_limited_session_stays_so(void **state)
{
    struct channel *limited, *roomy, *free;

    (void)state;
    start();
    limited = connect_client(false);
    roomy = connect_client(false);
    free = connect_client(false);
    assert_null(limit(limited, true, 2, true));
    assert_null(limit(roomy, false, 3, false));
    for (int i = 0; i < 2; i++) {
        assert_non_null(strstr(may_add_disk(limited), "has 2 devices, and may have 2"));
        assert_non_null(strstr(bring_program(limited), "programs are its host's"));
        assert_non_null(strstr(limit(limited, false, 0, false), "first message"));
    }
    assert_null(
        strstr(may_add_disk(roomy), "may have")); /* the rig's VM is refused for another reason */
    assert_null(strstr(bring_program(roomy), "programs are its host's"));
    assert_null(strstr(may_add_disk(free), "may have"));
    assert_non_null(strstr(limit(free, true, 1, true), "first message"));
    channel_free(limited);
    channel_free(roomy);
    channel_free(free);
    end();
}

/* What a guest's connection to the service's port gets; NULL: it was taken, which nobody says. peer: its other end, the
 * test's; a line of another type may be brought. */
static const char *bring_line(struct channel *client, int type, int *ret_peer)
{
    Bulkhead__ServiceLine line = BULKHEAD__SERVICE_LINE__INIT;
    CLIENT_ENVELOPE(e, SERVICE_LINE, service_line, &line);
    const Bulkhead__ClientEnvelope *answer;
    bool closed;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(channel_send_raw(client, &e.base, &pair[1], 1, false), 0);
    close(pair[1]);
    turn();
    answer = hear(client, &closed);
    if (ret_peer)
        *ret_peer = pair[0];
    else
        close(pair[0]);
    return answer ? answer->reply->text : NULL;
}

static void is_line(int fd, int peer)
{
    char byte = 0;

    assert_true(fd >= 0);
    assert_int_equal(send(peer, "x", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    close(fd);
}

/* Lines of the service's for a guest that has a right: from the service alone, of the one kind, as many as it hands in at
 * once; of a service that has died none is used. */
static void lines_of_the_service(void **state)
{
    struct channel *service, *tenant;
    int peers[INSTANCE_MAX_LINES + 1];

    (void)state;
    start();
    service = connect_client(false);
    tenant = connect_client(false);
    assert_null(limit(tenant, true, 0, true));
    assert_non_null(strstr(bring_line(service, SOCK_STREAM, NULL), "service's to hand in"));
    rig.in.is_service = true;
    assert_non_null(strstr(bring_line(service, SOCK_STREAM, NULL), "service's to hand in"));
    rig.in.config->vsock->service_port = 77;
    assert_non_null(strstr(bring_line(tenant, SOCK_STREAM, NULL), "service's to hand in"));
    assert_non_null(strstr(bring_line(service, SOCK_SEQPACKET, NULL), "no line"));
    assert_true(lines_are_for(&rig.in, 77));
    assert_false(lines_are_for(&rig.in, 78) || lines_are_for(&rig.in, 0));
    assert_int_equal(lines_take(&rig.in), -ECONNREFUSED);
    for (unsigned i = 0; i < ARRAY_SIZE(peers); i++)
        assert_null(bring_line(service, SOCK_STREAM, &peers[i]));
    assert_int_equal(send(peers[0], "x", 1, MSG_NOSIGNAL), -1); /* the oldest made way */
    is_line(lines_take(&rig.in), peers[1]);
    close(peers[2]);
    is_line(lines_take(&rig.in), peers[3]);
    close(peers[4]);
    assert_int_equal(lines_take(&rig.in), -ECONNREFUSED);
    close(peers[0]);
    close(peers[1]);
    close(peers[3]);
    channel_free(service);
    channel_free(tenant);
    end();
}

/* A tenant that may have no user network when its VM starts can't add one either. */
static void a_session_without_user_networks(void **state)
{
    static const char refused[] = "tenant may have no user network";
    struct channel *limited, *free;

    (void)state;
    start();
    limited = connect_client(false);
    free = connect_client(false);
    assert_null(limit(limited, false, 0, true));
    for (int check = 0; check < 2; check++) {
        assert_non_null(strstr(add_net(limited, "user", check), refused));
        assert_null(strstr(add_net(limited, "tap", check), refused));
        assert_null(strstr(add_net(free, "user", check), refused));
    }
    channel_free(limited);
    channel_free(free);
    end();
}

/* ---- the listener ---- */

static int listener(struct sockaddr_un *ret_address, socklen_t *ret_len)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* One that is in no folder. */
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    *ret_len = sizeof *ret_address;
    assert_int_equal(bind(fd, (struct sockaddr *)ret_address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret_address, ret_len), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void on_late(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    loop_quit(arg, -ETIME);
}

/* Until a client was let in, or has been turned away so often. */
static void run_until(unsigned tries)
{
    struct loop_event *late;

    n_accepts = 0;
    enough = tries;
    assert_int_equal(loop_add_timer(rig.loop, on_late, rig.loop, &late), 0);
    assert_int_equal(loop_timer_arm(late, PATIENCE_MS, false), 0);
    assert_int_equal(loop_run(rig.loop), 0);
    loop_event_free(late);
}

static struct channel *connect_to(const struct sockaddr_un *address, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct channel *ours;

    assert_int_equal(connect(fd, (const struct sockaddr *)address, len), 0);
    assert_int_equal(channel_new(&ours, fd, CHANNEL_ARENA_BROKER), 0);
    return ours;
}

/* The connection stays, and the kernel tells of it for as long: it is looked at now and then, not all the time. When
 * there are descriptors again the client gets in. */
static void who_comes_when_descriptors_are_gone(void **state)
{
    struct sockaddr_un address;
    struct rlimit before, none;
    struct channel *client;
    uint64_t began;
    socklen_t len;
    bool closed;

    (void)state;
    start();
    rig.in.host.uid = geteuid();
    rig.in.rundir.listen_fd = listener(&address, &len);
    assert_int_equal(session_listen(&sessions), 0);
    client = connect_to(&address, len);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)dup(0); /* the first that is free */
    close((int)none.rlim_cur);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    began = now_ns();
    run_until(TRIES);
    assert_int_equal(n_accepts, TRIES);
    assert_true(now_ns() - began >=
                (TRIES - 1) * ACCEPT_AGAIN_MS * UINT64_C(500000)); /* it doesn't spin */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    run_until(TRIES);
    ask_to_stop(client);
    turn();
    assert_int_equal(rig.in.vm.phase, VM_ENDING);
    assert_non_null(hear(client, &closed));
    channel_free(client);
    end();
}

/* ---- files of a server that doesn't answer ---- */

/* Its log is one; so long until the server goes, and whoever waits for it goes on. */
static pid_t end_later(const struct silent *silent)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)poll(NULL, 0, SERVER_ENDS_MS);
        _exit(kill(silent->server, SIGKILL));
    }
    return pid;
}

static unsigned serial_number(void)
{
    for (unsigned i = 0; i < rig.in.n_ends; i++)
        if (rig.in.plan.devices[i].role == BULKHEAD__ROLE__ROLE_CONSOLE)
            return i;
    fail_msg("no serial port");
    return 0;
}

/* The plan says which file that is, and nobody asks the server. */
static void a_plan_waits_for_no_server(void **state)
{
    Bulkhead__GetPlan get = BULKHEAD__GET_PLAN__INIT;
    CLIENT_ENVELOPE(e, GET_PLAN, get_plan, &get);
    const int tty[] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
                        open("/dev/null", O_WRONLY | O_CLOEXEC) };
    const Bulkhead__ClientEnvelope *answer;
    struct silent silent;
    struct channel *client;
    char asked, dir[64];
    struct backend *b;
    bool closed;
    pid_t pid;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/bulkhead-session-%d", (int)getpid());
    if (!silent_begin(&silent, dir))
        skip();
    memset(&sessions, 0, sizeof sessions);
    rig_run_console(&rig, 5, NULL, tty);
    session_init(&sessions, &rig.in, request_take);
    client = connect_client(false);
    rig.in.config->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_FILE;
    b = &rig.in.ends[serial_number()].backend;
    fd_closep(&b->own[1]);
    b->own[1] = open(silent.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(b->own[1] >= 0);
    pid = end_later(&silent);
    assert_int_equal(channel_send_raw(client, &e.base, NULL, 0, false), 0);
    turn();
    answer = hear(client, &closed);
    assert_non_null(answer);
    assert_int_equal(answer->body_case, BULKHEAD__CLIENT_ENVELOPE__BODY_PLAN);
    assert_true(read(silent.asked, &asked, 1) < 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    channel_free(client);
    end();
    silent_end(&silent);
    close(tty[0]);
    close(tty[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(somebody_gets_in),
        cmocka_unit_test(who_reads_late_is_told),
        cmocka_unit_test(one_answer),
        cmocka_unit_test(a_launcher_leaves),
        cmocka_unit_test(a_limited_session_stays_so),
        cmocka_unit_test(a_session_without_user_networks),
        cmocka_unit_test(lines_of_the_service),
        cmocka_unit_test(who_comes_when_descriptors_are_gone),
        cmocka_unit_test(a_plan_waits_for_no_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
