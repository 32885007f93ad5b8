/* SPDX-License-Identifier: Apache-2.0 */
/* holder_test.c - the process that keeps the file of an added device's socket: when the file goes, what it does not
 * touch, and what a broker that lies can have of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources/holder.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_holder.h"
#include "temp_dir.h"
#include <cmocka.h>

enum { PATIENCE_MS = 20000 };

struct holder {
    pid_t pid;
    int link, listens;
};

static char top[64], before[1024];

/* How many of the holder's messages with a descriptor find too many in flight: another process's memory too. */
static unsigned *too_many;

int __real_fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds,
                   int flags);
int __wrap_fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds,
                   int flags);

int __wrap_fd_send(int socket_fd, const void *bytes, size_t len, const int *fds, size_t n_fds,
                   int flags)
{
    if (n_fds == 0 || *too_many == 0)
        return __real_fd_send(socket_fd, bytes, len, fds, n_fds, flags);
    --*too_many;
    return -ETOOMANYREFS;
}

static int enter_top(void **state)
{
    (void)state;
    too_many =
        mmap(NULL, sizeof *too_many, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (too_many == MAP_FAILED)
        return -1;
    return temp_dir(top, sizeof top, "bh-holder") && getcwd(before, sizeof before) &&
                   chdir(top) == 0
               ? 0
               : -1;
}

static int leave_top(void **state)
{
    (void)state;
    return chdir(before) == 0 && rmdir(top) == 0 ? 0 : -1;
}

static bool is_there(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

static void begin(struct holder *h, bool serves)
{
    struct socket_path p;
    struct fault f;
    int pair[2];

    assert_int_equal(socket_path_listen(NULL, "vsock", "s", SOCK_STREAM, &p, &h->listens, &f), 0);
    assert_int_equal(holder_link(pair), 0);
    h->pid = fork();
    assert_true(h->pid >= 0);
    if (h->pid == 0)
        holder_stay(&sandbox_filter_holder, &p, pair[1], serves);
    close(pair[1]);
    h->link = pair[0];
    socket_path_forget(&p);
}

/* It ends by itself. */
static void await_end(struct holder *h)
{
    int fd = (int)syscall(SYS_pidfd_open, h->pid, 0), status;
    struct pollfd ended = { .fd = fd, .events = POLLIN };

    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
    close(h->listens);
    fd_closep(&h->link);
}

static int ask(struct holder *h, uint32_t port, int *ret_fd)
{
    const struct holder_message m = {
        .kind = HOLDER_CONNECT, .child = 7, .token = 9, .port = port
    };
    struct pollfd answered = { .fd = h->link, .events = POLLIN };
    struct holder_message answer;

    assert_int_equal(holder_ask(h->link, &m), 0);
    assert_int_equal(poll(&answered, 1, PATIENCE_MS), 1);
    assert_int_equal(holder_hear(h->link, &answer, ret_fd), 0);
    assert_int_equal(answer.child, 7);
    assert_int_equal(answer.token, 9);
    assert_int_equal(answer.port, port);
    assert_int_equal(answer.error == 0, *ret_fd >= 0);
    return answer.error;
}

static int service(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Broker, successor's copy in the spawner, who added it: each may die as it likes, the last one counts. */
static void the_file_goes_with_the_last_end(void **state)
{
    struct holder h;
    int copy, fd;

    (void)state;
    begin(&h, true);
    assert_true(is_there("s"));
    copy = dup(h.link);
    fd_closep(&h.link);
    h.link = copy;
    assert_int_equal(ask(&h, 1, &fd), -ENOENT); /* it is still there, and so is the file */
    assert_true(is_there("s"));
    fd_closep(&h.link);
    await_end(&h);
    assert_false(is_there("s"));
}

/* However many copies there are; when the broker goes on, it is done. */
static void the_file_goes_when_it_is_told(void **state)
{
    struct holder h;
    int copy;

    (void)state;
    begin(&h, true);
    copy = dup(h.link);
    holder_dismiss(h.link);
    assert_false(is_there("s"));
    await_end(&h);
    close(copy);
}

static void what_is_not_its_own_stays(void **state)
{
    struct holder h;
    int theirs;

    (void)state;
    begin(&h, true);
    assert_int_equal(unlink("s"), 0);
    theirs = service("s");
    fd_closep(&h.link);
    await_end(&h);
    assert_true(is_there("s"));
    close(theirs);
    assert_int_equal(unlink("s"), 0);
    begin(&h, true);
    assert_int_equal(rename("s", "t"), 0); /* under another name it is another's affair */
    fd_closep(&h.link);
    await_end(&h);
    assert_int_equal(unlink("t"), 0);
}

static void signals_do_not_end_it(void **state)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct holder h;
    int fd;

    (void)state;
    begin(&h, true);
    assert_int_equal(ask(&h, 1, &fd), -ENOENT); /* it has settled down */
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        assert_int_equal(kill(h.pid, signals[i]), 0);
    assert_int_equal(ask(&h, 1, &fd), -ENOENT);
    fd_closep(&h.link);
    await_end(&h);
    assert_false(is_there("s"));
}

static void it_connects_to_neighbours_alone(void **state)
{
    int peer = service("s_80"), fd, accepted;
    struct holder h;
    char byte = 'x';

    (void)state;
    assert_int_equal(symlink("s_80", "s_81"), 0);
    begin(&h, true);
    assert_int_equal(ask(&h, 80, &fd), 0);
    accepted = accept(peer, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(write(accepted, "y", 1), 1);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(fd);
    close(accepted);
    assert_int_equal(ask(&h, 81, &fd), -ELOOP);
    assert_int_equal(ask(&h, 82, &fd), -ENOENT);
    fd_closep(&h.link);
    await_end(&h);
    begin(&h, false); /* a console's: there is no guest to connect */
    assert_int_equal(ask(&h, 80, &fd), -EPERM);
    fd_closep(&h.link);
    await_end(&h);
    close(peer);
    assert_int_equal(unlink("s_80") + unlink("s_81"), 0);
}

static void send_with_fd(int link, struct holder_message *m, size_t len, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { .iov_base = m, .iov_len = len };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    assert_int_equal(sendmsg(link, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

/* A descriptor that comes is not taken, since letting go of it may wait: the file goes, and whoever kept it. */
static void who_sends_descriptors_ends_it(void **state)
{
    struct holder_message m = { .kind = HOLDER_CONNECT, .port = 1 };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct holder h;
        int fd;

        begin(&h, true);
        assert_int_equal(ask(&h, 1, &fd), -ENOENT);
        send_with_fd(h.link, &m, i == 0 ? sizeof m : 0, h.listens);
        await_end(&h);
        assert_false(is_there("s"));
        fd_closep(&h.link);
    }
}

/* It stays in the socket, also one that comes with nothing else. */
static void descriptors_are_not_let_go_of(void **state)
{
    static const size_t lengths[] = { sizeof(struct holder_message), 1, 0 };
    struct holder_message m = { .kind = HOLDER_CONNECT, .port = 1 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        int pair[2], sent[2];
        struct pollfd left = { .events = POLLIN };

        assert_int_equal(holder_link(pair), 0);
        assert_int_equal(pipe2(sent, O_CLOEXEC), 0);
        send_with_fd(pair[0], &m, lengths[i], sent[1]);
        close(sent[1]);
        assert_int_equal(holder_hear(pair[1], &m, NULL), -EPIPE);
        left.fd = sent[0];
        assert_int_equal(poll(&left, 1, 0),
                         0); /* somebody has its other end: who closes the link */
        close(pair[0]);
        close(pair[1]);
        assert_int_equal(poll(&left, 1, PATIENCE_MS), 1);
        close(sent[0]);
    }
}

/* More than it can answer, of any size and kind. */
static void a_broker_that_lies_gets_nothing(void **state)
{
    struct holder_message m = { .kind = 77, .port = ~0u };
    static char large[5000];
    struct pollfd answered = { .events = POLLIN };
    struct holder h;
    int fd;

    (void)state;
    begin(&h, true);
    answered.fd = h.link;
    for (unsigned i = 1; i < 100; i++) {
        (void)send(h.link, &m, sizeof m, MSG_DONTWAIT);
        (void)send(h.link, large, i * 50, MSG_DONTWAIT);
    }
    m.kind = HOLDER_CONNECT;
    for (unsigned i = 0; i < 1000;
         i++) /* more than has room, and who is asked has no room to answer */
        while (holder_ask(h.link, &m) < 0 && i < 10)
            assert_int_equal(
                poll(&(struct pollfd){ .fd = h.link, .events = POLLOUT }, 1, PATIENCE_MS), 1);
    assert_int_equal(poll(&answered, 1, PATIENCE_MS), 1);
    assert_int_equal(holder_hear(h.link, &m, &fd), 0);
    assert_true(m.error == -ENOENT && fd < 0);
    assert_true(is_there("s"));
    fd_closep(&h.link);
    await_end(&h);
    assert_false(is_there("s"));
}

static int end_of(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* In a child: with the folder, and in the sandbox. */
static void become_holder_in(const char *path)
{
    int folder = open(path, O_PATH | O_DIRECTORY);

    if (dup2(folder, SANDBOX_FOLDER_FD) < 0 || sandbox_enter_holder(&sandbox_filter_holder, 0) < 0)
        _exit(1);
}

#ifndef SANDBOX_INSTRUMENTED /* a sanitizer's runtime takes memory as it likes */
static void its_memory_is_limited(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(mkdir("in", 0700), 0);
    pid = fork();
    if (pid == 0) {
        become_holder_in("in");
        _exit(sbrk(64 << 20) == (void *)-1 ? 0 : 2);
    }
    status = end_of(pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(rmdir("in"), 0);
}
#endif

/* Even if it were taken over itself. */
static void its_sandbox_is_the_folder(void **state)
{
    bool landlocked = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u) > 0;
    int file, status;
    pid_t pid;

    (void)state;
    file = open("mine", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(mkdir("in", 0700), 0);
    close(file);
    file = open("in/own", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    pid = fork();
    if (pid == 0) {
        become_holder_in("in");
        if (landlocked && unlinkat(SANDBOX_FOLDER_FD, "../mine", 0) == 0)
            _exit(2);
        _exit(unlinkat(SANDBOX_FOLDER_FD, "own", 0) == 0 ? 0 : 3);
    }
    status = end_of(pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pid = fork();
    if (pid == 0) {
        become_holder_in("in");
        _exit(openat(SANDBOX_FOLDER_FD, "own", O_RDONLY | O_NOFOLLOW) >= 0 ? 2 : 3);
    }
    status = end_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    close(file);
    (void)unlink("mine");
    assert_int_equal(rmdir("in"), 0);
}

/* There are too many descriptors in flight of its uid: it says so, and the next one that asks gets through. */
static void one_that_finds_no_way_is_told(void **state)
{
    struct holder h;
    int fd, listens = service("s_7"), peer;

    (void)state;
    begin(&h, true);
    *too_many = 1;
    assert_int_equal(ask(&h, 7, &fd), -EAGAIN);
    assert_int_equal(*too_many, 0);
    assert_int_equal(ask(&h, 7, &fd), 0);
    close(fd);
    for (unsigned i = 0; i < 2; i++) { /* the first is closed, too, and not left open there */
        char byte;

        peer = accept4(listens, NULL, NULL, SOCK_CLOEXEC);
        assert_true(peer >= 0);
        assert_int_equal(read(peer, &byte, 1), 0);
        close(peer);
    }
    close(listens);
    unlink("s_7");
    fd_closep(&h.link);
    await_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_finds_no_way_is_told),
        cmocka_unit_test(the_file_goes_with_the_last_end),
        cmocka_unit_test(the_file_goes_when_it_is_told),
        cmocka_unit_test(what_is_not_its_own_stays),
        cmocka_unit_test(signals_do_not_end_it),
        cmocka_unit_test(it_connects_to_neighbours_alone),
        cmocka_unit_test(who_sends_descriptors_ends_it),
        cmocka_unit_test(descriptors_are_not_let_go_of),
        cmocka_unit_test(a_broker_that_lies_gets_nothing),
#ifndef SANDBOX_INSTRUMENTED
        cmocka_unit_test(its_memory_is_limited),
#endif
        cmocka_unit_test(its_sandbox_is_the_folder),
    };

    return cmocka_run_group_tests(tests, enter_top, leave_top);
}
