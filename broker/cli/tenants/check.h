/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - can these tenants be told apart, and does the service take them? The service looks for itself too: this is so that
 * whoever writes the file hears of it before it is in force. */
#pragma once

#include "host.pb-c.h"
#include "options/keyvalue.h"

/* service_uid: whose the service is. 0, or -1 with one line in *err. */
int tenants_check(const char *name, const Bulkhead__HostConfig *config, uint32_t service_uid,
                  struct option_error *err) must_check;
