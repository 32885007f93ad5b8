/* SPDX-License-Identifier: Apache-2.0 */
/* device_test.c - each thing that can be wrong with /dev/kvm has a text and a cure of its own. Needs
 * no KVM: open() and ioctl() answer what the test wants. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "device.h"
#include <cmocka.h>

static int open_error, api_version; /* 0: the real call */
static unsigned long asked;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    if (open_error == 0)
        return __real_open(path, flags);
    errno = open_error;
    return -1;
}

int __real_ioctl(int fd, unsigned long request, unsigned long arg);
int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);
int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
    asked = request;
    return api_version != 0 ? api_version : __real_ioctl(fd, request, arg);
}

static void refused(const char *path, const char *detail, const char *cure)
{
    struct kvm_device_fault fault = { 0 };
    int fd = -1;

    assert_int_equal(kvm_device_open(path, &fd, &fault), -1);
    assert_int_equal(fd, -1);
    if (!strstr(fault.detail, detail) || !strstr(fault.cure, cure))
        fail_msg("%s: '%s', '%s'", path, fault.detail, fault.cure);
    assert_null(strpbrk(fault.detail, "\"\\\n")); /* they go into JSON as they are */
    assert_null(strpbrk(fault.cure, "\"\\\n"));
}

static void refused_with(int error, const char *detail, const char *cure)
{
    open_error = error;
    refused("/dev/null", detail, cure);
    open_error = 0;
}

static void no_device_opens(void **state)
{
    (void)state;
    refused("/dev/null/kvm", "missing", "modprobe");
    refused_with(ENOENT, "missing", "modprobe");
    refused_with(ENODEV, "no driver", "modprobe");
    refused_with(ENXIO, "no driver", "modprobe");
    refused_with(EACCES, "no permission", "usermod -aG kvm");
    refused_with(EPERM, "no permission", "usermod -aG kvm");
    refused_with(EMFILE, "can't be opened", "dmesg");
}

static void what_is_no_character_device_is_not_opened(void **state)
{
    char dir[] = "/tmp/bulkhead-device.XXXXXX", path[64];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(dir));
    open_error = EIO; /* nobody may get that far */
    refused(dir, "not a character device", "delete it");
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(path, "not a character device", "delete it");
    assert_int_equal(unlink(path), 0);
    open_error = 0;
    fd = creat(path, 0600); /* as a shell's <>/dev/kvm leaves it */
    assert_true(fd >= 0);
    close(fd);
    refused(path, "not a character device", "delete it");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void another_device_is_not_kvm(void **state)
{
    (void)state;
    refused("/dev/null", "not KVM", "mknod -m 660 /dev/kvm c 10 232");
    assert_int_equal(asked, KVM_GET_API_VERSION);
    api_version = KVM_API_VERSION + 1;
    refused("/dev/null", "another version", "another kernel");
    api_version = 0;
}

static void kvm_is_taken(void **state)
{
    struct kvm_device_fault fault = { 0 };
    int fd = -1;

    (void)state;
    api_version = KVM_API_VERSION;
    assert_int_equal(kvm_device_open("/dev/null", &fd, &fault), 0);
    api_version = 0;
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_device_opens),
        cmocka_unit_test(what_is_no_character_device_is_not_opened),
        cmocka_unit_test(another_device_is_not_kvm),
        cmocka_unit_test(kvm_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
