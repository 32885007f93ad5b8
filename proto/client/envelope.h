/* SPDX-License-Identifier: Apache-2.0 */
/* envelope.h - messages between a client and a broker. */
#pragma once

#include "client.pb-c.h"

/* Statement form of a ClientEnvelope with one body: CLIENT_ENVELOPE(e, GET_PLAN, get_plan, &msg). */
#define CLIENT_ENVELOPE(name, CASE, field, ptr)                                                    \
    Bulkhead__ClientEnvelope name = BULKHEAD__CLIENT_ENVELOPE__INIT;                               \
    (name).body_case = BULKHEAD__CLIENT_ENVELOPE__BODY_##CASE;                                     \
    (name).field = (ptr)
