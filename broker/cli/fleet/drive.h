/* SPDX-License-Identifier: Apache-2.0 */
/* drive.h - has the host's service bring a fleet up, or down, and says on stdout what happens: as lines for people, or of
 * JSON. */
#pragma once

#include "fleet/fleet.h"

struct drive_wish {
    bool down, json;
    bool recreate;    /* up */
    bool remove;      /* down */
    uint32_t grace_s; /* down */
    unsigned at_once;
};

/* EXIT_OK, EXIT_HOST: not all of them are; EXIT_BY_USER: interrupted. */
int drive(struct fleet *fleet, const struct drive_wish *wish);
