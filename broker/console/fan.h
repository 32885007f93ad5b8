/* SPDX-License-Identifier: Apache-2.0 */
/* fan.h - one console for many: what the guest writes goes to everybody who is attached, what any of them types goes to
 * the guest. Who attaches gets the last FAN_HISTORY_BYTES first. Who doesn't take what comes loses his place in it, and is told
 * how much he missed; nobody waits for him. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/loop.h"

enum {
    FAN_MAX_CLIENTS = 16,
    FAN_HISTORY_BYTES = 16384,
    FAN_KEPT_BYTES = 1 << 18, /* how far one may be behind */
    FAN_LAST_MS = 1000,       /* for who is behind when the console has ended */
};

struct fan;

struct fan_config {
    struct loop *loop;
    int listen_fd; /* the caller's */
    /* What a client typed; as many of the bytes as are taken, at least one while fan_pause() was not called. */
    size_t (*on_input)(void *arg, const uint8_t *bytes, size_t len);
    void (*on_ended)(void *arg); /* after fan_end(): nobody is left */
    void *arg;
};

int fan_new(struct fan **ret_fan, const struct fan_config *config) must_check;
void fan_free(struct fan *fan);
void fan_put(struct fan *fan, const void *bytes, size_t len);
/* Nothing is read from clients until fan_resume(). */
void fan_pause(struct fan *fan);
void fan_resume(struct fan *fan);
/* Nothing will come any more: nobody can attach, and who is attached is let go when he has all, or after FAN_LAST_MS. */
void fan_end(struct fan *fan);
