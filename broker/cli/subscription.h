/* SPDX-License-Identifier: Apache-2.0 */
/* subscription.h - a VM's events, over its broker's death. */
#pragma once

#include "base/compiler.h"
#include "client.h"

/* Connects and subscribes; close the client either way. */
int subscription_open(struct client *ret_client, const char *vm) must_check;
/* The next message. -EPIPE: the VM has ended, or nobody takes over from its broker. */
int subscription_receive(struct client *client, const char *vm,
                         struct client_answer *ret_answer) must_check;
