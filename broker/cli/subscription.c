// SPDX-License-Identifier: Apache-2.0
// subscription.c - see subscription.h.
#include "subscription.h"
#include <errno.h>
#include <time.h>
#include "base/err.h"

enum { AGAIN_MS = 20 };

int subscription_open(struct client *ret_client, const char *vm)
{
    Bulkhead__Subscribe msg = BULKHEAD__SUBSCRIBE__INIT;
    int r = client_connect(ret_client, vm);

    CLIENT_ENVELOPE(request, SUBSCRIBE, subscribe, &msg);
    if (r == 0)
        r = client_send(ret_client, &request, NULL, 0);
    return r;
}

int subscription_receive(struct client *client, const char *vm, struct client_answer *ret_answer)
{
    const struct timespec pause = { .tv_nsec = AGAIN_MS * 1000000 };
    int r;

    while ((r = client_receive(client, -1, ret_answer)) == -EPIPE) {
        /* Its broker has closed the connection, at the VM's end or by its own death. Then another takes over, at
         * the same socket. */
        client_close(client);
        nanosleep(&pause, NULL);
        if (subscription_open(client, vm) < 0)
            return err_origin(-EPIPE, "'%s' has ended", vm);
    }
    return r;
}
