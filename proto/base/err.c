/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - one error record per thread; see err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TEXT = 256, MAX_FRAMES = 256 };

struct record {
    char text[MAX_TEXT];
    char frames[MAX_FRAMES];
    size_t frames_len;
};

static _Thread_local struct record record;

static void add_frame(const char *file, int line)
{
    size_t room = MAX_FRAMES - record.frames_len;
    int n = snprintf(record.frames + record.frames_len, room, "%s%s:%d",
                     record.frames_len ? " < " : "", file, line);

    if (n > 0 && (size_t)n < room)
        record.frames_len += (size_t)n;
    else
        record.frames[record.frames_len] = '\0';
}

int err_origin_at(int r, const char *file, int line, const char *fmt, ...)
{
    const char *reason = strerrordesc_np(-r);
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(record.text, sizeof record.text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof record.text)
        snprintf(record.text + n, sizeof record.text - (size_t)n, ": %s",
                 reason ? reason : "unknown error");
    record.frames_len = 0;
    record.frames[0] = '\0';
    add_frame(file, line);
    return r;
}

int err_trace_at(int r, const char *file, int line)
{
    add_frame(file, line);
    return r;
}

const char *err_text(void)
{
    return record.text[0] ? record.text : "no error recorded";
}

const char *err_frames(void)
{
    return record.frames;
}

void err_clear(void)
{
    memset(&record, 0, sizeof record);
}
