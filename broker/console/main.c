/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - bulkhead-console: one VM's console and logs, for the host's service. What the guest writes to its serial port goes
 * into a log and to whoever is attached, what these type goes to the guest, and what the VM's broker logs goes into
 * another log. It opens nothing: descriptors.h says what it is born with.
 *
 * Nobody waits for it: the guest's console worker drops what is not taken, and so does whoever logs. When it is killed
 * another one takes its place. It ends, with status 0, when the VM has: no serial port, and nobody who could log. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "console/descriptors.h"
#include "console/fan.h"
#include "console/rotated.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_console_log.h"

enum { EXIT_USAGE = 2, TURN_BYTES = 16384, TYPED_BYTES = 4096, MAX_FILES = 64 };

static struct hub {
    struct loop *loop;
    struct loop_event *serial, *serial_room, *fifo;
    struct fan *fan;
    struct rotated guest_log, broker_log;
    uint8_t typed[TYPED_BYTES]; /* for the guest, which has not taken it */
    size_t typed_len;
    bool serial_ended, fifo_ended, fan_ended;
} hub;

static void look_at_end(void)
{
    if (hub.serial_ended && hub.fifo_ended && hub.fan_ended)
        loop_quit(hub.loop, 0);
}

static void on_fan_ended(void *arg)
{
    (void)arg;
    hub.fan_ended = true;
    look_at_end();
}

/* From here on it may itself not be the one that keeps the fifo from ending. */
static void serial_end(void)
{
    hub.serial_ended = true;
    (void)loop_event_pause(hub.serial);
    (void)loop_event_pause(hub.serial_room);
    close(FD_LOG);
    fan_end(hub.fan);
    look_at_end();
}

static void on_serial(int fd, unsigned what, void *arg)
{
    uint8_t bytes[TURN_BYTES];
    ssize_t n = read(fd, bytes, sizeof bytes);

    (void)what;
    (void)arg;
    if (n > 0) {
        rotated_write(&hub.guest_log, bytes, (size_t)n);
        fan_put(hub.fan, bytes, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        serial_end();
    }
}

/* Its end is that of the last who had it open for writing. */
static void on_fifo(int fd, unsigned what, void *arg)
{
    uint8_t bytes[TURN_BYTES];
    ssize_t n = read(fd, bytes, sizeof bytes);

    (void)what;
    (void)arg;
    if (n > 0) {
        rotated_write(&hub.broker_log, bytes, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        hub.fifo_ended = true;
        (void)loop_event_pause(hub.fifo);
        look_at_end();
    }
}

/* The end of the serial port is for on_serial() to see, when all of it was read. */
static void tell_guest(void)
{
    ssize_t n;

    while (hub.typed_len > 0 && (n = write(CONSOLE_SERIAL, hub.typed, hub.typed_len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        n = n < 0 ? (ssize_t)hub.typed_len : n;
        hub.typed_len -= (size_t)n;
        memmove(hub.typed, hub.typed + n, hub.typed_len);
    }
}

static void on_serial_room(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    tell_guest();
    if (hub.typed_len > 0)
        return;
    (void)loop_event_pause(hub.serial_room);
    fan_resume(hub.fan);
}

static size_t on_input(void *arg, const uint8_t *bytes, size_t len)
{
    size_t n = MIN(len, sizeof hub.typed - hub.typed_len);

    (void)arg;
    memcpy(hub.typed + hub.typed_len, bytes, n);
    hub.typed_len += n;
    tell_guest();
    if (hub.typed_len > 0) {
        fan_pause(hub.fan);
        (void)loop_event_resume(hub.serial_room);
    }
    return n;
}

/* ---- start ---- */

static int check_descriptors(void)
{
    static const struct {
        int fd;
        enum fd_type type;
        const char *what;
    } wanted[] = {
        { CONSOLE_SERIAL, FD_TYPE_STREAM, "the serial port" },
        { CONSOLE_FIFO, FD_TYPE_PIPE, "the log fifo" },
        { CONSOLE_ATTACH, FD_TYPE_STREAM, "the attach socket" },
        { CONSOLE_GUEST_LOG, FD_TYPE_REGULAR, "the console's log" },
        { CONSOLE_GUEST_LOG_OLD, FD_TYPE_REGULAR, "the console's older log" },
        { CONSOLE_BROKER_LOG, FD_TYPE_REGULAR, "the broker's log" },
        { CONSOLE_BROKER_LOG_OLD, FD_TYPE_REGULAR, "the broker's older log" },
        { CONSOLE_LOCK, FD_TYPE_REGULAR, "the lock" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
        int r = fd_expect(wanted[i].fd, wanted[i].type, wanted[i].what);

        if (r == 0 && i < 3)
            r = fd_set_nonblock(wanted[i].fd);
        if (r < 0)
            return err_trace(r);
    }
    return 0;
}

/* A process's own, so that whoever looks is told who has it. It goes with the process. */
static bool take_lock(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

    return fcntl(CONSOLE_LOCK, F_SETLK, &lock) == 0;
}

static int prepare(uint64_t log_bytes)
{
    const struct fan_config config = { .listen_fd = CONSOLE_ATTACH,
                                       .on_input = on_input,
                                       .on_ended = on_fan_ended };
    struct fan_config own = config;
    int r = rotated_init(&hub.guest_log, "console's", CONSOLE_GUEST_LOG, CONSOLE_GUEST_LOG_OLD,
                         log_bytes);

    if (r == 0)
        r = rotated_init(&hub.broker_log, "broker's", CONSOLE_BROKER_LOG, CONSOLE_BROKER_LOG_OLD,
                         log_bytes);
    if (r == 0)
        r = loop_new(&hub.loop);
    if (r < 0)
        return err_trace(r);
    own.loop = hub.loop;
    r = loop_add_fd(hub.loop, CONSOLE_SERIAL, LOOP_READ, on_serial, NULL, &hub.serial);
    if (r == 0)
        r = loop_add_fd(hub.loop, CONSOLE_SERIAL, LOOP_WRITE, on_serial_room, NULL,
                        &hub.serial_room);
    if (r == 0)
        r = loop_add_fd(hub.loop, CONSOLE_FIFO, LOOP_READ, on_fifo, NULL, &hub.fifo);
    if (r == 0)
        r = fan_new(&hub.fan, &own);
    return r < 0 ? err_trace(r) : loop_event_pause(hub.serial_room);
}

static int enter(uint64_t log_bytes)
{
    const struct sandbox_limits limits = { .max_files = MAX_FILES, .file_bytes = log_bytes };
    int keep[CONSOLE_FDS - FD_CHILD_FIRST_FREE + 1];
    unsigned n = 0, missing = 0;

    for (int fd = FD_CHILD_FIRST_FREE; fd < CONSOLE_FDS; fd++)
        keep[n++] = fd;
    keep[n++] = loop_fd(hub.loop);
    return sandbox_enter(&sandbox_filter_console_log, keep, n, &limits, false, &missing);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long long log_bytes = argc == 2 ? strtoull(argv[1], &end, 10) : 0;

    log_init("bulkhead-console", LOG_LEVEL_INFO);
    if (!end || *end != '\0' || log_bytes < CONSOLE_MIN_LOG_BYTES || check_descriptors() < 0) {
        log_error("bulkhead-console is started by bulkhead-hostd");
        return EXIT_USAGE;
    }
    if (!take_lock())
        return CONSOLE_EXIT_TAKEN;
    (void)signal(SIGPIPE, SIG_IGN); /* a client that is gone, */
    (void)signal(SIGXFSZ,
                 SIG_IGN); /* a log that somebody else made longer: both are errors of a write */
    if (prepare(log_bytes) < 0 || enter(log_bytes) < 0) {
        log_error("%s", err_text());
        return EXIT_FAILURE;
    }
    return loop_run(hub.loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
