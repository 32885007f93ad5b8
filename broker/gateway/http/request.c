/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - see request.h. RFC 9112. */
#include "http/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_TRAILER = 4096, MAX_SIZE_DIGITS = 8 };

static enum http_progress bad(struct http_request *r, int status, const char *fault)
{
    r->status = status;
    r->fault = fault;
    return HTTP_BAD;
}

void http_request_reset(struct http_request *r)
{
    free(r->body);
    *r = (struct http_request){ 0 };
}

bool http_request_begun(const struct http_request *r)
{
    return r->head_len > 0;
}

/* ---- the head, when all of it is there ---- */

/* RFC 9110, 5.6.2 */
static bool is_token(const char *text, size_t len)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(others, c))))
            return false;
    }
    return len > 0;
}

static enum http_progress take_first_line(struct http_request *r, char *line)
{
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
    size_t method_len, target_len;

    if (!version)
        return bad(r, 400, "the request line is not METHOD PATH HTTP/1.1");
    method_len = (size_t)(target - line);
    target++;
    target_len = (size_t)(version - target);
    version++;
    if (!is_token(line, method_len) || method_len >= sizeof r->method)
        return bad(r, 400, "the method is not a word of at most 15 characters");
    if (target_len >= sizeof r->target)
        return bad(r, 414, "the path is too long");
    if (target_len == 0 || target[0] != '/')
        return bad(r, 400, "the path does not begin with /");
    for (size_t i = 0; i < target_len; i++)
        if (target[i] < 0x21 || target[i] > 0x7e)
            return bad(r, 400, "the path has a character that must be encoded");
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return strncmp(version, "HTTP/", 5) == 0
                   ? bad(r, 505, "only HTTP/1.1 and 1.0 are spoken here")
                   : bad(r, 400, "the request line does not end with HTTP/1.1");
    memcpy(r->method, line, method_len);
    memcpy(r->target, target, target_len);
    r->keep_alive = version[7] == '1';
    return HTTP_MORE;
}

static enum http_progress take_length(struct http_request *r, const char *value)
{
    size_t length = 0;

    if (*value == '\0')
        return bad(r, 400, "Content-Length is not a number");
    for (const char *p = value; *p; p++) {
        if (*p < '0' || *p > '9')
            return bad(r, 400, "Content-Length is not a number");
        length = length * 10 + (size_t)(*p - '0');
        if (length > HTTP_MAX_BODY)
            return bad(r, 413, "the body is longer than 65536 bytes");
    }
    if (r->has_length)
        return bad(r, 400, "Content-Length is given twice");
    r->has_length = true;
    r->left = length;
    return HTTP_MORE;
}

/* Of a list of words. */
static bool names(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list) {
        size_t n = strcspn(list, ", \t");

        if (n == len && strncasecmp(list, word, n) == 0)
            return true;
        list += n;
        list += strspn(list, ", \t");
    }
    return false;
}

static enum http_progress take_header(struct http_request *r, const char *name, const char *value)
{
    if (strcasecmp(name, "content-length") == 0)
        return take_length(r, value);
    if (strcasecmp(name, "transfer-encoding") == 0) {
        if (r->chunked)
            return bad(r, 400, "Transfer-Encoding is given twice");
        if (strcasecmp(value, "chunked") != 0)
            return bad(r, 501, "of Transfer-Encoding only chunked is known here");
        r->chunked = true;
    } else if (strcasecmp(name, "expect") == 0) {
        if (strcasecmp(value, "100-continue") != 0)
            return bad(r, 417, "of Expect only 100-continue is known here");
        r->expects = true;
    } else if (strcasecmp(name, "connection") == 0) {
        if (names(value, "close"))
            r->keep_alive = false;
        else if (names(value, "keep-alive"))
            r->keep_alive = true;
    }
    return HTTP_MORE;
}

static enum http_progress take_line(struct http_request *r, char *line)
{
    char *colon = strchr(line, ':'), *value, *end;

    if (*line == ' ' || *line == '\t')
        return bad(r, 400, "a header is folded over two lines");
    if (!colon || !is_token(line, (size_t)(colon - line)))
        return bad(r, 400, "a header is not NAME: VALUE");
    *colon = '\0';
    value = colon + 1 + strspn(colon + 1, " \t");
    for (end = value; *end; end++)
        if ((unsigned char)*end < 0x20 && *end != '\t')
            return bad(r, 400, "a header has a control character");
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    return take_header(r, line, value);
}

static enum http_progress begin_body(struct http_request *r)
{
    if (r->chunked && r->has_length)
        return bad(r, 400, "Content-Length and Transfer-Encoding exclude each other");
    if (r->chunked) {
        r->state = HTTP_IN_CHUNK_SIZE;
        r->left = 0;
    } else {
        r->state = r->left > 0 ? HTTP_IN_BODY : HTTP_AT_END;
    }
    if (r->state == HTTP_IN_BODY) {
        r->body = malloc(r->left);
        if (!r->body)
            return bad(r, 503, "no memory for the body");
    }
    if (r->state == HTTP_AT_END)
        return HTTP_DONE;
    return r->expects ? HTTP_CONTINUE : HTTP_MORE;
}

/* It ends with an empty line, and has no byte that is none of a text's. */
static enum http_progress take_head(struct http_request *r)
{
    char *line = r->head, *end;
    unsigned n = 0;

    if (memchr(r->head, '\0', r->head_len))
        return bad(r, 400, "the head has a NUL");
    r->head[r->head_len - 2] = '\0'; /* of the empty line */
    for (; *line; line = end + 2) {
        enum http_progress progress;

        end = strstr(line, "\r\n");
        if (!end)
            return bad(r, 400, "a line of the head does not end with CR LF");
        *end = '\0';
        if (strpbrk(line, "\r\n"))
            return bad(r, 400, "a line of the head does not end with CR LF");
        if (n > HTTP_MAX_HEADERS)
            return bad(r, 431, "more than 64 headers");
        progress = n++ == 0 ? take_first_line(r, line) : take_line(r, line);
        if (progress != HTTP_MORE)
            return progress;
    }
    return begin_body(r);
}

/* ---- byte by byte ---- */

static bool is_head_complete(const struct http_request *r)
{
    return r->head_len >= 4 && memcmp(r->head + r->head_len - 4, "\r\n\r\n", 4) == 0;
}

static enum http_progress feed_head(struct http_request *r, uint8_t byte)
{
    /* An empty line may come before a request: RFC 9112, 2.2. */
    if (r->head_len == 0 && (byte == '\r' || byte == '\n'))
        return ++r->line_len > 4 ? bad(r, 400, "empty lines where a request is to be") : HTTP_MORE;
    if (r->head_len == sizeof r->head)
        return bad(r, 431, "the head is longer than 8192 bytes");
    r->head[r->head_len++] = (char)byte;
    if (byte == '\n' && (r->head_len < 2 || r->head[r->head_len - 2] != '\r'))
        return bad(r, 400, "a line of the head does not end with CR LF");
    r->line_len = 0;
    return is_head_complete(r) ? take_head(r) : HTTP_MORE;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind the number may be extensions, which say nothing here. */
static enum http_progress take_chunk_size(struct http_request *r)
{
    size_t size = 0, n = 0;
    uint8_t *grown;

    for (; n < r->line_len && hex_digit(r->line[n]) >= 0; n++)
        size = size * 16 + (size_t)hex_digit(r->line[n]);
    if (n == 0 || n > MAX_SIZE_DIGITS || (n < r->line_len && !strchr("; \t", r->line[n])))
        return bad(r, 400, "the size of a chunk is not a number");
    if (size > HTTP_MAX_BODY - r->body_len)
        return bad(r, 413, "the body is longer than 65536 bytes");
    r->line_len = 0;
    r->left = size;
    r->state = size > 0 ? HTTP_IN_CHUNK : HTTP_IN_TRAILER;
    if (size == 0)
        return HTTP_MORE;
    grown = realloc(r->body, r->body_len + size);
    if (!grown)
        return bad(r, 503, "no memory for the body");
    r->body = grown;
    return HTTP_MORE;
}

/* A line that is kept only as far as its number can go. */
static enum http_progress feed_chunk_size(struct http_request *r, uint8_t byte)
{
    if (byte == '\n') {
        if (r->line_len == 0 || r->line[r->line_len - 1] != '\r')
            return bad(r, 400, "the size of a chunk does not end with CR LF");
        r->line_len--;
        return take_chunk_size(r);
    }
    if (r->line_len == sizeof r->line || (r->line_len > 0 && r->line[r->line_len - 1] == '\r'))
        return bad(r, 400, "the size of a chunk is not a number");
    r->line[r->line_len++] = (char)byte;
    return HTTP_MORE;
}

static enum http_progress feed_chunk_end(struct http_request *r, uint8_t byte)
{
    if (byte != (r->line_len == 0 ? '\r' : '\n'))
        return bad(r, 400, "a chunk is longer than its size says");
    r->line_len++;
    if (r->line_len == 2) {
        r->line_len = 0;
        r->state = HTTP_IN_CHUNK_SIZE;
    }
    return HTTP_MORE;
}

/* Headers behind the body, of which none is known here. line_len: of this line. */
static enum http_progress feed_trailer(struct http_request *r, uint8_t byte)
{
    if (++r->trailer_len > MAX_TRAILER)
        return bad(r, 431, "what is behind the last chunk is longer than 4096 bytes");
    if (byte != '\n') {
        if (r->line_len > 0 && r->line[0] == '\r')
            return bad(r, 400, "a line behind the last chunk does not end with CR LF");
        r->line[0] = (char)byte;
        r->line_len++;
        return HTTP_MORE;
    }
    if (r->line_len == 0 || r->line[0] != '\r')
        return bad(r, 400, "a line behind the last chunk does not end with CR LF");
    if (r->line_len > 1) {
        r->line_len = 0;
        return HTTP_MORE;
    }
    r->state = HTTP_AT_END;
    return HTTP_DONE;
}

/* Of the body as many bytes as there are. */
static size_t feed_body(struct http_request *r, const uint8_t *bytes, size_t n)
{
    n = MIN(n, r->left);
    memcpy(r->body + r->body_len, bytes, n);
    r->body_len += n;
    r->left -= n;
    if (r->left == 0)
        r->state = r->state == HTTP_IN_BODY ? HTTP_AT_END : HTTP_IN_CHUNK_END;
    return n;
}

static enum http_progress feed_byte(struct http_request *r, uint8_t byte)
{
    switch (r->state) {
    case HTTP_IN_HEAD:
        return feed_head(r, byte);
    case HTTP_IN_CHUNK_SIZE:
        return feed_chunk_size(r, byte);
    case HTTP_IN_CHUNK_END:
        return feed_chunk_end(r, byte);
    case HTTP_IN_TRAILER:
        return feed_trailer(r, byte);
    case HTTP_IN_BODY:
    case HTTP_IN_CHUNK:
    case HTTP_AT_END:
    default:
        return HTTP_DONE;
    }
}

enum http_progress http_request_feed(struct http_request *r, const uint8_t *bytes, size_t n,
                                     size_t *ret_used)
{
    enum http_progress progress = HTTP_MORE;
    size_t used = 0;

    while (used < n && progress == HTTP_MORE) {
        if (r->state == HTTP_IN_BODY || r->state == HTTP_IN_CHUNK)
            used += feed_body(r, bytes + used, n - used);
        else
            progress = feed_byte(r, bytes[used++]);
        if (r->state == HTTP_AT_END && progress == HTTP_MORE)
            progress = HTTP_DONE;
    }
    *ret_used = used;
    return progress;
}
