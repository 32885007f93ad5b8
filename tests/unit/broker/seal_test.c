/* SPDX-License-Identifier: Apache-2.0 */
/* seal_test.c - which io_uring a device's workers may have, as the spawner is told before the broker's sandbox. */
#include <sys/socket.h>
#include <unistd.h>
#include "fixture.h"
#include "run/instance.h"
#include "run/seal.h"
#include "sandbox/ring.h"

static struct instance in;
static struct spawner spawner;
static int requests;

/* Two disks, a network, a source of entropy. */
static void start(const char *net_mode)
{
    Bulkhead__VmConfig *c = fixture_config();
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    spawner = (struct spawner){ .fd = pair[0], .pid = -1 };
    requests = pair[1];
    fixture_text(&c->nets[0]->mode, net_mode);
    in = (struct instance){ 0 };
    instance_init(&in, NULL, &spawner);
    instance_plan(&in, c);
    while (in.n_ends < in.plan.n_devices)
        instance_add_ends(&in);
}

static void end(void)
{
    instance_deinit(&in);
    close(spawner.fd);
    close(requests);
}

/* The n-th device of that role. */
static unsigned number_of(Bulkhead__Role role, unsigned n)
{
    for (unsigned i = 0; i < in.plan.n_devices; i++)
        if (in.plan.devices[i].role == role && n-- == 0)
            return i;
    fail_msg("no such device");
    return 0;
}

static uint32_t ring_of(Bulkhead__Role role, unsigned n)
{
    struct spawner_request request;
    struct fault f;
    unsigned number = number_of(role, n);

    assert_int_equal(seal_add(&in, number, &f), 0);
    assert_int_equal(recv(requests, &request, sizeof request, 0), sizeof request);
    assert_int_equal(request.kind, SPAWNER_SLOT);
    assert_int_equal(request.setup.role, role);
    while (recv(requests, &(struct spawner_request){ 0 }, sizeof request, MSG_DONTWAIT) > 0)
        ; /* passt's */
    return request.setup.ring;
}

/* The ring of a block device lets fallocate() through, some modes of which give a file room behind its end. */
static void only_a_block_device_has_fallocate(void **state)
{
    (void)state;
    start("tap");
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_BLK, 0), RING_DISK);
    in.ends[number_of(BULKHEAD__ROLE__ROLE_BLK, 1)].backend.block_device = true;
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_BLK, 1), RING_BLOCK_DEVICE);
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_BLK, 0), RING_DISK);
    end();
}

static void who_needs_none_has_none(void **state)
{
    (void)state;
    start("tap");
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_NET, 0), RING_FRAMES);
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_RNG, 0), RING_NONE);
    in.config->nets[0]->disable_io_uring = true;
    in.config->disks[0]->disable_io_uring = true;
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_NET, 0), RING_NONE);
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_BLK, 0), RING_NONE);
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_BLK, 1), RING_DISK);
    end();
    start("user");
    assert_int_equal(ring_of(BULKHEAD__ROLE__ROLE_NET, 0), RING_NONE);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_block_device_has_fallocate),
        cmocka_unit_test(who_needs_none_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
