/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.h - a compiled profile, and putting it on. */
#pragma once

#include "base/compiler.h"

/* One per kind of thread; the table of each is sandbox/profiles/<name>.c, its BPF is compiled by
 * libseccomp when Bulkhead is built (sandbox/gen), so that no child carries the compiler. */
enum sandbox_profile_id {
    SANDBOX_BROKER,
    SANDBOX_LOADER,
    SANDBOX_CORE_CONTROL,
    SANDBOX_CORE_VCPU,
    SANDBOX_BLK,
    SANDBOX_RNG,
    SANDBOX_CONSOLE,
    SANDBOX_NET,
    SANDBOX_VSOCK,
    SANDBOX_BALLOON,
    SANDBOX_HOLDER,
    SANDBOX_CONSOLE_LOG, /* bulkhead-console; SANDBOX_CONSOLE is the device's worker */
    SANDBOX_HOSTD,
    SANDBOX_GATEWAY,
    SANDBOX_START, /* from exec until the program enters its sandbox, of a program handed over */
    SANDBOX_PROFILE__MAX,
};

/* A compiled profile. Each one is its own static library bh_filter_<name> with its own header,
 * "sandbox/gen/filter_<name>.h", both made by the build, so that a program carries only what it links
 * and names: sandbox_enter(&sandbox_filter_blk, ...). */
struct sock_filter;
struct sandbox_filter {
    enum sandbox_profile_id id;
    const char *name;                 /* "blk" */
    const struct sock_filter *filter; /* classic BPF */
    unsigned n_instructions;
    unsigned n_syscalls; /* distinct numbers the filter allows */
    const int *syscalls; /* ascending */
    const char *sha256;  /* of the instructions, hex */
};

/* This thread alone; from here on only what the profile lists. It must have no_new_privs. 0, or a
 * negative errno with an origin. */
int seccomp_enter(const struct sandbox_filter *filter) must_check;
