/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_tap.c - what a tap is told to offload, for any choice that a driver makes of what is offered. */
#include <errno.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include "base/compiler.h"
#include "net/net_hdr.h"
#include "net/net_tap.h"
#include <cmocka.h>

static const unsigned guest[] = { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
                                  VIRTIO_NET_F_GUEST_ECN,  VIRTIO_NET_F_GUEST_UFO,
                                  VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_USO6 };

static unsigned long told; /* the tap */

int __wrap_ioctl(int fd, unsigned long request, ...);

/* As Linux has it (tun.c and tap.c, set_offload): what is left over makes all of it invalid. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    const unsigned long tso = TUN_F_TSO4 | TUN_F_TSO6, uso = TUN_F_USO4 | TUN_F_USO6;
    unsigned long left;
    va_list args;

    (void)fd;
    assert_int_equal(request, TUNSETOFFLOAD);
    va_start(args, request);
    left = told = va_arg(args, unsigned);
    va_end(args);
    if (left & TUN_F_CSUM) {
        if (left & tso)
            left &= ~(tso | TUN_F_TSO_ECN);
        if ((left & uso) == uso)
            left &= ~uso;
        left &= ~(unsigned long)(TUN_F_CSUM | TUN_F_UFO);
    }
    errno = EINVAL;
    return left == 0 ? 0 : -1;
}

static unsigned long tell(uint64_t features)
{
    const struct net_tap tap = { .fd = -1 };

    assert_int_equal(net_tap_set_offloads(&tap, features), 0);
    return told;
}

static void a_tap_takes_any_choice(void **state)
{
    (void)state;
    for (unsigned choice = 0; choice < 1u << ARRAY_SIZE(guest); choice++) {
        uint64_t features = 0;

        for (unsigned i = 0; i < ARRAY_SIZE(guest); i++)
            if (choice & 1u << i)
                features |= NET_BIT(guest[i]);
        assert_int_equal(tell(features), 0);
        assert_true(tell(features | NET_BIT(VIRTIO_NET_F_GUEST_CSUM)) & TUN_F_CSUM);
    }
}

/* What it can be told of, it is. */
static void what_has_company_is_on(void **state)
{
    const uint64_t csum = NET_BIT(VIRTIO_NET_F_GUEST_CSUM), ecn = NET_BIT(VIRTIO_NET_F_GUEST_ECN);
    const uint64_t uso4 = NET_BIT(VIRTIO_NET_F_GUEST_USO4), uso6 = NET_BIT(VIRTIO_NET_F_GUEST_USO6);

    (void)state;
    assert_int_equal(tell(csum | NET_BIT(VIRTIO_NET_F_GUEST_TSO4) | ecn),
                     TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN);
    assert_int_equal(tell(csum | NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | ecn),
                     TUN_F_CSUM | TUN_F_TSO6 | TUN_F_TSO_ECN);
    assert_int_equal(tell(csum | uso4 | uso6), TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6);
    assert_int_equal(tell(csum | uso4 | NET_BIT(VIRTIO_NET_F_GUEST_UFO)), TUN_F_CSUM | TUN_F_UFO);
    assert_int_equal(tell(csum | ecn), TUN_F_CSUM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tap_takes_any_choice),
        cmocka_unit_test(what_has_company_is_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
