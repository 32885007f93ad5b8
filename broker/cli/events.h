/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - a VM's events as JSON lines (Cloud Hypervisor's event-monitor shape) or as text. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "host.pb-c.h"

/* {"timestamp":{"secs":..,"nanos":..},"source":..,"event":..,"properties":{..}}; new reference. */
json_t *event_json(const Bulkhead__Event *event);
/* One line of it, ended and terminated; on the heap. NULL: it is not UTF-8, or there is no memory. */
char *event_line(const Bulkhead__Event *event);
/* One line to fd, in one write. 0 or a negative errno. */
int event_write_json(const Bulkhead__Event *event, int fd) must_check;
/* "12:34:56.789 device restarted id=disk0 took_ms=12" */
void event_print(const Bulkhead__Event *event, FILE *out);
/* The same of the host's service: with the keys sequence, tenant, vm and lost; "12:34:56.789 acme/web device ...". */
int event_write_host_json(const Bulkhead__HostEvent *event, int fd) must_check;
void event_print_host(const Bulkhead__HostEvent *event, FILE *out);
/* The value of a property or NULL. */
const char *event_property(const Bulkhead__Event *event, const char *key);
