/* SPDX-License-Identifier: Apache-2.0 */
/* err.h - errors as values, with the place they came from.
 *
 * Convention of the whole tree: 0 is success; a negative errno is a failure of the host or of
 * ours and is forwarded unchanged; a positive FOO_E_* is a documented condition that the caller
 * must handle. A guest's misbehaviour is never an errno.
 *
 * err_origin() records what failed and where, once; err_trace() adds a frame on the way up.
 * Neither logs. err_text() is read by whoever handles the error. One record per thread, no heap.
 */
#pragma once

#include "base/compiler.h"

/* Records `what` (printf style) and the place; returns r, which is a negative errno. */
#define err_origin(r, ...) err_origin_at((r), __FILE_NAME__, __LINE__, __VA_ARGS__)
#define err_trace(r) err_trace_at((r), __FILE_NAME__, __LINE__)

int err_origin_at(int r, const char *file, int line, const char *fmt, ...) printf_like(4, 5);
int err_trace_at(int r, const char *file, int line);

/* "what: No such file or directory"; valid until the next err_origin() of this thread. */
const char *err_text(void);
/* "blk_io.c:52 < worker.c:101": the frames, innermost first. */
const char *err_frames(void);
void err_clear(void);
