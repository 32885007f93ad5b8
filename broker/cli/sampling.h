/* SPDX-License-Identifier: Apache-2.0 */
/* sampling.h - asks a VM's broker for what `bulkhead top` shows. */
#pragma once

#include "base/compiler.h"
#include "client.h"
#include "samples.h"

/* 0, or a negative errno as of client_call(). */
int sampling_take(struct client *client, struct top_sample *ret_sample) must_check;
