/* SPDX-License-Identifier: Apache-2.0 */
/* launcher.h - bulkhead-broker --launch ALLOWED... TREE...: opens what a VM of the host's service starts with, with the rights of its
 * tenant, and hands it to the VM's broker (service.h), which opens nothing by name.
 *
 * Or, of a VM that runs, one device that its guest has asked for: then AddDevice comes in place of RunVm, the broker is the other end of
 * a session as of `bulkhead add`, and this process leaves with the answer.
 *
 * Started by the service for one start of one VM, as the tenant: nothing here is privileged, and the broker believes
 * nothing of it that it can check. When the guest runs, or doesn't, the service is told with Reply. What the broker says is
 * passed on, until the service closes its end, which ends this process. The files of sockets that it made are kept by processes of their own, as of `bulkhead add` (resources/holder.h). */
#pragma once

struct sandbox_filter;

enum launcher_fd {
    LAUNCHER_FD_SERVICE =
        3, /* SOCK_SEQPACKET: one RunVm or AddDevice comes, one Reply and Events go */
    LAUNCHER_FD_BROKER = 4, /* SOCK_SEQPACKET: the VM's broker */
    LAUNCHER_FD_CONSOLE =
        5, /* of RunVm: a listening SOCK_STREAM socket: the serial port's, unless the configuration has one */
    LAUNCHER_FD_TREES =
        6, /* and on: O_PATH, of the trees in their order. Behind them, if it must be
                            * vouched for (run/vouched.h), the folder of what is kept of the VM */
};

enum { LAUNCHER_MAX_TREES = 64 };

/* args: what the tenant may have (config/allowed.h), as who knows it says, since the request's sender may have been taken over;
 * then trees' paths, absolute. holders: the filter of those that stay. An exit status. */
int launcher_main(char **args, unsigned n_args, const struct sandbox_filter *holders);
