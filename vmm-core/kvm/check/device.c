// SPDX-License-Identifier: Apache-2.0
// device.c - see device.h.
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include "base/fd.h"

static const struct kvm_device_fault missing = {
    "/dev/kvm is missing",
    "enable virtualization in the firmware (or nested virtualization of this VM), then: modprobe "
    "kvm_intel or kvm_amd",
};
static const struct kvm_device_fault no_driver = {
    "/dev/kvm is there, but no driver is behind it",
    "enable virtualization in the firmware (or nested virtualization of this VM), then: modprobe "
    "kvm_intel or kvm_amd",
};
static const struct kvm_device_fault no_permission = {
    "no permission for /dev/kvm",
    "join the group that owns /dev/kvm: usermod -aG kvm USER, then log in again",
};
static const struct kvm_device_fault not_a_device = {
    "/dev/kvm is not a character device",
    "delete it, then: modprobe kvm_intel or kvm_amd, which makes the right one",
};
static const struct kvm_device_fault not_kvm = {
    "/dev/kvm is a character device, but not KVM",
    "delete it, then: mknod -m 660 /dev/kvm c 10 232 (in a container: pass the host's through)",
};
static const struct kvm_device_fault other_version = {
    "/dev/kvm speaks another version of KVM's API than 12",
    "boot another kernel: every Linux since 2.6.22 has version 12",
};
static const struct kvm_device_fault host_fault = {
    "/dev/kvm can't be opened, though it is there and permitted",
    "look for the reason in the kernel's log: dmesg",
};

static const struct kvm_device_fault *why_not_opened(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return &missing;
    case ENODEV:
    case ENXIO:
        return &no_driver;
    case EACCES:
    case EPERM:
        return &no_permission;
    default:
        return &host_fault;
    }
}

int kvm_device_open(const char *path, int *ret_fd, struct kvm_device_fault *ret_fault)
{
    const struct kvm_device_fault *fault = NULL;
    cleanup_(fd_closep) int fd = -1;
    struct stat st;
    int version;

    /* First, because a directory or a socket can't be opened, and a fifo might wait. */
    if (stat(path, &st) == 0 && !S_ISCHR(st.st_mode)) {
        *ret_fault = not_a_device;
        return -1;
    }
    fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        *ret_fault = *why_not_opened();
        return -1;
    }
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        fault = &not_kvm;
    else if (version != KVM_API_VERSION)
        fault = &other_version;
    if (fault) {
        *ret_fault = *fault;
        return -1;
    }
    *ret_fd = fd_take(&fd);
    return 0;
}
