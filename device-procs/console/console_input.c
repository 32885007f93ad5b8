/* SPDX-License-Identifier: Apache-2.0 */
/* console_input.c - what is typed, on its way from the backend to the front end, but for the escape
 * keys. */
#include "console_input.h"

#include "base/log.h"
#include "common/worker.h"
#include "common/worker_say.h"

static void show_help(struct console *c)
{
    static const char help[] =
        "\r\n[Ctrl-A x: end the VM, Ctrl-A Ctrl-A: send Ctrl-A, Ctrl-A h: this]\r\n";

    (void)backend_write(c->backend, help, sizeof(help) - 1);
}

static size_t watch_keys(struct console *c, const uint8_t *src, size_t len, uint8_t *dst)
{
    unsigned actions = 0;
    size_t out = escape_filter(&c->escape, src, len, dst, &actions);

    if (actions & ESCAPE_LEAVE) {
        c->escaped = c->escape_due = true;
        worker_say_more(c->worker);
    }
    if (actions & ESCAPE_HELP)
        show_help(c);
    return out;
}

/* A Ctrl-A that waits for its second key may be the guest's: it needs room too. */
size_t console_input_room(struct console *c)
{
    size_t room = c->front->room(c->front_data);

    return c->watch_escape && c->escape.pending && room > 0 ? room - 1 : room;
}

static void say_deaf(struct console *c)
{
    if (c->deaf && !c->said_deaf)
        log_warn("the guest takes no input: what is typed is dropped, but Ctrl-A x works");
    c->said_deaf = c->deaf;
}

bool console_input_pump(struct console *c)
{
    uint8_t raw[CONSOLE_CHUNK_BYTES], keys[CONSOLE_CHUNK_BYTES + 1];
    size_t room, len;

    /* One chunk at least: a guest that uses up each turn must not keep the keys from being read. */
    for (int i = 0; i < CONSOLE_CHUNKS_PER_TURN; i++) {
        if (i > 0 && turn_over(worker_turn(c->worker)))
            break;
        room = console_input_room(c);
        c->deaf = c->deaf && room == 0;
        if (room == 0 && !c->deaf)
            return false;
        len = backend_read(c->backend, raw, c->deaf ? sizeof(raw) : MIN(room, sizeof(raw)));
        if (len == 0)
            return true;
        if (c->watch_escape)
            c->front->input(c->front_data, keys, watch_keys(c, raw, len, keys));
        else
            c->front->input(c->front_data, raw, len);
        c->accepted += c->deaf ? 0 : len;
        say_deaf(c);
    }
    return true; /* the watch is level-triggered */
}
