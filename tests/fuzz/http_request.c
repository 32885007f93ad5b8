/* SPDX-License-Identifier: Apache-2.0 */
/* http_request.c - bytes of a client: the same request, or the same refusal, in whatever pieces they come, and no byte of the next
 * one is taken. The first byte says how long a piece is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_progress feed(struct http_request *r, const uint8_t *data, size_t size,
                               size_t step, size_t *ret_used)
{
    enum http_progress progress = HTTP_MORE;

    *ret_used = 0;
    while (*ret_used < size && (progress == HTTP_MORE || progress == HTTP_CONTINUE)) {
        size_t used = 0;

        progress = http_request_feed(r, data + *ret_used, MIN(step, size - *ret_used), &used);
        if (used == 0 || used > size - *ret_used)
            abort();
        *ret_used += used;
    }
    return progress;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    size_t step = size > 0 ? (size_t)data[0] + 1 : 1, at = size > 0 ? 1 : 0;
    enum http_progress progress = HTTP_DONE;

    while (at < size && progress == HTTP_DONE) {
        size_t used = 0, used_again = 0;

        progress = feed(a, data + at, size - at, size, &used);
        if (feed(b, data + at, size - at, step, &used_again) != progress || used != used_again ||
            a->status != b->status || a->body_len != b->body_len ||
            a->keep_alive != b->keep_alive || strcmp(a->target, b->target) != 0 ||
            (a->body_len > 0 && memcmp(a->body, b->body, a->body_len) != 0))
            abort();
        if (a->body_len > HTTP_MAX_BODY || (progress == HTTP_BAD) != (a->status != 0))
            abort();
        at += used;
        http_request_reset(a);
        http_request_reset(b);
    }
    free(a);
    free(b);
    return 0;
}
