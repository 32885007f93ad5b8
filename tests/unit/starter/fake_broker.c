/* SPDX-License-Identifier: Apache-2.0 */
/* fake_broker.c - stands for bulkhead-broker where the starter is tried: --service holds a run directory, answers at its
 * socket and plays a guest at its serial port, --launch tells what it was started with. No KVM, no guest. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources/rundir.h"

enum { CHANNEL = 3, BROKER = 4, CONSOLE = 5, TREES = 6, TEXT = 4096, LINGER_MS = 200 };

static char text[TEXT];
static size_t text_len;

static void add(const char *fmt, ...) printf_like(1, 2);
static void add(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    text_len += (size_t)vsnprintf(text + text_len, sizeof text - text_len, fmt, args);
    va_end(args);
}

static ssize_t hear(int fd, char *dst, size_t size, int *ret_fd)
{
    struct iovec iov = { .iov_base = dst, .iov_len = size - 1 };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

    if (c && ret_fd)
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    dst[n > 0 ? n : 0] = '\0';
    return n;
}

/* ---- --launch ---- */

static void add_status(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "NoNewPrivs", 10) == 0 ||
            strncmp(line, "Uid", 3) == 0 || strncmp(line, "Gid", 3) == 0 ||
            strncmp(line, "Groups", 6) == 0 || strncmp(line, "SigBlk", 6) == 0 ||
            strncmp(line, "SigIgn", 6) == 0)
            add("%s", line);
    if (f)
        fclose(f);
}

static void add_fds(void)
{
    for (int fd = 0; fd < 256; fd++) {
        struct stat st;

        if (fstat(fd, &st) == 0)
            add("fd %d %o %llu\n", fd, (unsigned)(st.st_mode & S_IFMT),
                (unsigned long long)st.st_ino);
    }
}

static int launch(int argc, char **argv)
{
    char name[64];

    add_fds(); /* before others are opened */
    add_status();
    for (int i = 2; i < argc; i++)
        add("tree %s\n", argv[i]);
    for (char **e = environ; *e; e++)
        add("env %s\n", *e);
    add("dumpable %d\n", prctl(PR_GET_DUMPABLE));
    add("sid %d\n", getsid(0) == getpid());
    if (send(CHANNEL, text, text_len, MSG_NOSIGNAL) < 0 ||
        hear(CHANNEL, name, sizeof name, NULL) <= 0)
        return 1;
    if (fd_send(BROKER, name, strlen(name), (int[]){ CONSOLE }, 1, 0) < 0)
        return 1;
    close(CONSOLE);
    fprintf(stderr, "launched %s\n", name);
    (void)hear(CHANNEL, name, sizeof name, NULL);
    return 0;
}

/* ---- --service ---- */

static int serial = -1;

static void be_guest(int listen_fd)
{
    char line[256];
    ssize_t n;

    if (serial < 0) {
        serial = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        (void)!write(serial, "login: ", 7);
        return;
    }
    n = read(serial, line, sizeof line);
    if (n > 0)
        (void)!write(serial, line, (size_t)n);
    else
        fd_closep(&serial);
}

static bool lingers;

/* "quit" ends it, "linger" too, but not at once; all else is answered with its pid. */
static bool be_broker(int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    char request[64], answer[96];

    while (hear(fd, request, sizeof request, NULL) > 0) {
        lingers = strcmp(request, "linger") == 0;
        if (lingers || strcmp(request, "quit") == 0)
            return false;
        snprintf(answer, sizeof answer, "%s %d", request, (int)getpid());
        (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    }
    close(fd);
    return true;
}

static int serve(char **argv)
{
    struct rundir rundir;
    struct fault f = { 0 };
    char name[64];
    int console = -1;

    (void)signal(SIGPIPE, SIG_IGN);
    fprintf(stderr, "broker for uids %s %s\n", argv[2], argv[3]);
    if (hear(CHANNEL, name, sizeof name, &console) <= 0)
        return 1;
    rundir_init(&rundir);
    if (rundir_open(&rundir, name, &f) < 0) {
        fprintf(stderr, "%s\n", f.text);
        return 1;
    }
    for (;;) {
        struct pollfd p[] = { { .fd = rundir.listen_fd, .events = POLLIN },
                              { .fd = serial < 0 ? console : serial, .events = POLLIN } };

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (p[1].revents)
            be_guest(console);
        if (p[0].revents && !be_broker(rundir.listen_fd))
            break;
    }
    fprintf(stderr, "broker ends\n");
    rundir_close(&rundir);
    if (lingers)
        (void)poll(NULL, 0, LINGER_MS);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--service") == 0)
        return serve(argv);
    return argc >= 2 && strcmp(argv[1], "--launch") == 0 ? launch(argc, argv) : 2;
}
