/* SPDX-License-Identifier: Apache-2.0 */
/* requests.h - what a client may ask of a running VM: one table. */
#pragma once

#include "api/session.h"

void request_take(struct client *client, const Bulkhead__ClientEnvelope *request);
