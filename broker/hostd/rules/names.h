/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - names that tenants send. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "client/hostdir.h"

enum { NAMES_SHOWN_BYTES = 64 };

bool names_is_label(const char *key);
/* For a message: cut, and what is no plain character replaced. Returns ret. */
const char *names_show(const char *name, char ret[NAMES_SHOWN_BYTES]);
/* "acme/web", or "web" of that tenant. False: neither can be one's name. */
bool names_split(const char *name, const char *tenant, char ret_tenant[HOSTDIR_TENANT_BYTES],
                 char ret_vm[HOSTDIR_VM_BYTES]);
