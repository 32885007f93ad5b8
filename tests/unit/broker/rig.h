/* SPDX-License-Identifier: Apache-2.0 */
/* rig.h - a whole broker in the test's own process, in which nothing happens by itself: the test is
 * the spawner and every child, and says when each message and each exit is seen. */
#pragma once

#include "fixture.h"
#include "run/instance.h"

/* A child as the spawner knows it; the test holds its end of the control socket. */
struct rig_child {
    uint32_t id;
    struct channel *channel;
    unsigned n_kills;
};

struct rig {
    struct instance in;
    struct loop *loop;
    struct spawner spawner;
    int requests; /* the spawner's end */
    struct rig_child children[64];
    bool restarted;      /* what a device was configured with last */
    bool console_escape; /* what a console was configured with last */
    unsigned console_fds;
    int console_last_fd;
};

/* A VM with entropy and balloon that runs; every device has been announced, none is active. */
void rig_run(struct rig *rig, uint32_t crash_limit);
/* The same with a network device on a tap that is made for it: in a network namespace of the test's. */
void rig_run_with_tap(struct rig *rig);
/* The same with a serial port besides, on a socket or on a terminal's two descriptors. */
void rig_run_console(struct rig *rig, uint32_t crash_limit, const char *socket, const int *tty);
/* The guest reboots: all processes leave, and the next ones run. */
void rig_reboot(struct rig *rig);
void rig_end(struct rig *rig);
/* Takes the spawner's requests. */
void rig_spawn(struct rig *rig);
struct device *rig_device(struct rig *rig, Bulkhead__Role role);
/* Of the child that serves it. */
struct child *rig_worker(struct rig *rig, Bulkhead__Role role);
/* The next message for that child; BODY__NOT_SET when there is none. ret_msg may be NULL. */
Bulkhead__Envelope__BodyCase rig_heard(struct rig *rig, uint32_t child, struct message *ret_msg);
/* Says it; the broker has not looked yet. */
void rig_queue(struct rig *rig, uint32_t child, const Bulkhead__Envelope *envelope);
/* Says it, and the broker acts on it. fd: -1: none. */
void rig_say_fd(struct rig *rig, uint32_t child, const Bulkhead__Envelope *envelope, int fd);
void rig_say(struct rig *rig, uint32_t child, const Bulkhead__Envelope *envelope);
/* From its start to Ready; takes what it is told until then. */
void rig_make_ready(struct rig *rig, uint32_t child);
/* It is gone, killed by SIGKILL. */
void rig_exit(struct rig *rig, uint32_t child);
