/* SPDX-License-Identifier: Apache-2.0 */
/* opener.c - see opener.h. */
#include "run/opener.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/envelope.h"
#include "config/config.h"
#include "devices/blk.h"
#include "devices/console.h"
#include "devices/handed.h"
#include "devices/net.h"
#include "ipc/channel.h"
#include "resources/tap.h"

static int open_net(Bulkhead__NetConfig *net, int *fds, size_t n_fds, struct backend *b,
                    struct fault *f)
{
    int r = resources_net(net, fds, (unsigned)n_fds, b, f);

    return r < 0 ? r : resources_tap_configure(net, f);
}

/* The VM's broker has checked and filled it. */
static int open_it(Bulkhead__VmConfig *c, int *fds, size_t n_fds, struct backend *b,
                   struct fault *f)
{
    if (c->n_disks == 1)
        return resources_disk(c->disks[0], b, f);
    if (c->n_nets == 1)
        return open_net(c->nets[0], fds, n_fds, b, f);
    if (c->console)
        return resources_console("the console", c->console, NULL, b, f);
    return 0; /* a balloon has nothing */
}

static int refuse(struct channel *client, uint32_t id, struct fault *f)
{
    Bulkhead__Reply reply = fault_reply(f);
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);

    e.id = id;
    return channel_send_raw(client, &e.base, NULL, 0, true) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int hand_over(struct channel *client, uint32_t id, Bulkhead__VmConfig *device,
                     struct backend *b)
{
    Bulkhead__AddDevice answer = BULKHEAD__ADD_DEVICE__INIT;
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &answer);
    Bulkhead__Backend backend;
    int fds[HANDED_MAX_FDS];
    size_t n = handed_give(b, &backend, fds);

    answer.device = device;
    answer.backend = &backend;
    e.id = id;
    return channel_send_raw(client, &e.base, fds, n, true);
}

static int serve(struct channel *client)
{
    const Bulkhead__ClientEnvelope *e;
    Bulkhead__VmConfig *device = NULL;
    ProtobufCMessage *msg = NULL;
    struct fault f = { 0 };
    struct backend b;
    uint32_t id;
    size_t n_fds = 0;
    int *fds = NULL, r;

    if (channel_receive_raw(client, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds) != 0)
        return EXIT_FAILURE;
    e = (const Bulkhead__ClientEnvelope *)msg;
    id = e->id;
    if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE && e->add_device->device)
        device = config_copy(e->add_device->device);
    if (!device) {
        fault_input(&f, "the request must be AddDevice with a device");
        return refuse(client, id, &f);
    }
    backend_init(&b);
    r = open_it(device, fds, n_fds, &b, &f);
    r = r < 0 ? refuse(client, id, &f) : hand_over(client, id, device, &b);
    b.made_tap[0] = '\0'; /* it stays as long as the VM has it */
    backend_deinit(&b);
    config_free(device);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int opener_main(int fd)
{
    struct channel *client = NULL;
    int status;

    if (fd_expect(fd, FD_TYPE_SEQPACKET, "the client's socket") < 0 ||
        channel_new(&client, fd, CHANNEL_ARENA_CLIENT) < 0) {
        log_error("bulkhead-broker --open is started by `bulkhead add`");
        return EXIT_FAILURE;
    }
    status = serve(client);
    channel_free(client);
    return status;
}
