/* SPDX-License-Identifier: Apache-2.0 */
/* merge.c - see merge.h. Messages come from malloc(), part by part. */
#include "config/merge.h"

#include <stdlib.h>
#include <string.h>
#include "config/config.h"

static bool has_console(const Bulkhead__VmConfig *c)
{
    return c->console && c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
}

static bool has_vsock(const Bulkhead__VmConfig *c)
{
    return c->vsock && c->vsock->enabled;
}

static bool has_balloon(const Bulkhead__VmConfig *c)
{
    return c->balloon && c->balloon->enabled;
}

static int append(void ***list, size_t *n, void *item)
{
    void **grown = realloc(*list, (*n + 1) * sizeof *grown);

    if (!grown)
        return -ENOMEM;
    grown[(*n)++] = item;
    *list = grown;
    return 0;
}

static int one_per_vm(const char *what, struct fault *f)
{
    return fault_input(f, "this VM has a %s already: one per VM", what);
}

#define SWAP(a, b)                                                                                 \
    do {                                                                                           \
        __typeof__(a) held = (a);                                                                  \
        (a) = (b);                                                                                 \
        (b) = held;                                                                                \
    } while (0)

static int take_disk(Bulkhead__VmConfig *c, Bulkhead__VmConfig *from, struct fault *f)
{
    void **list = (void **)c->disks;

    if (append(&list, &c->n_disks, from->disks[0]) < 0)
        return fault_host(f, ENOMEM, "no memory");
    c->disks = (Bulkhead__DiskConfig **)list;
    from->n_disks = 0;
    return 0;
}

static int take_net(Bulkhead__VmConfig *c, Bulkhead__VmConfig *from, struct fault *f)
{
    void **list = (void **)c->nets;

    if (append(&list, &c->n_nets, from->nets[0]) < 0)
        return fault_host(f, ENOMEM, "no memory");
    c->nets = (Bulkhead__NetConfig **)list;
    from->n_nets = 0;
    return 0;
}

static int take(Bulkhead__VmConfig *c, Bulkhead__VmConfig *from, Bulkhead__Role role,
                struct fault *f)
{
    switch ((int)role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        return take_disk(c, from, f);
    case BULKHEAD__ROLE__ROLE_NET:
        return take_net(c, from, f);
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        if (has_console(c))
            return one_per_vm("console", f);
        SWAP(c->console, from->console);
        return 0;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        if (has_vsock(c))
            return one_per_vm("vsock", f);
        SWAP(c->vsock, from->vsock);
        return 0;
    default:
        if (has_balloon(c))
            return one_per_vm("balloon", f);
        SWAP(c->balloon, from->balloon);
        return 0;
    }
}

int config_add(Bulkhead__VmConfig *c, Bulkhead__VmConfig *from, Bulkhead__Role *ret_role,
               unsigned *ret_index, struct fault *f)
{
    Bulkhead__Role role = from->n_disks > 0   ? BULKHEAD__ROLE__ROLE_BLK
                          : from->n_nets > 0  ? BULKHEAD__ROLE__ROLE_NET
                          : has_console(from) ? BULKHEAD__ROLE__ROLE_CONSOLE
                          : has_vsock(from)   ? BULKHEAD__ROLE__ROLE_VSOCK
                                              : BULKHEAD__ROLE__ROLE_BALLOON;
    size_t n =
        from->n_disks + from->n_nets + has_console(from) + has_vsock(from) + has_balloon(from);
    int r = n == 1 ? take(c, from, role, f)
                   : fault_input(f, "%zu devices to add: give one, the others after it", n);

    config_free(from);
    if (r < 0)
        return r;
    *ret_role = role;
    *ret_index = (unsigned)(role == BULKHEAD__ROLE__ROLE_BLK   ? c->n_disks - 1
                            : role == BULKHEAD__ROLE__ROLE_NET ? c->n_nets - 1
                                                               : 0);
    return 0;
}

void config_remove(Bulkhead__VmConfig *c, Bulkhead__Role role, unsigned index)
{
    switch ((int)role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        bulkhead__disk_config__free_unpacked(c->disks[index], NULL);
        c->n_disks--;
        memmove(&c->disks[index], &c->disks[index + 1], (c->n_disks - index) * sizeof c->disks[0]);
        break;
    case BULKHEAD__ROLE__ROLE_NET:
        bulkhead__net_config__free_unpacked(c->nets[index], NULL);
        c->n_nets--;
        memmove(&c->nets[index], &c->nets[index + 1], (c->n_nets - index) * sizeof c->nets[0]);
        break;
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        c->console->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_OFF;
        break;
    case BULKHEAD__ROLE__ROLE_VSOCK:
        c->vsock->enabled = false;
        break;
    case BULKHEAD__ROLE__ROLE_BALLOON:
        c->balloon->enabled = false;
        break;
    case BULKHEAD__ROLE__ROLE_RNG:
        c->rng->enabled = false;
        break;
    default:
        break;
    }
}

void config_swap_devices(Bulkhead__VmConfig *a, Bulkhead__VmConfig *b)
{
    SWAP(a->disks, b->disks);
    SWAP(a->n_disks, b->n_disks);
    SWAP(a->nets, b->nets);
    SWAP(a->n_nets, b->n_nets);
    SWAP(a->rng, b->rng);
    SWAP(a->console, b->console);
    SWAP(a->vsock, b->vsock);
    SWAP(a->balloon, b->balloon);
}
