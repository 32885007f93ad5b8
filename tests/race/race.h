/* SPDX-License-Identifier: Apache-2.0 */
/* race.h - what the racing thread in the worker and the test outside of it agree on. */
#pragma once

enum {
    RACE_QUEUES = 3, /* rewritten, whether the device has them or not */
    RACE_QUEUE_SIZE = 64,
    RACE_CID = 42,
    RACE_REPORTED = 66,      /* exit status after a report */
    RACE_HEADERS = 16 << 20, /* guest-physical, as all of these */
    RACE_BODIES = 20 << 20,
    RACE_BALLOON = 40 << 20,
};
