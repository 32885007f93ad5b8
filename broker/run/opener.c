/* SPDX-License-Identifier: Apache-2.0 */
/* opener.c - see opener.h. */
#include "run/opener.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/envelope.h"
#include "config/config.h"
#include "devices/handed.h"
#include "ipc/channel.h"
#include "resources/holder.h"
#include "run/backends.h"
#include "run/one_device.h"
#include "run/seal.h"
#include "spawner/note.h"

/* What is made for a device, and what of it is this process's to take away. */
struct opened {
    struct backend backend;
    bool serves; /* at the socket that is kept */
    int link_fd; /* to the broker, of a socket that is kept; -1: none is */
    struct note note;
    uint8_t noted[NOTE_BYTES]; /* which the client is to have written by who may: */
    bool hands_note;
};

/* passt is started by the VM's spawner, which takes its user's word for that and not the broker's. Of a VM of the host's service
 * that has the service write it down, and run_dir is "". */
static int ask_for_passt(struct opened *o, const Bulkhead__NetConfig *net, const char *run_dir,
                         struct fault *f)
{
    struct spawner_slot passt;

    seal_describe_passt(net, &passt);
    o->hands_note = run_dir[0] == '\0';
    return o->hands_note ? note_describe(&passt, o->noted, f)
                         : note_write(&o->note, run_dir, &passt, f);
}

static int open_it(struct opened *o, Bulkhead__VmConfig *c, Bulkhead__Role role,
                   const char *run_dir, int *fds, size_t n_fds, struct fault *f)
{
    const struct plan_device device = { .role = role,
                                        .pci_slot = 1 }; /* any but the serial port's */

    return role == BULKHEAD__ROLE__ROLE_NET && strcmp(c->nets[0]->mode, "user") == 0
               ? ask_for_passt(o, c->nets[0], run_dir, f)
               : backends_open(NULL, c, &device, fds, (unsigned)n_fds, &o->backend, f);
}

/* A socket's file is to be kept, by this process: ret_link is its end then. */
static int link_up(struct backend *b, int *ret_link, struct fault *f)
{
    int pair[2], r;

    if (b->socket.dir_fd < 0)
        return 0;
    r = holder_link(pair);
    if (r < 0)
        return fault_host(f, -r, "a pair of sockets: %s", strerror(-r));
    b->holder = true;
    b->held[0] = pair[0];
    *ret_link = pair[1];
    return 0;
}

static int refuse(struct channel *client, uint32_t id, struct fault *f)
{
    Bulkhead__Reply reply = fault_reply(f);
    CLIENT_ENVELOPE(e, REPLY, reply, &reply);

    e.id = id;
    return channel_send_raw(client, &e.base, NULL, 0, true) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int hand_over(struct channel *client, uint32_t id, struct opened *o)
{
    Bulkhead__AddDevice answer = BULKHEAD__ADD_DEVICE__INIT;
    CLIENT_ENVELOPE(e, ADD_DEVICE, add_device, &answer);
    Bulkhead__Backend backend;
    int fds[HANDED_MAX_FDS];
    size_t n = handed_give(&o->backend, &backend, fds);

    if (o->hands_note)
        answer.note = (ProtobufCBinaryData){ sizeof o->noted, o->noted };
    answer.backend = &backend;
    e.id = id;
    return channel_send_raw(client, &e.base, fds, n, true);
}

static int serve(struct channel *client, struct opened *o)
{
    const Bulkhead__VmConfig empty = BULKHEAD__VM_CONFIG__INIT;
    const Bulkhead__ClientEnvelope *e;
    Bulkhead__Role role = BULKHEAD__ROLE__ROLE_NONE;
    Bulkhead__VmConfig *config;
    ProtobufCMessage *msg = NULL;
    struct fault f = { 0 };
    uint32_t id;
    size_t n_fds = 0;
    int *fds = NULL, r;

    if (channel_receive_raw(client, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds) != 0)
        return EXIT_FAILURE;
    e = (const Bulkhead__ClientEnvelope *)msg;
    id = e->id;
    config = config_copy(&empty);
    if (!config)
        r = fault_host(&f, ENOMEM, "no memory for the configuration");
    else if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE && e->add_device->device)
        r = one_device_take(config, e->add_device->device, &role, &f);
    else
        r = fault_input(&f, "the request must be AddDevice with a device");
    o->serves = role == BULKHEAD__ROLE__ROLE_VSOCK;
    if (r == 0)
        r = open_it(o, config, role, e->add_device->run_dir, fds, n_fds, &f);
    if (r == 0)
        r = link_up(&o->backend, &o->link_fd, &f);
    r = r < 0 ? refuse(client, id, &f) : hand_over(client, id, o);
    config_free(config);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The client hears by then whether the device was added: the note has been used, or never will be. */
static void await_client(const struct channel *client)
{
    struct pollfd gone = { .fd = channel_fd(client) };

    while (poll(&gone, 1, -1) < 0 && errno == EINTR)
        ;
}

int opener_main(int fd, const struct sandbox_filter *holders)
{
    struct opened o = { .link_fd = -1 };
    struct channel *client = NULL;
    int status;

    /* Ctrl-C and a hangup are the client's: a socket that is made is taken away by us, when the client is gone. */
    setsid();
    if (fd_expect(fd, FD_TYPE_SEQPACKET, "the client's socket") < 0 ||
        channel_new(&client, fd, CHANNEL_ARENA_CLIENT) < 0) {
        log_error("bulkhead-broker --open is started by `bulkhead add`");
        return EXIT_FAILURE;
    }
    backend_init(&o.backend);
    note_init(&o.note);
    status = serve(client, &o);
    if (status == EXIT_SUCCESS && o.note.fd >= 0)
        await_client(client);
    note_withdraw(&o.note);
    channel_free(client);
    if (status == EXIT_SUCCESS && o.link_fd >= 0)
        holder_stay(holders, &o.backend.socket, o.link_fd, o.serves);
    o.backend.made_tap[0] = '\0'; /* it stays as long as the VM has it */
    backend_deinit(&o.backend);
    return status;
}
