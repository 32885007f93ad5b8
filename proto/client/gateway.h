/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.h - what a gateway is born with, beside /dev/null twice and its log. Its starter's first message is ServeVm. */
#pragma once

#include "base/fd.h"

enum {
    GATEWAY_STARTER = FD_CONTROL, /* SOCK_SEQPACKET, to who started it */
    GATEWAY_LISTEN,               /* the API's socket */
    GATEWAY_FDS,
};
