/* SPDX-License-Identifier: Apache-2.0 */
/* fake_fleet.h - a service of the host's that keeps VMs, as far as fleets need one: what it was asked for is written down, and
 * each VM may fail, or be held up, or write to its console. */
#pragma once

#include "fake_host.h"

enum { FLEET_VMS = 40, FLEET_CHANNELS = 8 };

struct fake_vm {
    char name[64];
    bool there;
    Bulkhead__HostVmState state;
    uint8_t *spec; /* packed */
    size_t spec_len;
    uint64_t started_ns;
    /* what the test sets */
    const char *fails;   /* a start, or a halt: with this */
    const char *console; /* what it has written, when somebody attaches; NULL: it can't be had */
    const char *log;     /* what its log has: the older file, one byte, then this */
    bool held;           /* creates, starts and halts are answered by fake_fleet_release() */
    uint32_t held_id;
    int attached; /* our end of its console, -1: nobody's */
};

struct fake_fleet {
    struct fake_host *host;
    struct channel *channels[FLEET_CHANNELS];
    struct channel *main; /* of the last request that was held */
    struct fake_vm vms[FLEET_VMS];
    size_t n;
    char asked[16384]; /* "create db\n" */
    unsigned n_held, most_held;
};

void fake_fleet_begin(struct fake_fleet *fleet, struct fake_host *host);
void fake_fleet_end(struct fake_fleet *fleet);
/* The one of that name; made if there is none. */
struct fake_vm *fake_fleet_vm(struct fake_fleet *fleet, const char *name);
/* Serves until the program has printed that; NULL: until it has ended, and gives its exit status. */
int fake_fleet_serve(struct fake_fleet *fleet, const char *text);
/* Serves until it was asked for that. */
void fake_fleet_serve_asked(struct fake_fleet *fleet, const char *asked);
/* Answers what was held of that VM. */
void fake_fleet_release(struct fake_fleet *fleet, const char *name);
void fake_fleet_write(struct fake_fleet *fleet, const char *name, const char *text);
/* It ends by itself. */
void fake_fleet_crash(struct fake_fleet *fleet, const char *name);
