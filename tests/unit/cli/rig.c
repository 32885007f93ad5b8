// SPDX-License-Identifier: Apache-2.0
// rig.c - see rig.h.
#include "rig.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the broker's part ---- */

const Bulkhead__ClientEnvelope *rig_receive(struct channel *channel, int *ret_tty)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;

    if (channel_receive_raw(channel, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds) != 0)
        _exit(20);
    *ret_tty = n_fds > 0 ? fds[0] : -1;
    return (const Bulkhead__ClientEnvelope *)msg;
}

void rig_send_ended(struct channel *channel, Bulkhead__GuestStateKind state, bool by_user,
                    bool host_failure)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__VmEnded ended = BULKHEAD__VM_ENDED__INIT;
    char detail[] = "said the test";

    ended.state = state;
    ended.by_user = by_user;
    ended.host_failure = host_failure;
    ended.detail = detail;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED;
    e.vm_ended = &ended;
    if (channel_send_raw(channel, &e.base, NULL, 0, true) < 0)
        _exit(21);
}

void rig_send_event(struct channel *channel)
{
    Bulkhead__ClientEnvelope e = BULKHEAD__CLIENT_ENVELOPE__INIT;
    Bulkhead__Event event = BULKHEAD__EVENT__INIT;
    char source[] = "vm";
    char name[] = "booted";

    event.time_ns = 1;
    event.source = source;
    event.event = name;
    e.body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT;
    e.event = &event;
    if (channel_send_raw(channel, &e.base, NULL, 0, true) < 0)
        _exit(23);
}

void rig_make(const char *path)
{
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

int rig_open_locked(void)
{
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(getenv("LOCK"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    return fd < 0 || fcntl(fd, F_OFD_SETLK, &all) < 0 ? -1 : fd;
}

/* ---- the test's part ---- */

static void copy_program(const char *from, const char *dir, const char *name)
{
    char path[128];
    struct stat st;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    assert_true(in >= 0 && out >= 0 && fstat(in, &st) == 0);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left);

        assert_true(n > 0);
        left -= n;
    }
    close(in);
    close(out);
}

int rig_setup(void **state)
{
    struct rig *f = calloc(1, sizeof(*f));

    f->errors = f->passed = -1;
    snprintf(f->dir, sizeof(f->dir), "/tmp/bulkhead-run-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->go, sizeof(f->go), "%s/go", f->dir);
    setenv("GO", f->go, 1);
    copy_program(BULKHEAD_PROGRAM, f->dir, "bulkhead");
    copy_program("/proc/self/exe", f->dir, "bulkhead-broker");
    *state = f;
    return 0;
}

int rig_teardown(void **state)
{
    static const char *const names[] = { "bulkhead", "bulkhead-broker", "events" };
    struct rig *f = *state;
    char path[128];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    unlink(f->go);
    rmdir(f->dir);
    free(f);
    return 0;
}

void rig_start(struct rig *f, const char *part, const char *flag, const char *value)
{
    char program[96];
    int seen[2];
    char audit[] = "--audit";
    char *argv[] = { (char[]){ "bulkhead" },   (char[]){ "run" },
                     (char[]){ "--kernel" },   (char[]){ "k" },
                     (char[32]){ "" },         (char[128]){ "" },
                     f->audits ? audit : NULL, NULL };

    if (flag) {
        snprintf(argv[4], 32, "%s", flag);
        snprintf(argv[5], 128, "%s", value);
    } else {
        argv[4] = argv[6];
        argv[5] = NULL;
    }
    snprintf(program, sizeof(program), "%s/bulkhead", f->dir);
    setenv("PART", part, 1);
    unlink(f->go);
    assert_int_equal(pipe2(seen, O_CLOEXEC), 0);
    f->pid = forkpty(&f->master, NULL, NULL, NULL);
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char byte;

        close(seen[1]);
        if (f->errors >= 0)
            dup2(f->errors, STDERR_FILENO);
        if (f->passed >= 0)
            fcntl(f->passed, F_SETFD, 0);
        (void)!read(seen[0], &byte, 1); /* until the terminal was looked at as it is now */
        execv(program, argv);
        _exit(127);
    }
    close(seen[0]);
    assert_int_equal(tcgetattr(f->master, &f->before), 0);
    close(seen[1]);
}

void rig_go(struct rig *f)
{
    rig_make(f->go);
}

void rig_await(const char *path)
{
    for (int ms = 0; access(path, F_OK) != 0; ms += RIG_POLL_MS) {
        if (ms > RIG_TIMEOUT_MS)
            fail_msg("there is no %s", path);
        poll(NULL, 0, RIG_POLL_MS);
    }
}

bool rig_is_raw(struct rig *f)
{
    struct termios now;

    assert_int_equal(tcgetattr(f->master, &now), 0);
    return (now.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

void rig_await_raw(struct rig *f, bool raw)
{
    for (int ms = 0; rig_is_raw(f) != raw; ms += RIG_POLL_MS) {
        if (ms > RIG_TIMEOUT_MS)
            fail_msg("the terminal did not become %s", raw ? "raw" : "as before");
        poll(NULL, 0, RIG_POLL_MS);
    }
}

int rig_finish(struct rig *f)
{
    struct termios now;
    int status = 0;
    size_t n = 0;

    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    assert_int_equal(tcgetattr(f->master, &now), 0);
    for (;;) { /* what it printed; EIO when the other side is closed */
        ssize_t got = read(f->master, f->text + n, sizeof(f->text) - 1 - n);

        if (got <= 0)
            break;
        n += (size_t)got;
    }
    f->text[n] = '\0';
    close(f->master);
    assert_int_equal(now.c_lflag, f->before.c_lflag);
    assert_int_equal(now.c_iflag, f->before.c_iflag);
    assert_int_equal(now.c_oflag, f->before.c_oflag);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
