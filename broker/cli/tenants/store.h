/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - tenants.pb in the service's configuration: the old one or the new one, whatever happens in between. */
#pragma once

#include <stddef.h>
#include "host.pb-c.h"
#include "options/keyvalue.h"

struct stored {
    char path[128]; /* of the file */
    void *before;   /* what was there; NULL: nothing */
    size_t n_before;
};

/* Makes the directory if it is missing; refuses one that others may write to. 0, or -1 with one line. *ret_stored is to be
 * freed by stored_deinit(). */
int tenants_store(const Bulkhead__HostConfig *config, struct stored *ret_stored,
                  struct option_error *err) must_check;
/* Puts back what was there. */
int tenants_restore(const struct stored *stored, struct option_error *err) must_check;
void stored_deinit(struct stored *stored);
