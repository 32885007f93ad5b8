/* SPDX-License-Identifier: Apache-2.0 */
/* hostd.h - the process that hears tenants, from its fork to its end. */
#pragma once

#include <stdint.h>
#include "base/compiler.h"
#include "sandbox/seccomp.h"

struct hostd_terms {
    int starter_fd, listen_fd;           /* owned */
    uint32_t uid;                        /* that it becomes; 0: it stays who it is */
    const struct sandbox_filter *filter; /* NULL, in tests: no sandbox at all */
};

/* An exit status. */
int hostd_run(const struct hostd_terms *terms);
