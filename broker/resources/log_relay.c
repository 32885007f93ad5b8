/* SPDX-License-Identifier: Apache-2.0 */
/* log_relay.c - see log_relay.h. */
#include "resources/log_relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

enum { LINE_BYTES = 512, WINDOW_LINES = 100, WINDOW_NS_S = 10 };
enum {
    READS_PER_TURN = 16, /* 16 KiB, so that a flood of one child doesn't starve the others */
    TURNS_AT_END = 64,   /* as much as a pipe may hold */
};

struct log_relay {
    struct loop_event *event;
    int fd;
    char name[32];
    char line[LINE_BYTES];
    char last[LINE_BYTES];
    size_t len;
    uint64_t window_start_ns;
    unsigned lines, suppressed;
    bool quiet;
};

void log_relay_clean(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e)
            text[i] = '?';
}

static void emit(struct log_relay *relay)
{
    uint64_t now = now_ns();

    if (relay->len == 0)
        return;
    relay->line[relay->len] = '\0';
    log_relay_clean(relay->line, relay->len);
    memcpy(relay->last, relay->line, relay->len + 1);
    relay->len = 0;
    if (now - relay->window_start_ns > WINDOW_NS_S * 1000000000ull) {
        if (relay->suppressed > 0)
            log_warn("%s: %u more lines not shown", relay->name, relay->suppressed);
        relay->window_start_ns = now;
        relay->lines = relay->suppressed = 0;
    }
    if (relay->quiet)
        log_debug("%s: %s", relay->name, relay->line);
    else if (relay->lines++ < WINDOW_LINES)
        log_info("%s: %s", relay->name, relay->line);
    else
        relay->suppressed++;
}

/* True: there may be more. */
static bool read_some(struct log_relay *relay)
{
    char bytes[1024];
    ssize_t n;

    for (int turn = 0; turn < READS_PER_TURN; turn++) {
        n = read(relay->fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0 && relay->event) {
                loop_event_free(relay->event);
                relay->event = NULL;
            }
            return false;
        }
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] != '\n' && bytes[i] != '\r')
                relay->line[relay->len++] = bytes[i];
            if (bytes[i] == '\n' || relay->len == LINE_BYTES - 1)
                emit(relay);
        }
    }
    return true;
}

void log_relay_end(struct log_relay *relay)
{
    for (int turn = 0; turn < TURNS_AT_END && read_some(relay); turn++)
        ;
    emit(relay);
}

static void on_readable(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    (void)read_some(arg);
}

int log_relay_new(struct log_relay **ret_relay, struct loop *loop, int fd, const char *name)
{
    struct log_relay *relay = calloc(1, sizeof *relay);
    int r;

    if (!relay)
        return err_origin(-ENOMEM, "log relay");
    snprintf(relay->name, sizeof relay->name, "%s", name);
    r = loop_add_fd(loop, fd, LOOP_READ, on_readable, relay, &relay->event);
    if (r < 0) {
        free(relay);
        return err_trace(r);
    }
    relay->fd = fd;
    *ret_relay = relay;
    return 0;
}

void log_relay_free(struct log_relay *relay)
{
    if (!relay)
        return;
    log_relay_end(relay);
    if (relay->event)
        loop_event_free(relay->event);
    fd_closep(&relay->fd);
    free(relay);
}

void log_relay_set_quiet(struct log_relay *relay, bool quiet)
{
    relay->quiet = quiet;
}

const char *log_relay_last(const struct log_relay *relay)
{
    return relay->last;
}
