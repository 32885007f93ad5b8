/* SPDX-License-Identifier: Apache-2.0 */
/* end.h - the end of the VM, or of one boot of it. Workers leave first, so that a console's last bytes get
 * out; then the core. */
#pragma once

#include "vm/vm.h"

/* Before the guest ran: the start failed, with the reason for the user. */
void end_fail(struct vm *vm, const struct fault *fault);
/* The guest's own end, or the end that somebody asked for. The first one counts. */
void end_vm(struct vm *vm, enum end_by by, Bulkhead__GuestStateKind state, const char *detail_fmt,
            ...) printf_like(4, 5);
void end_reboot(struct vm *vm);
bool end_settle(struct vm *vm);
