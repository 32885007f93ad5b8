/* SPDX-License-Identifier: Apache-2.0 */
/* allowed.h - what a tenant's VM may have beside files: interfaces, a user network, so many devices, no more weight than others. The host's service looks
 * before it keeps a description, and the launcher (run/launcher.h) by what the starter has told it, whoever asks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "client.pb-c.h"
#include "config/fault.h"

struct allowed {
    const char *tenant; /* its name */
    bool host;          /* the host's own: all but descriptors */
    bool user_net;
    char **taps; /* names of interfaces; "web*": those that begin so */
    size_t n_taps;
    uint32_t devices; /* 0: any number */
    bool vouched;     /* and that as who the service is has described it alone: run/vouched.h */
};

/* config_fill() has been over it. 0, or -EINVAL or -EDQUOT with one line. */
int allowed_check(const Bulkhead__VmConfig *config, const struct allowed *allowed,
                  struct fault *f) must_check;
int allowed_check_devices(uint32_t devices, const struct allowed *allowed,
                          struct fault *f) must_check;
uint32_t allowed_count_devices(const Bulkhead__VmConfig *config);

/* As arguments of a program: one by one into words, which has room for ALLOWED_MAX_WORDS and the taps. On the heap, one block;
 * NULL: no memory. */
enum { ALLOWED_MAX_WORDS = 5 };
char *allowed_write(const struct allowed *allowed, char **words, size_t *ret_n) must_check;
/* The other way: how many of args, from the first on, were such words. Keeps them; moves taps to the front. */
size_t allowed_read(struct allowed *ret_allowed, char **args, size_t n_args);
