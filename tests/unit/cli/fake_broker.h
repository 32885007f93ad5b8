/* SPDX-License-Identifier: Apache-2.0 */
/* fake_broker.h - the real program against a broker, of a VM `alpha` of `run`, that the test plays on a command socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "client.pb-c.h"
#include "ipc/channel.h"

enum { TIMEOUT_MS = 30000, MANY = 500 /* processes at most, in a list */ };

struct fake_broker {
    char dir[64];
    int listener;
    pid_t pid;
    int out; /* stdout and stderr of the program */
    char text[131072];
};

/* cmocka's. */
int fake_broker_setup(void **state);
int fake_broker_teardown(void **state);

/* Starts `bulkhead LINE`. */
void fake_broker_start(struct fake_broker *f, const char *line);
/* Its output is in f->text afterwards. */
int fake_broker_finish(struct fake_broker *f);
struct channel *fake_broker_accept_client(struct fake_broker *f);
/* Receives one request of the wanted kind; its number. */
uint32_t fake_broker_expect(struct channel *channel, Bulkhead__ClientEnvelope__BodyCase body);
void fake_broker_reply(struct channel *channel, uint32_t id, int error, bool bad_input,
                       const char *text);

/* Another VM's spawner, with a child: by its name one of ours, but not with the lock of this VM, unless told so. */
struct family {
    pid_t spawner, child;
};

struct family fake_broker_start_family(struct fake_broker *f, bool with_lock);
void fake_broker_end_family(struct fake_broker *f, const struct family *family);
/* n processes, which are all one; spawner: 0, or that one's. */
void fake_broker_answer_list(struct channel *channel, size_t n, const struct family *family);
