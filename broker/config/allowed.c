/* SPDX-License-Identifier: Apache-2.0 */
/* allowed.c - see allowed.h. */
#include "config/allowed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WEIGHT = 100 };

static bool allows_tap(const struct allowed *a, const char *interface)
{
    if (a->host)
        return true;
    for (size_t i = 0; i < a->n_taps; i++) {
        size_t len = strlen(a->taps[i]);

        if (len > 0 && a->taps[i][len - 1] == '*' ? strncmp(a->taps[i], interface, len - 1) == 0
                                                  : strcmp(a->taps[i], interface) == 0)
            return true;
    }
    return false;
}

static int check_net(const Bulkhead__NetConfig *n, const struct allowed *a, struct fault *f)
{
    if (strcmp(n->mode, "fd") == 0)
        return fault_input(f,
                           "%s: a VM of the host's service takes no descriptors: name its "
                           "interface (tap=, macvtap=)",
                           n->id);
    if (strcmp(n->mode, "user") == 0)
        return a->user_net || a->host
                   ? 0
                   : fault_input(f,
                                 "%s: tenant %s may have no user network: use a tap that it may "
                                 "have, or ask who runs the host",
                                 n->id, a->tenant);
    if (n->tap[0] == '\0' && !a->host)
        return fault_input(f, "%s: name the interface that it is to use (tap=NAME)", n->id);
    return allows_tap(a, n->tap)
               ? 0
               : fault_input(f,
                             "%s: tenant %s may not use interface %s: use one that it may have, or "
                             "ask who runs the host",
                             n->id, a->tenant, n->tap);
}

uint32_t allowed_count_devices(const Bulkhead__VmConfig *c)
{
    return (uint32_t)(c->n_disks + c->n_nets + (c->rng->enabled ? 1 : 0) +
                      (c->vsock->enabled ? 1 : 0) + (c->balloon->enabled ? 1 : 0) +
                      (c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF ? 1 : 0));
}

int allowed_check_devices(uint32_t devices, const struct allowed *a, struct fault *f)
{
    if (a->devices == 0 || devices <= a->devices)
        return 0;
    fault_host(f, EDQUOT, "%u devices, and a VM of tenant %s may have %u: use fewer", devices,
               a->tenant, a->devices);
    f->bad_input = true;
    return -EDQUOT;
}

/* What every VM has that says nothing. More would be other tenants' time. */
static int check_weight(const char *option, uint32_t weight, const struct allowed *a,
                        struct fault *f)
{
    return weight <= MAX_WEIGHT || a->host
               ? 0
               : fault_input(f,
                             "--limits %s=%u: a VM of tenant %s may have %d at most, as others "
                             "have: use less",
                             option, weight, a->tenant, MAX_WEIGHT);
}

int allowed_check(const Bulkhead__VmConfig *c, const struct allowed *a, struct fault *f)
{
    for (size_t i = 0; i < c->n_nets; i++)
        if (check_net(c->nets[i], a, f) < 0)
            return -EINVAL;
    if (c->insecure && !a->host)
        return fault_input(f, "--insecure is for who runs the host: leave it out");
    if (check_weight("cpu_weight", c->limits->cpu_weight, a, f) < 0 ||
        check_weight("io_weight", c->limits->io_weight, a, f) < 0)
        return -EINVAL;
    return allowed_check_devices(allowed_count_devices(c), a, f);
}

/* ---- as arguments ---- */

#define TENANT "tenant="
#define HOST "host"
#define USER_NET "user-net"
#define VOUCHED "vouched"
#define TAP "tap="
#define DEVICES "devices="

enum { NUMBER_BYTES = 12 };

static char *add(char *at, char **words, size_t *n, const char *key, const char *value)
{
    words[(*n)++] = at;
    return at + sprintf(at, "%s%s", key, value) + 1;
}

char *allowed_write(const struct allowed *a, char **words, size_t *ret_n)
{
    size_t bytes = sizeof TENANT + strlen(a->tenant) + sizeof HOST + sizeof USER_NET +
                   sizeof VOUCHED + sizeof DEVICES + NUMBER_BYTES;
    char number[NUMBER_BYTES], *block, *at;

    for (size_t i = 0; i < a->n_taps; i++)
        bytes += sizeof TAP + strlen(a->taps[i]);
    block = at = malloc(bytes);
    if (!block)
        return NULL;
    *ret_n = 0;
    snprintf(number, sizeof number, "%u", a->devices);
    at = add(at, words, ret_n, TENANT, a->tenant);
    at = add(at, words, ret_n, DEVICES, number);
    if (a->host)
        at = add(at, words, ret_n, HOST, "");
    if (a->user_net)
        at = add(at, words, ret_n, USER_NET, "");
    if (a->vouched)
        at = add(at, words, ret_n, VOUCHED, "");
    for (size_t i = 0; i < a->n_taps; i++)
        at = add(at, words, ret_n, TAP, a->taps[i]);
    return block;
}

/* False: it is none. */
static bool take_word(struct allowed *a, char *word, char **taps)
{
    if (strcmp(word, HOST) == 0)
        a->host = true;
    else if (strcmp(word, VOUCHED) == 0)
        a->vouched = true;
    else if (strcmp(word, USER_NET) == 0)
        a->user_net = true;
    else if (strncmp(word, TENANT, strlen(TENANT)) == 0)
        a->tenant = word + strlen(TENANT);
    else if (strncmp(word, DEVICES, strlen(DEVICES)) == 0)
        a->devices = (uint32_t)strtoul(word + strlen(DEVICES), NULL, 10);
    else if (strncmp(word, TAP, strlen(TAP)) == 0)
        taps[a->n_taps++] = word + strlen(TAP);
    else
        return false;
    return true;
}

size_t allowed_read(struct allowed *ret_allowed, char **args, size_t n_args)
{
    size_t n = 0;

    *ret_allowed = (struct allowed){ .tenant = "", .taps = args };
    while (n < n_args && take_word(ret_allowed, args[n], args))
        n++;
    return n;
}
