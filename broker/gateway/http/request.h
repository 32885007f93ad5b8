/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - one HTTP/1.1 request, read as its bytes come. Strict: what two readers could take for two things is an error
 * (a line without its CR, a folded header, a length that is said twice, a length beside chunks). Nothing is allocated
 * before a body begins, and no more than a body may have.
 *
 * It takes no byte of the request behind it, so that whoever feeds it can leave that in the socket: what comes with its
 * first byte (descriptors) is then that request's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

enum {
    HTTP_MAX_HEAD = 8192,  /* bytes of request line and headers */
    HTTP_MAX_TARGET = 256, /* bytes */
    HTTP_MAX_HEADERS = 64,
    HTTP_MAX_BODY = 65536,
    HTTP_MAX_METHOD = 16,
};

enum http_progress {
    HTTP_MORE,     /* bytes are needed */
    HTTP_CONTINUE, /* the same; and the client waits for "100 Continue" before it sends the body */
    HTTP_DONE,
    HTTP_BAD, /* .status says what to answer; where the next request begins is not known */
};

enum http_state {
    HTTP_IN_HEAD,
    HTTP_IN_BODY,
    HTTP_IN_CHUNK_SIZE,
    HTTP_IN_CHUNK,
    HTTP_IN_CHUNK_END,
    HTTP_IN_TRAILER,
    HTTP_AT_END,
};

struct http_request {
    char method[HTTP_MAX_METHOD];
    char target[HTTP_MAX_TARGET]; /* path and query */
    bool keep_alive;
    uint8_t *body; /* NULL: none */
    size_t body_len;
    int status; /* of HTTP_BAD */
    const char *fault;

    enum http_state state;
    char head[HTTP_MAX_HEAD];
    size_t head_len;
    bool chunked, has_length, expects;
    size_t left; /* of the body, or of a chunk */
    char line[64];
    size_t line_len, trailer_len;
};

/* Forgets the last request, and lets go of its body. *r was all zeroes at first. */
void http_request_reset(struct http_request *r);
/* Has its first byte come? */
bool http_request_begun(const struct http_request *r);
/* Takes *ret_used of the n bytes. */
enum http_progress http_request_feed(struct http_request *r, const uint8_t *bytes, size_t n,
                                     size_t *ret_used) must_check;
