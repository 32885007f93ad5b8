/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - opens KVM's device, or says which of several things is wrong with it. */
#pragma once

/* Both are static texts without quotes or control characters. */
struct kvm_device_fault {
    const char *detail; /* what is wrong */
    const char *cure;   /* what the user can do about it */
};

/* Opens path, which users know as /dev/kvm, for reading and writing, and asks it for the version of
 * its API. 0: *ret_fd is the caller's to close. -1: *ret_fault says why not, and nothing is open. It
 * never waits, whatever path is. */
int kvm_device_open(const char *path, int *ret_fd, struct kvm_device_fault *ret_fault);
