/* SPDX-License-Identifier: Apache-2.0 */
/* vm_signals.c - SIGTERM, SIGINT and SIGHUP end the VM. */
#include "base/err.h"
#include "base/loop.h"
#include "resources/signals.h"
#include "vm.h"

static void on_signal(int fd, unsigned what, void *arg)
{
    const char *name = signals_take(fd);

    (void)what;
    if (name)
        vm_end(arg, BULKHEAD__GUEST_STATE_KIND__GUEST_NONE, true, false, "ended by %s", name);
}

int signals_watch(struct vm *vm)
{
    int r = signals_open(&vm->signal_fd);

    if (r == 0)
        r = loop_add_fd(vm->loop, vm->signal_fd, LOOP_READ, on_signal, vm, &vm->signal_event);
    return r < 0 ? err_trace(r) : 0;
}
