/* SPDX-License-Identifier: Apache-2.0 */
/* lingering.h - a descriptor whose last close waits. */
#pragma once

/* A TCP socket whose peer has no room for what was written, for an hour or until that is closed. Both -1: it
 * can't be had. */
int lingering_socket(int *ret_peer);
