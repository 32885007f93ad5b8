/* SPDX-License-Identifier: Apache-2.0 */
/* exit_status.h - the exit statuses of `bulkhead run`, which the other verbs share as far as they apply. */
#pragma once

enum exit_status {
    EXIT_OK = 0,   /* the guest shut down; the verb did what it was asked */
    EXIT_HOST = 1, /* the host failed; for audit and doctor: something is not as it should be */
    EXIT_BAD_INPUT = 2,    /* arguments, files or the environment are at fault */
    EXIT_GUEST_CRASH = 3,  /* triple fault, internal error */
    EXIT_GUEST_REBOOT = 4, /* the guest rebooted under --no-reboot */
    EXIT_BY_USER = 5,      /* ended from the host's side */
};
