// SPDX-License-Identifier: Apache-2.0
// ready.c - see ready.h.
#include "fleet/ready.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "fleet/match.h"
#include "host_client.h"

enum {
    AGAIN_MS = 100,
    HISTORY_MS = 300,      /* who attaches gets at once what the console wrote last, */
    HISTORY_BYTES = 16384, /* as much as this of it */
    TURN_BYTES = 16384,
    TURNS = 16,
    MAX_LOG_BYTES = 64 << 20,
};

struct ready {
    const struct fleet_vm *vm;
    int fd;
    int64_t next_ms, end_ms;
    int64_t attached_ms; /* when the console was, 0: never */
    int64_t up_ms;
    size_t seen_bytes;
    bool looked_back; /* the log was looked at, or need not be */
    char answer[3];   /* vsock: what came so far */
    size_t answered;
    struct match match;
    struct option_error last; /* what went wrong last */
};

struct ready *ready_new(const struct fleet_vm *vm, int64_t now_ms, int64_t up_ms)
{
    struct ready *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->vm = vm;
    r->fd = -1;
    r->next_ms = now_ms;
    r->end_ms = now_ms + 1000ll * vm->ready.timeout_s;
    r->up_ms = up_ms;
    r->looked_back = up_ms < 0;
    if (vm->ready.kind != READY_VSOCK &&
        match_init(&r->match, vm->ready.text, vm->ready.kind == READY_REGEX) < 0) {
        free(r); /* it was tried when it was read */
        return NULL;
    }
    return r;
}

void ready_free(struct ready *r)
{
    if (!r)
        return;
    fd_closep(&r->fd);
    if (r->vm->ready.kind != READY_VSOCK)
        match_deinit(&r->match);
    free(r);
}

int ready_fd(const struct ready *r)
{
    return r->fd;
}

int64_t ready_next_ms(const struct ready *r)
{
    return MIN(r->next_ms, r->end_ms);
}

static enum ready_answer again(struct ready *r, int64_t now_ms)
{
    fd_closep(&r->fd);
    r->answered = 0;
    r->next_ms = now_ms + AGAIN_MS;
    return READY_WAIT;
}

/* ---- a line on its console ---- */

static bool is_in_file(struct ready *r, int fd)
{
    char bytes[TURN_BYTES];
    off_t at = 0;
    ssize_t n;

    while (at < MAX_LOG_BYTES && (n = pread(fd, bytes, sizeof(bytes), at)) > 0) {
        if (match_feed(&r->match, bytes, (size_t)n))
            return true;
        at += n;
    }
    return false;
}

/* A VM that has been up for long may have written its line more than HISTORY_BYTES ago. Then it is in the log; so is that of
 * an earlier run, which is why nobody looks there for a VM that was started just now. Where the log begins later than
 * the VM's start, as far as anybody knows, a line that isn't in it says nothing: it has written that much. */
static bool was_ready(struct ready *r)
{
    int fds[2] = { -1, -1 }, n;
    struct stat st;
    bool found = false;

    n = host_open_vm(r->vm->name, BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG, fds, ARRAY_SIZE(fds));
    r->match.len = 0;
    for (int i = 0; i < n && !found; i++)
        found = is_in_file(r, fds[i]);
    if (n == 2 && !found)
        found =
            fstat(fds[0], &st) == 0 && st.st_size > 0 && r->up_ms > 1000ll * r->vm->ready.timeout_s;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fd_closep(&fds[i]);
    r->match.len = 0;
    return found;
}

/* There is more behind what was shown: so much was shown, or the VM has been up for so long. */
static bool must_look_back(const struct ready *r, int64_t now_ms)
{
    return !r->looked_back && now_ms - r->attached_ms >= HISTORY_MS &&
           (r->seen_bytes >= HISTORY_BYTES || r->up_ms > 1000ll * r->vm->ready.timeout_s);
}

static enum ready_answer attach(struct ready *r, int64_t now_ms)
{
    int n = host_open_vm(r->vm->name, BULKHEAD__VM_CHANNEL__VM_CONSOLE, &r->fd, 1);

    if (n < 0) { /* it is started with the VM, and again when it dies */
        const char *text = err_text(), *cause = strerror(-n);
        size_t len = strlen(text), tail = strlen(cause) + 2;

        if (len > tail && strcmp(text + len - tail + 2, cause) == 0)
            len -= tail; /* the service has said it */
        option_fail(&r->last, "its console can't be had: %.*s", (int)len, text);
        return again(r, now_ms);
    }
    r->last.text[0] = '\0';
    r->match.len = 0;
    if (!r->attached_ms)
        r->attached_ms = now_ms;
    r->next_ms = r->looked_back ? r->end_ms : now_ms + HISTORY_MS;
    return READY_WAIT;
}

static enum ready_answer look_at_console(struct ready *r, int64_t now_ms)
{
    char bytes[TURN_BYTES];

    if (r->fd < 0 && (now_ms < r->next_ms || attach(r, now_ms) != READY_WAIT || r->fd < 0))
        return READY_WAIT;
    for (unsigned i = 0; i < TURNS; i++) {
        ssize_t n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0)
            return again(r, now_ms);
        r->seen_bytes += (size_t)n;
        if (match_feed(&r->match, bytes, (size_t)n))
            return READY_YES;
    }
    if (now_ms >= r->next_ms && !r->looked_back) {
        if (must_look_back(r, now_ms) && was_ready(r))
            return READY_YES;
        r->looked_back = true;
        r->next_ms = r->end_ms;
    }
    return READY_WAIT;
}

/* ---- a port ---- */

/* The path is its tenant's, who must not have the caller speak to anything else by it: no link is followed. */
static int connect_path(const char *path)
{
    const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
                                  .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    cleanup_(fd_closep) int file = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    cleanup_(fd_closep) int fd = -1;
    struct stat st;

    if (file < 0 || fstat(file, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", file);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    return fd_take(&fd);
}

static enum ready_answer ask_for_port(struct ready *r, int64_t now_ms, struct option_error *why)
{
    const char *path = r->vm->options.config.vsock->socket;
    int fd = connect_path(path), len;
    char text[32];

    if (fd == -EACCES || fd == -EPERM || fd == -ELOOP || fd == -ENOSYS) {
        option_fail(why, "%s can't be reached from here (%s): wait for a line on its console", path,
                    strerror(-fd));
        return READY_NO;
    }
    if (fd < 0) {
        option_fail(&r->last, "%s: %s", path, strerror(-fd));
        return again(r, now_ms);
    }
    r->fd = fd;
    len = snprintf(text, sizeof(text), "CONNECT %u\n", r->vm->ready.port);
    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        return again(r, now_ms);
    r->next_ms = r->end_ms;
    option_fail(&r->last, "nobody takes connections at port %u", r->vm->ready.port);
    return READY_WAIT;
}

static enum ready_answer look_at_port(struct ready *r, int64_t now_ms, struct option_error *why)
{
    ssize_t n;

    if (r->fd < 0)
        return now_ms < r->next_ms ? READY_WAIT : ask_for_port(r, now_ms, why);
    n = recv(r->fd, r->answer + r->answered, sizeof(r->answer) - r->answered, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return READY_WAIT;
    if (n <= 0)
        return again(r, now_ms); /* it was closed: nobody listens there yet */
    r->answered += (size_t)n;
    if (r->answered < sizeof(r->answer))
        return READY_WAIT;
    return memcmp(r->answer, "OK ", sizeof(r->answer)) == 0 ? READY_YES : again(r, now_ms);
}

enum ready_answer ready_look(struct ready *r, int64_t now_ms, struct option_error *why)
{
    enum ready_answer answer;

    why->text[0] = '\0';
    answer = r->vm->ready.kind == READY_VSOCK ? look_at_port(r, now_ms, why)
                                              : look_at_console(r, now_ms);
    if (answer == READY_WAIT && now_ms >= r->end_ms) {
        option_fail(why, "not ready after %u s%s%s", r->vm->ready.timeout_s,
                    r->last.text[0] ? ": " : "", r->last.text);
        return READY_NO;
    }
    return answer;
}
