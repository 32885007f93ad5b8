/* SPDX-License-Identifier: Apache-2.0 */
/* console_device.h - what the console worker's parts share, types only: backend, escape <-
 * console_input <- serial, vcon (two front ends, of which a process has one: the serial port's byte
 * ring, the virtio-console device) <- console. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "backend.h"
#include "common/worker.h"
#include "escape.h"

enum { CONSOLE_CHUNK_BYTES = 4096, CONSOLE_CHUNKS_PER_TURN = 32, CONSOLE_DEAF_MS = 2000 };

struct console {
    struct worker *worker;
    struct stats_page *stats;
    struct backend *backend;
    const struct console_front *front;
    void *front_data;
    bool watch_escape;
    struct escape escape;
    /* While the guest takes no input: */
    struct loop_event *deaf_timer;
    uint64_t accepted, accepted_at_arm; /* bytes the guest's side took, then and now */
    bool deaf;                          /* for so long that only the escape keys are looked for */
    bool said_deaf;
    bool escaped; /* the keys that end the VM were pressed */
    bool on_socket;
    int client_fd;               /* the socket's client, the backend's; -1: none */
    bool escape_due, client_due; /* the broker is to be told */
    bool parting;                /* the worker leaves when the output is out, or nobody takes it */
    uint64_t parting_bytes;
    struct loop_event *part_timer;
};

struct console_front {
    void (*on_writable)(void *front); /* the backend takes output again */
    bool (*owes)(void *front);        /* output that the backend has not taken */
    size_t (*room)(void *front);      /* for input bytes */
    void (*input)(void *front, const uint8_t *src, size_t len); /* what doesn't fit is dropped */
    /* Input is paused: call console_input_pump() and backend_input_resume() when there is room. */
    void (*wait_for_room)(void *front);
};
