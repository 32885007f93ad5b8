/* SPDX-License-Identifier: Apache-2.0 */
/* in_child.h - what would change this process, or might never come back, is tried in a child. */
#pragma once

#include <sys/types.h>

/* Runs fn in a child; its exit status, or -1 when it died or took longer than timeout_ms. One that doesn't even die of
 * SIGKILL, since it waits for a file system that doesn't answer, is left behind: it ends when that one answers or goes. */
int in_child(int (*fn)(void *arg), void *arg, int timeout_ms);
/* The same for what is expected to be left behind now and then: it has no descriptor of ours. */
int in_child_alone(int (*fn)(void *arg), void *arg, int timeout_ms);
/* Ends a child that is still running after timeout_ms, or when stop_fd (-1: none) is readable, and leaves it if it doesn't
 * die of that; its exit status or -1. */
int in_child_reap(pid_t pid, int timeout_ms, int stop_fd);
