/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h - a real hostd in its sandbox, with real sockets; the test is the starter, every VM's broker and launcher, and
 * all clients. Who they are is what tenants.pb says of this process's own uid. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include "client/envelope.h"
#include "host.pb-c.h"
#include "hostd/starter/wire.h"
#include "ipc/channel.h"
// cmocka wants the ones above
#include <cmocka.h>

enum {
    STAGE_HOSTD_UID = 0x70000000 + 64, /* where root runs the test */
    STAGE_DEVICES = 7,                 /* the quota of t0 */
};

struct stage {
    char dir[64], socket[108];
    pid_t hostd;
    int starter; /* our end */
    struct starter_request request;
    uint8_t bytes[STARTER_MAX_BYTES]; /* that came with it */
    int fd;                           /* the same; -1: none */
    uint32_t next;                    /* number of a client's last request */
    int notify;                       /* where the service manager would hear; -1: nowhere */
};

/* Up to where it hears clients. uids 1000000 + n speak for tenants t0..t3 (this process, as root, may be any of them), root for
 * t4, the host's own. Without root this process's uid speaks for t0, and that is the host's own. requests_per_s: of t0. t3 may
 * have one VM. */
void stage_begin(struct stage *s, uint32_t requests_per_s);
/* Until it has been told what there is; then the test's own words. */
void stage_start(struct stage *s, uint32_t requests_per_s);
void stage_open(struct stage *s);
void stage_end(struct stage *s);
/* The next request of that kind; others are not expected. */
void stage_asked(struct stage *s, enum starter_request_kind kind);
/* It is done, with these descriptors, which stay the caller's. */
void stage_done(struct stage *s, int error, const int *fds, size_t n_fds);
void stage_report(struct stage *s, struct starter_report *report, const void *bytes, size_t len,
                  const int *fds, size_t n_fds);

/* A client of that uid; NULL: it was refused. */
struct channel *stage_connect(struct stage *s, uid_t uid);
void stage_send(struct stage *s, struct channel *client, Bulkhead__HostEnvelope *e);
/* The next message, which is waited for; NULL: it is closed. */
const Bulkhead__HostEnvelope *stage_hear(struct channel *client, int **ret_fds, size_t *ret_n_fds);
/* A request without content, or about that VM, and its answer. */
const Bulkhead__HostEnvelope *stage_ask(struct stage *s, struct channel *client,
                                        Bulkhead__HostEnvelope__BodyCase body, const char *vm);
/* One whose guest may look at "web", and ask for its disk "data". */
void stage_create_controller(struct stage *s, struct channel *client, const char *name);
void stage_create(struct stage *s, struct channel *client, const char *name, bool start);
/* A VM that was to be started at once: all that others do, up to where it runs. Its broker's end of the session with the service. */
struct channel *stage_run(struct stage *s, struct channel *client, const char *name);
