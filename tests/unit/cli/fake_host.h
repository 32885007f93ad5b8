/* SPDX-License-Identifier: Apache-2.0 */
/* fake_host.h - the real program against a service of the host's that the test plays on a command socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "host.pb-c.h"
#include "ipc/channel.h"

enum { FAKE_TIMEOUT_MS = 30000 };

struct fake_host {
    char dir[64]; /* the service's run directory; dir/run: that of private VMs; dir/config */
    int listener;
    pid_t pid; /* the program */
    int in;    /* its standard input, -1: /dev/null */
    int out;   /* its stdout and stderr */
    char text[131072];
};

/* cmocka's setup and teardown. */
int fake_host_setup(void **state);
int fake_host_teardown(void **state);

/* Starts `bulkhead LINE`, words apart by blanks; in `cwd`, if that isn't NULL. */
void fake_host_run(struct fake_host *f, const char *line, const char *cwd, bool with_input);
/* The same on a terminal of its own; what is typed goes to f->in. */
void fake_host_run_tty(struct fake_host *f, const char *line);
/* Its exit status, -1: a signal; what it has printed is in f->text. */
int fake_host_finish(struct fake_host *f);
/* Reads its output until there is such a text in it; f->text grows. */
void fake_host_await(struct fake_host *f, const char *text);
/* A text of f->text is so many times in it. */
size_t fake_host_count(const struct fake_host *f, const char *text);

struct channel *fake_host_accept(struct fake_host *f);
/* The next request, valid until the next one; and of that kind. */
const Bulkhead__HostEnvelope *fake_host_next(struct channel *channel);
const Bulkhead__HostEnvelope *fake_host_expect(struct channel *channel,
                                               Bulkhead__HostEnvelope__BodyCase body);
void fake_host_send(struct channel *channel, Bulkhead__HostEnvelope *answer, const int *fds,
                    size_t n_fds);
void fake_host_reply(struct channel *channel, uint32_t id, int error, bool bad_input,
                     const char *text);
/* The same without an error, with descriptors, which stay the caller's. */
void fake_host_reply_with(struct channel *channel, uint32_t id, const int *fds, size_t n_fds);
/* GetHost is answered: the caller is that tenant's. */
void fake_host_tell_tenant(struct channel *channel, const char *tenant);
/* ListVms is answered with the first n of fake_host_status(). */
void fake_host_tell_vms(struct channel *channel, unsigned n);
/* OpenVm of that channel is answered with descriptors, which are closed here. */
void fake_host_open(struct fake_host *f, const char *vm, Bulkhead__VmChannel channel, int *fds,
                    size_t n_fds);

/* One of two VMs of tenant acme: web (0), which runs, and db (1), which has crashed. In static memory. */
Bulkhead__VmStatus *fake_host_status(unsigned i);
