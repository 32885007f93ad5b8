/* SPDX-License-Identifier: Apache-2.0 */
/* queries.h - what a client may ask about a VM without changing anything. */
#pragma once

#include "api/session.h"

void query_processes(struct client *client, const Bulkhead__ClientEnvelope *request);
void query_plan(struct client *client, const Bulkhead__ClientEnvelope *request);
void query_stats(struct client *client, const Bulkhead__ClientEnvelope *request);
void query_vm(struct client *client, const Bulkhead__ClientEnvelope *request);
