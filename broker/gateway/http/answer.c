/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - see answer.h. */
#include "http/answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"

enum { MAX_HEAD = 2048, MAX_IGNORED = 1024 };

const char *answer_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 200, "OK" },
        { 204, "No Content" },
        { 400, "Bad Request" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 413, "Payload Too Large" },
        { 414, "URI Too Long" },
        { 417, "Expectation Failed" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 501, "Not Implemented" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Internal Server Error";
}

/* What came from a client is in it: a byte that is none of a header's would end it. */
static void put_ignored(char *dst, size_t size, const char *ignored)
{
    size_t n = (size_t)snprintf(dst, size, "X-Bulkhead-Ignored: ");

    for (; *ignored && n < size - 3; ignored++)
        dst[n++] =
            (unsigned char)*ignored < 0x20 || (unsigned char)*ignored > 0x7e ? '?' : *ignored;
    memcpy(dst + n, "\r\n", 3);
}

char *answer_text(int status, const char *body, size_t body_len, const char *ignored,
                  bool keep_alive, size_t *ret_len)
{
    char length[96] = "", named[MAX_IGNORED] = "";
    char *text = malloc(MAX_HEAD + body_len);
    int n;

    if (!text)
        return NULL;
    if (status != 204)
        snprintf(length, sizeof length, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                 body_len);
    if (ignored && *ignored)
        put_ignored(named, sizeof named, ignored);
    n = snprintf(text, MAX_HEAD,
                 "HTTP/1.1 %d %s\r\nServer: Bulkhead API\r\nConnection: %s\r\n%s%s\r\n", status,
                 answer_reason(status), keep_alive ? "keep-alive" : "close", length, named);
    if (body_len > 0 && status != 204) {
        memcpy(text + n, body, body_len);
        n += (int)body_len;
    }
    *ret_len = (size_t)n;
    return text;
}

char *answer_fault(int status, const char *text)
{
    json_t *list = json_pack("[s]", answer_reason(status));
    json_t *reason = json_string(text);
    char *dumped;

    if (!reason) /* it is not UTF-8, as a path in it may be */
        reason = json_string("the reason has bytes that are not UTF-8");
    json_array_append_new(list, reason);
    dumped = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return dumped;
}
