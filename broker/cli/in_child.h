/* SPDX-License-Identifier: Apache-2.0 */
/* in_child.h - what would change this process is tried in a child. */
#pragma once

#include <sys/types.h>

/* Runs fn in a child; its exit status, or -1 when it died or took longer than timeout_ms. */
int in_child(int (*fn)(void *arg), void *arg, int timeout_ms);
/* Ends a child that is still running after timeout_ms; its exit status or -1. */
int in_child_reap(pid_t pid, int timeout_ms);
