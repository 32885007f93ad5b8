/* SPDX-License-Identifier: Apache-2.0 */
/* bpf.h - what a seccomp filter does, without asking the kernel. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/compiler.h"

struct sock_filter;
struct seccomp_data;

/* The filter's verdict (SECCOMP_RET_*) for one call; kill for a program that isn't valid. */
uint32_t bpf_run(const struct sock_filter *code, unsigned n, const struct seccomp_data *data);
/* True when some arguments exist (as far as each comparison alone tells) with which the x86_64
 * call `nr` is let through. */
bool bpf_may_allow(const struct sock_filter *code, unsigned n, int nr);
/* 64 hex digits and a 0, as in the build's manifest. */
enum { BPF_SHA256_CHARS = 65 };
void bpf_sha256(const struct sock_filter *code, unsigned n, char ret_hex[BPF_SHA256_CHARS]);
