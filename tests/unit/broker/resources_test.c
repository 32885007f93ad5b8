/* SPDX-License-Identifier: Apache-2.0 */
/* resources_test.c - files that the user names: links to them are followed once, at the start. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources/open.h"
#include "temp_dir.h"
#include <cmocka.h>

static char dir[64];

static const char *in_dir(const char *name)
{
    static char paths[4][96];
    static unsigned at;

    at = (at + 1) % ARRAY_SIZE(paths);
    snprintf(paths[at], sizeof paths[at], "%s/%s", dir, name);
    return paths[at];
}

static void make_file(const char *name, const char *text)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void links_are_followed_once(void **state)
{
    struct fault f = { 0 };
    char got[8] = "", magic[64];
    int fd = -1, other = -1;

    (void)state;
    assert_true(temp_dir(dir, sizeof dir, "bh-resources"));
    make_file("named", "named");
    make_file("secret", "secret");
    assert_int_equal(symlink("named", in_dir("link")), 0);
    assert_int_equal(resources_kernel(NULL, "the kernel", in_dir("link"), &fd, &f), 0);
    assert_int_equal(unlink(in_dir("link")) | symlink("secret", in_dir("link")), 0);
    assert_int_equal(read(fd, got, sizeof got), 5);
    assert_string_equal(got, "named");

    /* The kernel's own links, which lead to where no path leads, never are. */
    snprintf(magic, sizeof magic, "/proc/self/fd/%d", fd);
    assert_true(resources_kernel(NULL, "the kernel", magic, &other, &f) < 0);
    assert_non_null(strstr(f.text, "can't be followed safely"));
    assert_int_equal(symlink(magic, in_dir("magic")), 0);
    assert_true(resources_kernel(NULL, "the kernel", in_dir("magic"), &other, &f) < 0);
    assert_int_equal(other, -1);
    close(fd);
    assert_int_equal(unlink(in_dir("named")) | unlink(in_dir("secret")), 0);
    assert_int_equal(unlink(in_dir("link")) | unlink(in_dir("magic")) | rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(links_are_followed_once) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
