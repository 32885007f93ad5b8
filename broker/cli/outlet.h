/* SPDX-License-Identifier: Apache-2.0 */
/* outlet.h - output that never waits for who reads it. What finds no room is kept, up to a bound; beyond it whole lines are
 * lost, and counted, and that is said as soon as there is room again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "base/compiler.h"

enum outlet_way {
    OUTLET_OWN,    /* an open file of our own, which doesn't block, or a regular file */
    OUTLET_SOCKET, /* asked for each message not to wait */
    OUTLET_ASK, /* shared with others and not to be changed: a little at a time, if there is room */
};

struct outlet {
    int fd; /* -1: closed */
    enum outlet_way way;
    size_t piece; /* bytes that have room where there is any */
    /* The line about that many lost ones; its length. */
    size_t (*say_lost)(char *dst, size_t size, unsigned lost);
    unsigned lost;
    char *kept; /* heap */
    size_t n;
};

/* fd stays the caller's, and open as it is: others may have the same open file. 0, or a negative errno. */
int outlet_open(struct outlet *ret_outlet, int fd,
                size_t (*say_lost)(char *dst, size_t size, unsigned lost)) must_check;
/* Whole lines. 0, also if they are lost; a negative errno: nobody will ever have them. */
int outlet_put(struct outlet *outlet, const char *text, size_t len);
/* There is something to be written when poll() says that there is room. */
bool outlet_is_behind(const struct outlet *outlet);
void outlet_go_on(struct outlet *outlet);
/* Waits for room, but no longer than that, nor when stop_fd (-1: none) is readable. */
void outlet_drain(struct outlet *outlet, int timeout_ms, int stop_fd);
/* In a child: what is kept is its parent's to write. */
void outlet_forget(struct outlet *outlet);
void outlet_close(struct outlet *outlet);
/* A stream whose lines go there; NULL: no memory. It is to be closed before the outlet. */
FILE *outlet_stream(struct outlet *outlet);
