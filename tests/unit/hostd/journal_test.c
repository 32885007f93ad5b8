/* SPDX-License-Identifier: Apache-2.0 */
/* journal_test.c - what of the service's events reaches journald, which the test is, or the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the ones above
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "hostd/run/journal.h"
#include <cmocka.h>

#define T(text) ((char *)(uintptr_t)(text))

static char dir[] = "/tmp/bulkhead-journal.XXXXXX", path[64];
static int journald;

static int begin(void **state)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)state;
    strcpy(dir + sizeof dir - 7, "XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/socket", dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    journald = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(journald >= 0);
    assert_int_equal(bind(journald, (const struct sockaddr *)&address, sizeof address), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(journald);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static void tell(struct journal *j, const char *vm, const char *event, const char *key,
                 const char *value, uint64_t now)
{
    Bulkhead__HostEvent e = BULKHEAD__HOST_EVENT__INIT;
    Bulkhead__Event own = BULKHEAD__EVENT__INIT;
    Bulkhead__KeyValue property = BULKHEAD__KEY_VALUE__INIT, *properties[] = { &property };

    e.sequence = 42;
    e.tenant = T("acme");
    e.vm = T(vm);
    e.event = &own;
    own.source = T("host");
    own.event = T(event);
    property.key = T(key);
    property.value = T(value);
    own.properties = properties;
    own.n_properties = 1;
    journal_tell(j, &e, now);
}

static bool hear(char *dst, size_t size)
{
    ssize_t n = recv(journald, dst, size - 1, 0);

    dst[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static void fields(void **state)
{
    struct journal *j = NULL;
    char said[8192];

    (void)state;
    assert_int_equal(journal_new(&j, path), 0);
    tell(j, "web", "started", "text", "for a test", 1);
    assert_true(hear(said, sizeof said));
    assert_string_equal(said, "MESSAGE=acme/web: host started: for a test\n"
                              "PRIORITY=6\nSYSLOG_IDENTIFIER=bulkhead-hostd\n"
                              "BULKHEAD_TENANT=acme\nBULKHEAD_VM=web\nBULKHEAD_SOURCE=host\n"
                              "BULKHEAD_EVENT=started\nBULKHEAD_SEQUENCE=42\n"
                              "BULKHEAD_DATA_TEXT=for a test\n");
    tell(j, "web", "start_failed", "text", "", 2);
    assert_true(hear(said, sizeof said));
    assert_non_null(strstr(said, "\nPRIORITY=4\n"));
    journal_free(j);
}

/* A broker that was taken over names its properties and what they say. */
static void nobody_forges_a_field(void **state)
{
    struct journal *j = NULL;
    char said[8192], large[10000];

    (void)state;
    assert_int_equal(journal_new(&j, path), 0);
    tell(j, "web", "x\nBULKHEAD_TENANT=beta", "a=b\nPRIORITY", "1\nPRIORITY=0", 1);
    assert_true(hear(said, sizeof said));
    assert_null(strstr(said, "\nBULKHEAD_TENANT=beta"));
    assert_null(strstr(said, "\nPRIORITY=0"));
    assert_non_null(strstr(said, "\nBULKHEAD_DATA_A_B_PRIORITY=1?PRIORITY=0\n"));
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    tell(j, "web", "large", large, large, 2);
    assert_true(hear(said, sizeof said));
    assert_non_null(strstr(said, "\nBULKHEAD_SEQUENCE=42\n"));
    journal_free(j);
}

/* Nor does one tenant's flood, or a journald that doesn't read, hold up anybody. */
static void what_is_lost_is_counted(void **state)
{
    struct journal *j = NULL;
    unsigned heard = 0;
    char said[8192];

    (void)state;
    assert_int_equal(journal_new(&j, path), 0);
    for (unsigned i = 0; i < 1000; i++)
        tell(j, "web", "started", "a", "b", 1);
    while (hear(said, sizeof said))
        heard++;
    assert_in_range(heard, 1, JOURNAL_PER_S);
    tell(j, "web", "started", "a", "b", UINT64_C(10000000000));
    assert_true(hear(said, sizeof said));
    assert_non_null(strstr(said, "\nBULKHEAD_LOST=9"));
    journal_free(j);
}

static void lines_of_json_without_one(void **state)
{
    struct journal *j = NULL;
    char said[1024], large[1000];
    int out[2], saved = dup(FD_LOG);
    ssize_t n;

    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(journal_new(&j, NULL), 0);
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    log_init("t", LOG_LEVEL_INFO);
    assert_int_equal(dup2(out[1], FD_LOG), FD_LOG);
    tell(j, "web", "st\"op\\", "k", "a\nb", 1);
    tell(j, "web", "large", "k", large, 2);
    assert_int_equal(dup2(saved, FD_LOG), FD_LOG);
    n = read(out[0], said, sizeof said - 1);
    assert_true(n > 0);
    said[n] = '\0';
    assert_string_equal(
        said, "t: {\"sequence\": 42, \"tenant\": \"acme\", \"vm\": \"web\", \"source\": \"host\", "
              "\"event\": \"st\\\"op\\\\\", \"properties\": {\"k\": \"a?b\"}}\n"
              "t: {\"sequence\": 42, \"tenant\": \"acme\", \"vm\": \"web\", \"source\": \"host\", "
              "\"event\": \"large\", \"properties\": {}}\n");
    close(saved);
    close(out[0]);
    close(out[1]);
    journal_free(j);
}

static void the_logs_priorities(void **state)
{
    char stream[64], said[256];
    int pair[2], saved = dup(FD_LOG);
    struct stat st;
    ssize_t n;

    (void)state;
    assert_false(log_is_journal());
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fstat(pair[1], &st), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    assert_int_equal(dup2(pair[1], FD_LOG), FD_LOG);
    log_init("t", LOG_LEVEL_INFO);
    log_never_wait();
    log_error("so");
    log_info("so");
    assert_int_equal(dup2(saved, FD_LOG), FD_LOG);
    unsetenv("JOURNAL_STREAM");
    n = recv(pair[0], said, sizeof said - 1, MSG_WAITALL | MSG_DONTWAIT);
    assert_true(n > 0);
    said[n] = '\0';
    assert_string_equal(said, "<3>t: error: so\n<6>t: so\n");
    close(saved);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields, begin, end),
        cmocka_unit_test_setup_teardown(nobody_forges_a_field, begin, end),
        cmocka_unit_test_setup_teardown(what_is_lost_is_counted, begin, end),
        cmocka_unit_test(lines_of_json_without_one),
        cmocka_unit_test(the_logs_priorities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
