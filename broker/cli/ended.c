// SPDX-License-Identifier: Apache-2.0
// ended.c - see ended.h.
#include "ended.h"
#include <stdbool.h>
#include <stdio.h>
#include "output.h"

enum end { FAILED, BY_USER, SHUT_DOWN, REBOOTED, CRASHED, REFUSED, UNKNOWN };

static enum end kind_of(const Bulkhead__VmEnded *ended)
{
    if (ended->host_failure)
        return FAILED;
    if (ended->by_user)
        return BY_USER;
    switch (ended->state) {
    case BULKHEAD__GUEST_STATE_KIND__GUEST_SHUTDOWN:
        return SHUT_DOWN;
    case BULKHEAD__GUEST_STATE_KIND__GUEST_REBOOT:
        return REBOOTED;
    case BULKHEAD__GUEST_STATE_KIND__GUEST_TRIPLE_FAULT:
    case BULKHEAD__GUEST_STATE_KIND__GUEST_ERROR:
        return CRASHED;
    case BULKHEAD__GUEST_STATE_KIND__GUEST_NONE: /* its guest never ran: what it asks for can't be had */
        return ended->detail[0] ? REFUSED : UNKNOWN;
    case BULKHEAD__GUEST_STATE_KIND__GUEST_RUNNING:
    case BULKHEAD__GUEST_STATE_KIND__GUEST_PAUSED:
    case _BULKHEAD__GUEST_STATE_KIND_IS_INT_SIZE:
    default:
        return UNKNOWN;
    }
}

int ended_status(const Bulkhead__VmEnded *ended)
{
    const char *detail = ended->detail;

    switch (kind_of(ended)) {
    case FAILED:
        return say_error(EXIT_HOST, "%s", detail[0] ? detail : "the VM failed");
    case BY_USER:
        return EXIT_BY_USER;
    case SHUT_DOWN:
        return EXIT_OK;
    case REBOOTED:
        return EXIT_GUEST_REBOOT;
    case CRASHED:
        return say_error(EXIT_GUEST_CRASH, "the guest crashed: %s",
                         detail[0] ? detail : "triple fault");
    case REFUSED:
        return say_error(EXIT_BAD_INPUT, "%s", detail);
    case UNKNOWN:
    default:
        return say_error(EXIT_HOST, "the VM ended without saying why%s%s", detail[0] ? ": " : "",
                         detail);
    }
}

const char *ended_word(const Bulkhead__VmEnded *ended)
{
    static const char *const words[] = {
        [FAILED] = "failed",     [BY_USER] = "stopped", [SHUT_DOWN] = "shutdown",
        [REBOOTED] = "rebooted", [CRASHED] = "crashed", [REFUSED] = "refused",
        [UNKNOWN] = "unknown",
    };

    return words[kind_of(ended)];
}

const char *ended_text(char *dst, size_t size, const Bulkhead__VmEnded *ended)
{
    static const char *const texts[] = {
        [FAILED] = "the host failed",
        [BY_USER] = "stopped",
        [SHUT_DOWN] = "shut down",
        [REBOOTED] = "rebooted",
        [CRASHED] = "crashed",
        [REFUSED] = "not started",
        [UNKNOWN] = "for an unknown reason",
    };
    enum end kind = kind_of(ended);
    bool detail = ended->detail[0] && kind != BY_USER && kind != SHUT_DOWN && kind != REBOOTED;

    snprintf(dst, size, "%s%s%s", texts[kind], detail ? ": " : "", detail ? ended->detail : "");
    return dst;
}
