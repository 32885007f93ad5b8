/* SPDX-License-Identifier: Apache-2.0 */
/* request_test.c - HTTP requests as their bytes come: whole, byte by byte, several behind one another; and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"
#include "http/request.h"
#include <cmocka.h>

#define LINE(text) text "\r\n"
#define PUT LINE("PUT /a HTTP/1.1")
#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Fed in pieces of `step` bytes. */
static enum http_progress feed(struct http_request *r, const char *text, size_t len, size_t step,
                               size_t *ret_used)
{
    enum http_progress progress = HTTP_MORE;

    *ret_used = 0;
    while (*ret_used < len && (progress == HTTP_MORE || progress == HTTP_CONTINUE)) {
        size_t used = 0;

        progress = http_request_feed(r, (const uint8_t *)text + *ret_used,
                                     MIN(step, len - *ret_used), &used);
        *ret_used += used;
    }
    return progress;
}

static const struct {
    const char *text;
    const char *target, *body;
    bool keep_alive;
} good[] = {
    { LINE("GET /api/v1/vmm.ping HTTP/1.1") LINE("Host: localhost") LINE(""), "/api/v1/vmm.ping",
      NULL, true },
    { LINE("GET /a?b=c HTTP/1.1") LINE(""), "/a?b=c", NULL, true },
    { LINE("GET /a HTTP/1.0") LINE(""), "/a", NULL, false },
    { LINE("GET /a HTTP/1.0") LINE("Connection: keep-alive") LINE(""), "/a", NULL, true },
    { LINE("GET /a HTTP/1.1") LINE("Connection: foo, Close") LINE(""), "/a", NULL, false },
    { LINE("") PUT LINE("Content-Length: 0") LINE(""), "/a", NULL, true },
    { PUT LINE("content-LENGTH:3") LINE("") "abc", "/a", "abc", true },
    { PUT LINE("Content-Length: \t 3 \t") LINE("") "abc", "/a", "abc", true },
    { PUT LINE("Transfer-Encoding: chunked") LINE("") LINE("3") LINE("abc") LINE("0") LINE(""),
      "/a", "abc", true },
    { PUT LINE("Transfer-Encoding: Chunked") LINE("") LINE("1;x=\"y\"") LINE("a") LINE("02")
          LINE("bc") LINE("000") LINE("X: y") LINE(""),
      "/a", "abc", true },
    { PUT LINE("Transfer-Encoding: chunked") LINE("Expect: 100-continue") LINE("") LINE("0")
          LINE(""),
      "/a", NULL, true },
    { PUT LINE("X: \x80\xff") LINE("Empty:") LINE(""), "/a", NULL, true },
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        for (size_t step = 1; step < 70; step++) {
            struct http_request r = { 0 };
            char twice[1024];
            size_t len = strlen(good[i].text), used;
            int n = snprintf(twice, sizeof twice, "%s%s", good[i].text, good[i].text);

            /* What comes behind it isn't touched. */
            if (feed(&r, twice, (size_t)n, step, &used) != HTTP_DONE)
                fail_msg("request %zu: %s", i, r.fault ? r.fault : "more is waited for");
            assert_int_equal(used, len);
            assert_string_equal(r.target, good[i].target);
            assert_int_equal(r.keep_alive, good[i].keep_alive);
            assert_int_equal(r.body_len, good[i].body ? strlen(good[i].body) : 0);
            if (good[i].body)
                assert_memory_equal(r.body, good[i].body, r.body_len);
            http_request_reset(&r);
            assert_false(http_request_begun(&r));
        }
}

static const struct {
    int status;
    const char *text;
} wrong[] = {
    { 400, LINE("GET") LINE("") },
    { 400, LINE("GET /a") LINE("") },
    { 400, LINE("GET  /a HTTP/1.1") LINE("") },
    { 400, LINE("GET a HTTP/1.1") LINE("") },
    { 400, LINE("GET http://localhost/a HTTP/1.1") LINE("") },
    { 400, LINE("GET /a b HTTP/1.1") LINE("") },
    { 400, LINE("GET /\x01 HTTP/1.1") LINE("") },
    { 400, LINE("GET /\x80 HTTP/1.1") LINE("") },
    { 400, LINE("G\"T /a HTTP/1.1") LINE("") },
    { 400, LINE("ABCDEFGHIJKLMNOP /a HTTP/1.1") LINE("") },
    { 400, LINE("GET /a XTTP/1.1") LINE("") },
    { 505, LINE("GET /a HTTP/2.0") LINE("") },
    { 505, LINE("GET /a HTTP/1.1 ") LINE("") },
    { 400, "GET /a HTTP/1.1\n\n" },
    { 400, "GET /a HTTP/1.1\r\nX: y\n\r\n" },
    { 400, "GET /a HTTP/1.1\r\nX: y\rZ: z\r\n\r\n" },
    { 400, "\r\n\r\n\r\nGET /a HTTP/1.1\r\n\r\n" },
    { 414, LINE("GET /" A64 A64 A64 A64 " HTTP/1.1") LINE("") },
    { 400, PUT LINE("X : y") LINE("") },
    { 400, PUT LINE("X: y") LINE(" z") LINE("") },
    { 400, PUT LINE("X") LINE("") },
    { 400, PUT LINE(": y") LINE("") },
    { 400, PUT LINE("X: a\x02") LINE("") },
    { 400, PUT LINE("Content-Length: -1") LINE("") },
    { 400, PUT LINE("Content-Length: +1") LINE("") },
    { 400, PUT LINE("Content-Length: 0x1") LINE("") },
    { 400, PUT LINE("Content-Length:") LINE("") },
    { 400, PUT LINE("Content-Length: 1, 1") LINE("") },
    { 400, PUT LINE("Content-Length: 1") LINE("Content-Length: 1") LINE("") },
    { 400, PUT LINE("Content-Length: 1") LINE("Transfer-Encoding: chunked") LINE("") },
    { 413, PUT LINE("Content-Length: 65537") LINE("") },
    { 413, PUT LINE("Content-Length: 18446744073709551617") LINE("") },
    { 501, PUT LINE("Transfer-Encoding: gzip, chunked") LINE("") },
    { 400, PUT LINE("Transfer-Encoding: chunked") LINE("Transfer-Encoding: chunked") LINE("") },
    { 417, PUT LINE("Expect: 200-ok") LINE("") },
#define CHUNKED PUT LINE("Transfer-Encoding: chunked") LINE("")
    { 400, CHUNKED LINE("") },
    { 400, CHUNKED LINE("-1") },
    { 400, CHUNKED LINE("1 1x") "ab" },
    { 400, CHUNKED LINE("000000001") },
    { 400, CHUNKED "1\na\r\n" },
    { 400, CHUNKED LINE("1") "ab" },
    { 400, CHUNKED LINE("1") "a\n" },
    { 400, CHUNKED LINE("0") "X: y\n\r\n" },
    { 400, CHUNKED LINE("1;" A64) },
    { 413, CHUNKED LINE("10001") },
    { 413, CHUNKED LINE("1") LINE("a") LINE("10000") },
    { 413, CHUNKED LINE("ffffffff") },
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        for (size_t step = 1; step < 100; step += 33) {
            struct http_request r = { 0 };
            size_t used;

            if (feed(&r, wrong[i].text, strlen(wrong[i].text), step, &used) != HTTP_BAD)
                fail_msg("request %zu is taken", i);
            if (r.status != wrong[i].status || !r.fault)
                fail_msg("request %zu: %d %s", i, r.status, r.fault);
            http_request_reset(&r);
        }
}

/* A NUL hides nothing. */
static void test_nul(void **state)
{
    static const char text[] = "GET /a HTTP/1.1\r\nX: \0\r\nContent-Length: 5\r\n\r\n";
    struct http_request r = { 0 };
    size_t used;

    (void)state;
    assert_int_equal(feed(&r, text, sizeof text - 1, 7, &used), HTTP_BAD);
    assert_int_equal(r.status, 400);
    http_request_reset(&r);
}

static void expect_at(const char *start, const char *again, size_t n, int status)
{
    struct http_request r = { 0 };
    enum http_progress progress;
    size_t used;

    progress = feed(&r, start, strlen(start), 1000, &used);
    for (size_t i = 0; i < n && progress == HTTP_MORE; i++)
        progress = feed(&r, again, strlen(again), 1000, &used);
    assert_int_equal(progress, HTTP_BAD);
    assert_int_equal(r.status, status);
    http_request_reset(&r);
}

/* Who never comes to an end is stopped. */
static void test_endless(void **state)
{
    (void)state;
    expect_at("GET /a HTTP/1.1\r\nX: ", A64, 1000, 431);
    expect_at("GET /", A64, 1000, 431);
    expect_at(CHUNKED "0\r\nX: ", A64, 1000, 431);
    expect_at(CHUNKED,
              "400\r\n" A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 "\r\n", 100,
              413);
}

static void test_too_many_headers(void **state)
{
    char text[2048] = "GET /a HTTP/1.1\r\n";
    struct http_request r = { 0 };
    size_t used;

    (void)state;
    for (int i = 0; i < HTTP_MAX_HEADERS; i++)
        strcat(text, "X: y\r\n");
    strcat(text, "\r\n");
    assert_int_equal(feed(&r, text, strlen(text), 100, &used), HTTP_DONE);
    http_request_reset(&r);
    strcpy(text + strlen(text) - 2, "X: y\r\n\r\n");
    assert_int_equal(feed(&r, text, strlen(text), 100, &used), HTTP_BAD);
    assert_int_equal(r.status, 431);
    http_request_reset(&r);
}

/* It is said once, when there is a body to come. */
static void test_expect(void **state)
{
    static const char text[] = PUT LINE("Content-Length: 1") LINE("Expect: 100-continue") LINE("");
    static const char bare[] = PUT LINE("Content-Length: 0") LINE("Expect: 100-continue") LINE("");
    struct http_request r = { 0 };
    size_t used;

    (void)state;
    assert_int_equal(feed(&r, text, sizeof text - 1, 1000, &used), HTTP_CONTINUE);
    assert_int_equal(feed(&r, "a", 1, 1, &used), HTTP_DONE);
    http_request_reset(&r);
    assert_int_equal(feed(&r, bare, sizeof bare - 1, 1000, &used), HTTP_DONE);
    http_request_reset(&r);
}

/* The largest there is. */
static void test_largest_body(void **state)
{
    struct http_request r = { 0 };
    char *body = calloc(1, HTTP_MAX_BODY + 1);
    size_t used;

    (void)state;
    memset(body, 'x', HTTP_MAX_BODY);
    assert_int_equal(feed(&r, PUT LINE("Content-Length: 65536") LINE(""), 42, 42, &used),
                     HTTP_MORE);
    assert_int_equal(feed(&r, body, HTTP_MAX_BODY + 1, 4096, &used), HTTP_DONE);
    assert_int_equal(used, HTTP_MAX_BODY);
    assert_int_equal(r.body_len, HTTP_MAX_BODY);
    http_request_reset(&r);
    free(body);
}

/* 10,000 good ones with a few bytes changed, from a fixed start: each ends in a request, a status, or waits. */
static void test_malformed(void **state)
{
    uint32_t random = 1;
    unsigned ends[4] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        struct http_request r = { 0 };
        char text[512];
        size_t used, len = strlen(good[i % ARRAY_SIZE(good)].text);
        enum http_progress progress;

        memcpy(text, good[i % ARRAY_SIZE(good)].text, len + 1);
        for (unsigned n = 0; n < 1 + i % 3; n++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % len] = "\r\n 09:/\xffx"[random >> 29];
        }
        progress = feed(&r, text, len, 1 + i % 50, &used);
        ends[progress]++;
        if (progress == HTTP_BAD)
            assert_true(r.status >= 400 && r.status < 600 && r.fault);
        assert_true(used <= len);
        http_request_reset(&r);
    }
    print_message("%u bad, %u good, %u not whole\n", ends[HTTP_BAD], ends[HTTP_DONE],
                  ends[HTTP_MORE]);
    assert_true(ends[HTTP_BAD] > 1000 && ends[HTTP_DONE] > 1000 && ends[HTTP_MORE] > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_too_many_headers),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_largest_body),
        cmocka_unit_test(test_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
