/* SPDX-License-Identifier: Apache-2.0 */
/* tell.h - what the starter says to hostd. */
#pragma once

#include "base/compiler.h"
#include "hostd/starter/state.h"

/* The end of a request: r 0, or a negative errno, whose text is the err record's. fds are taken over. */
void tell_done(struct starter *s, uint32_t id, int r, int *fds, unsigned n_fds);
/* The same with a text. */
void tell_failed(struct starter *s, uint32_t id, int r, const char *text);
/* STARTER_PIECE, STARTER_VM: before the end. */
void tell_bytes(struct starter *s, const struct starter_report *report, const void *bytes);
/* Unasked: *_ENDED. */
void tell_ended(struct starter *s, uint32_t kind, const struct place *place, const char *fmt, ...)
    printf_like(4, 5);
/* What hostd takes now; the rest when there is room. */
void tell_flush(struct starter *s);
