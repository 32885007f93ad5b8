/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - the checks of `bulkhead doctor`. Each really does what it asks about, in a child
 * process where the doing would change this one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum doctor_verdict {
    DOCTOR_OK,
    DOCTOR_REPLACED,         /* not there, and something as good is */
    DOCTOR_OPTIONAL_MISSING, /* works without, with less */
    DOCTOR_MISSING,          /* Bulkhead can't start a VM without it */
};

struct doctor_result {
    enum doctor_verdict verdict;
    char detail[320]; /* what was found */
    char cure[320];   /* how to get it; "" when nothing is missing */
};

struct doctor_check {
    const char *id;
    const char *title;
    void (*run)(struct doctor_result *result);
};

/* One that is turned on here, by a hardening guide or whoever started us. */
struct doctor_setting {
    char name[64];
    char value[64];
    char costs[160]; /* what Bulkhead can't do because of it, for this user; "": nothing */
    char cure[120];  /* "" when it costs nothing */
};
enum { DOCTOR_MAX_SETTINGS = 24 };
size_t doctor_settings(struct doctor_setting *ret_settings, size_t max);

void doctor_ok(struct doctor_result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void doctor_missing(struct doctor_result *r, bool optional, const char *detail, const char *cure);
/* Runs fn in a child; its exit status, or -1 when it died or took longer than timeout_ms. */
int doctor_in_child(int (*fn)(void *arg), void *arg, int timeout_ms);

void doctor_kvm(struct doctor_result *result); /* runs bulkhead-kvm-check */
void doctor_userns(struct doctor_result *result);
void doctor_uids(struct doctor_result *result);
void doctor_seccomp(struct doctor_result *result);
void doctor_landlock(struct doctor_result *result);
void doctor_mdwe(struct doctor_result *result);
void doctor_memfd(struct doctor_result *result);
void doctor_pidfd(struct doctor_result *result);
void doctor_cgroup(struct doctor_result *result);
void doctor_readback(struct doctor_result *result);
void doctor_io_uring(struct doctor_result *result);
void doctor_tun(struct doctor_result *result);
void doctor_passt(struct doctor_result *result);
void doctor_hugepages(struct doctor_result *result);
void doctor_programs(struct doctor_result *result);
void doctor_rundir(struct doctor_result *result);
