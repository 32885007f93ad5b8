/* SPDX-License-Identifier: Apache-2.0 */
/* hub_rig.c - see hub_rig.h. */
#include "hub_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "console/descriptors.h"
#include "sandbox/ids.h"
#include "sandbox/namespaces.h"
#include "sandbox/spawn.h"
#include <cmocka.h>

static const char *const files[] = { "console.log", "console.log.1", "broker.log", "broker.log.1",
                                     "lock",        "fifo",          "attach.sock" };

static void in_dir(const struct hub_rig *rig, const char *name, char *ret_path, size_t size)
{
    assert_true(snprintf(ret_path, size, "%s/%s", rig->dir, name) < (int)size);
}

static void address_of(const struct hub_rig *rig, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    in_dir(rig, "attach.sock", ret->sun_path, sizeof ret->sun_path);
}

static int listen_attach(const struct hub_rig *rig)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    address_of(rig, &address);
    unlink(address.sun_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

int hub_open_in(const struct hub_rig *rig, const char *name, int flags)
{
    int fd = openat(rig->dir_fd, name, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        fail_msg("%s: %s", name, strerror(errno));
    return fd;
}

void hub_start(struct hub_rig *rig)
{
    const char *bin = getenv("BULKHEAD_BIN");
    char program[4096], limit[16];
    char *const argv[] = { program, limit, NULL };
    int pair[2], fds[CONSOLE_FDS];
    unsigned missing = 0;
    struct sandbox_spawn spawn = {
        .program = program, .argv = argv, .fds = fds, .n_fds = CONSOLE_FDS, .cgroup_fd = -1
    };

    snprintf(program, sizeof program, "%s/bulkhead-console", bin ? bin : "build/release/bin");
    snprintf(limit, sizeof limit, "%d", HUB_LOG_BYTES);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    rig->serial = pair[1];
    fds[0] = fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fds[CONSOLE_SERIAL] = pair[0];
    fds[CONSOLE_FIFO] = hub_open_in(rig, "fifo", O_RDONLY | O_NONBLOCK);
    fds[FD_LOG] = hub_open_in(rig, "fifo", O_WRONLY | O_NONBLOCK);
    fds[CONSOLE_ATTACH] = listen_attach(rig);
    for (int i = 0; i < 4; i++)
        fds[CONSOLE_GUEST_LOG + i] = hub_open_in(rig, files[i], O_RDWR | O_APPEND | O_CREAT);
    fds[CONSOLE_LOCK] = hub_open_in(rig, "lock", O_RDWR | O_CREAT);
    if (geteuid() == 0 && sandbox_ids_mapped(SANDBOX_UID_FIRST, SANDBOX_UID_COUNT))
        spawn.uid = spawn.gid = sandbox_uid(7, 7);
    spawn.no_userns = spawn.uid != 0 && sandbox_try_userns() < 0;
    if (sandbox_spawn(&spawn, &rig->pid, &rig->pidfd, &missing) < 0)
        fail_msg("%s", err_text());
    for (int i = 1; i < CONSOLE_FDS; i++)
        close(fds[i]);
}

struct hub_rig *hub_begin(void)
{
    const char *tmp = getenv("TMPDIR");
    struct hub_rig *rig = calloc(1, sizeof *rig);
    char path[160];

    assert_non_null(rig);
    snprintf(rig->dir, sizeof rig->dir, "%s/bulkhead-console.XXXXXX",
             tmp && strlen(tmp) < 60 ? tmp : "/tmp");
    assert_non_null(mkdtemp(rig->dir));
    rig->dir_fd = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    in_dir(rig, "fifo", path, sizeof path);
    assert_int_equal(mkfifo(path, 0600), 0);
    rig->log = hub_open_in(rig, "fifo", O_RDWR | O_NONBLOCK);
    return rig;
}

int hub_wait_end(struct hub_rig *rig)
{
    struct pollfd p = { .fd = rig->pidfd, .events = POLLIN };
    int status = 0;

    if (poll(&p, 1, HUB_PATIENCE_MS) != 1)
        fail_msg("it doesn't end");
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    close(rig->pidfd);
    rig->pid = 0;
    return status;
}

void hub_end(struct hub_rig *rig)
{
    int status = 0;

    fd_closep(&rig->serial);
    fd_closep(&rig->log);
    if (rig->pid > 0)
        status = hub_wait_end(rig);
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
        unlinkat(rig->dir_fd, files[i], 0);
    close(rig->dir_fd);
    assert_int_equal(rmdir(rig->dir), 0);
    free(rig);
    assert_int_equal(status, 0);
}

int hub_attach(const struct hub_rig *rig)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    address_of(rig, &address);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void hub_put(int fd, const void *bytes, size_t len)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    for (size_t done = 0; done < len;) {
        ssize_t n;

        if (poll(&p, 1, HUB_PATIENCE_MS) != 1)
            fail_msg("nobody takes what is written");
        n = send(fd, (const uint8_t *)bytes + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == ENOTSOCK)
            n = write(fd, (const uint8_t *)bytes + done, len - done);
        if (n < 0 && errno == EAGAIN)
            continue;
        assert_true(n > 0);
        done += (size_t)n;
    }
}

size_t hub_get(int fd, void *bytes, size_t len)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t done = 0;

    while (done < len) {
        ssize_t n;

        if (poll(&p, 1, HUB_PATIENCE_MS) != 1)
            fail_msg("%zu of %zu bytes came", done, len);
        n = read(fd, (uint8_t *)bytes + done, len - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

void hub_expect(int fd, const char *text)
{
    char got[4096];
    size_t len = strlen(text);

    assert_true(len < sizeof got);
    got[hub_get(fd, got, len)] = '\0';
    assert_string_equal(got, text);
}

bool hub_has_ended(int fd)
{
    uint8_t byte;

    return hub_get(fd, &byte, 1) == 0;
}

uint8_t *hub_numbered(size_t len)
{
    uint8_t *text = malloc(len + 16);

    assert_non_null(text);
    for (size_t at = 0; at < len; at += 8)
        snprintf((char *)text + at, 9, "%07u\n", (unsigned)(at / 8 % 10000000));
    return text;
}

size_t hub_load(const struct hub_rig *rig, const char *name, uint8_t *dst, size_t size)
{
    int fd = openat(rig->dir_fd, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, dst, size);

    close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

size_t hub_load_log(const struct hub_rig *rig, const char *name, uint8_t *dst, size_t size)
{
    char old[32];
    size_t n;

    snprintf(old, sizeof old, "%s.1", name);
    n = hub_load(rig, old, dst, size);
    return n + hub_load(rig, name, dst + n, size - n);
}

void hub_wait_logged(const struct hub_rig *rig, const char *name, const char *text)
{
    static uint8_t log[4 * HUB_LOG_BYTES];
    uint64_t until = now_ns() + HUB_PATIENCE_MS * UINT64_C(1000000);

    while (now_ns() < until) {
        size_t n = hub_load_log(rig, name, log, sizeof log);

        if (n > 0 && memmem(log, n, text, strlen(text)))
            return;
        (void)poll(NULL, 0, 1);
    }
    fail_msg("%s never came into %s", text, name);
}
