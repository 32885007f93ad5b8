// SPDX-License-Identifier: Apache-2.0
// run_output.c - see run_output.h.
#include "verbs/run_output.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "events.h"
#include "output.h"

enum { LAST_LINES_MS = 1000 };

/* Of a line of the log, or of ours. */
static size_t say_lost_lines(char *dst, size_t size, unsigned lost)
{
    return (size_t)snprintf(dst, size, "bulkhead: %u line%s lost: nobody reads\n", lost,
                            lost == 1 ? "" : "s");
}

static size_t say_lost_events(char *dst, size_t size, unsigned lost)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (size_t)snprintf(
        dst, size,
        "{\"timestamp\":{\"secs\":%lld,\"nanos\":%ld},\"source\":\"events\",\"event\":\"missed\","
        "\"properties\":{\"count\":\"%u\"}}\n",
        (long long)now.tv_sec, now.tv_nsec, lost);
}

void run_output_init(struct run_output *out)
{
    *out = (struct run_output){ .errors.fd = -1, .log.fd = -1, .events.fd = -1 };
}

static int open_file(struct outlet *outlet, const char *flag, const char *path,
                     size_t (*say_lost)(char *dst, size_t size, unsigned lost))
{
    cleanup_(fd_closep) int fd =
        open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
    int r = fd < 0 ? -errno : outlet_open(outlet, fd, say_lost);

    return r < 0 ? say_error(EXIT_BAD_INPUT, "%s %s: %s", flag, path, strerror(-r)) : EXIT_OK;
}

static int open_events(struct run_output *out, const struct vm_options *o)
{
    int r;

    if (o->event_path)
        return open_file(&out->events, "--event-monitor", o->event_path, say_lost_events);
    if (o->event_fd >= 0) {
        r = outlet_open(&out->events, o->event_fd, say_lost_events);
        if (r < 0)
            return say_error(EXIT_BAD_INPUT, "--event-monitor fd=%d: %s", o->event_fd,
                             strerror(-r));
    } else if (o->json) {
        r = outlet_open(&out->events, STDOUT_FILENO, say_lost_events);
        if (r < 0 && r != -EBADF)
            return say_error(EXIT_HOST, "standard output: %s", strerror(-r));
    }
    return EXIT_OK;
}

int run_output_open(struct run_output *out, const struct vm_options *options)
{
    int r = open_events(out, options);

    if (r == EXIT_OK && options->log_path)
        r = open_file(&out->log, "--log-file", options->log_path, say_lost_lines);
    if (r != EXIT_OK)
        return r;
    r = outlet_open(&out->errors, STDERR_FILENO, say_lost_lines);
    if (r == -EBADF)
        return EXIT_OK;
    out->said = r < 0 ? NULL : outlet_stream(&out->errors);
    if (!out->said)
        return say_error(EXIT_HOST, "standard error: %s", strerror(r < 0 ? -r : ENOMEM));
    say_errors_to(out->said);
    return EXIT_OK;
}

void run_output_close(struct run_output *out)
{
    say_errors_to(NULL);
    if (out->said)
        fclose(out->said);
    out->said = NULL;
    outlet_close(&out->errors);
    outlet_close(&out->log);
    outlet_close(&out->events);
}

int run_output_put(struct run_output *out, const Bulkhead__Event *event)
{
    char *line;
    int r;

    if (out->events.fd < 0)
        return 0;
    line = event_line(event);
    r = line ? outlet_put(&out->events, line, strlen(line)) : -EILSEQ;
    free(line);
    if (r < 0)
        outlet_close(&out->events); /* the reader is gone: the VM goes on */
    return r;
}

void run_output_print(struct run_output *out, const Bulkhead__Event *event)
{
    if (out->said)
        event_print(event, out->said);
}

struct pollfd run_output_behind(const struct outlet *outlet)
{
    return (struct pollfd){ .fd = outlet_is_behind(outlet) ? outlet->fd : -1, .events = POLLOUT };
}

void run_output_drain(struct run_output *out, int stop_fd)
{
    outlet_drain(&out->events, LAST_LINES_MS, stop_fd);
    outlet_drain(&out->log, LAST_LINES_MS, stop_fd);
    outlet_drain(&out->errors, LAST_LINES_MS, stop_fd);
}

void run_output_in_child(struct run_output *out)
{
    outlet_close(&out->log);
    fd_close_all_but((const int[]){ out->events.fd, out->errors.fd }, 2);
    outlet_forget(&out->events);
    outlet_forget(&out->errors);
}
