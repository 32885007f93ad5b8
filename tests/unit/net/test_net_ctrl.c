/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_ctrl.c - what a driver may ask for in the control queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "net/net_ctrl.h"
#include <cmocka.h>

#define ALL (NET_BIT(VIRTIO_NET_F_MQ) | NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))

static const struct {
    uint8_t req[8];
    size_t len;
    uint64_t features;
    enum net_command_kind want;
} cases[] = {
    { { 0 }, 0, ALL, NET_COMMAND_BAD },                          /* no request at all     */
    { { VIRTIO_NET_CTRL_MQ }, 1, ALL, NET_COMMAND_BAD },         /* no command            */
    { { VIRTIO_NET_CTRL_RX, 0, 1 }, 3, 0, NET_COMMAND_NOTHING }, /* promiscuous           */
    { { VIRTIO_NET_CTRL_RX, 0 }, 2, 0, NET_COMMAND_BAD },        /* on or off?            */
    { { VIRTIO_NET_CTRL_RX, 6, 1 }, 3, 0, NET_COMMAND_BAD },     /* no such mode          */
    { { VIRTIO_NET_CTRL_MAC, 0 }, 2, 0, NET_COMMAND_NOTHING },   /* a table               */
    { { VIRTIO_NET_CTRL_MAC, 1, 2, 0, 0, 0, 0, 1 }, 8, ALL, NET_COMMAND_MAC },
    { { VIRTIO_NET_CTRL_MAC, 1, 2, 0, 0, 0, 0, 1 }, 8, 0, NET_COMMAND_BAD },   /* not agreed  */
    { { VIRTIO_NET_CTRL_MAC, 1, 2, 0, 0, 0, 0, 1 }, 7, ALL, NET_COMMAND_BAD }, /* a byte less */
    { { VIRTIO_NET_CTRL_MAC, 1, 3, 0, 0, 0, 0, 1 }, 8, ALL, NET_COMMAND_BAD }, /* multicast   */
    { { VIRTIO_NET_CTRL_MAC, 2, 2, 0, 0, 0, 0, 1 }, 8, ALL, NET_COMMAND_BAD }, /* no such one */
    { { VIRTIO_NET_CTRL_MQ, 0, 3, 0 }, 4, ALL, NET_COMMAND_PAIRS },
    { { VIRTIO_NET_CTRL_MQ, 0, 3, 0 }, 4, 0, NET_COMMAND_BAD },   /* not agreed            */
    { { VIRTIO_NET_CTRL_MQ, 0, 3 }, 3, ALL, NET_COMMAND_BAD },    /* half a number         */
    { { VIRTIO_NET_CTRL_MQ, 1, 3, 0 }, 4, ALL, NET_COMMAND_BAD }, /* no such one           */
    { { 99, 0, 0, 0 }, 4, ALL, NET_COMMAND_BAD },
};

static void kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct net_command command = net_ctrl_parse(cases[i].req, cases[i].len, cases[i].features);

        if (command.kind != cases[i].want)
            fail_msg("case %zu: %d", i, (int)command.kind);
    }
}

static void values(void **state)
{
    static const uint8_t pairs[] = { VIRTIO_NET_CTRL_MQ, 0, 0xff, 0xff };
    static const uint8_t mac[] = { VIRTIO_NET_CTRL_MAC, 1, 2, 0, 0, 0, 0, 1 };
    struct net_command command = net_ctrl_parse(pairs, sizeof(pairs), ALL);

    (void)state;
    assert_int_equal(command.n_pairs, 65535);
    command = net_ctrl_parse(mac, sizeof(mac), ALL);
    assert_memory_equal(command.mac, mac + 2, NET_MAC_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
