/* SPDX-License-Identifier: Apache-2.0 */
/* silent.h - a file system whose server takes what it is asked and answers nothing: who asks waits for it, and doesn't even
 * die of SIGKILL, until the server goes. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct silent {
    char dir[80];
    pid_t server;
    int asked; /* a byte for each request that is kept */
};

/* At a folder that it makes, in a mount namespace that is this process's own from then on. False: only root may. */
bool silent_begin(struct silent *silent, const char *dir);
/* Waits until somebody has asked. */
void silent_await(const struct silent *silent);
void silent_end(const struct silent *silent);
