/* SPDX-License-Identifier: Apache-2.0 */
/* notifier.h - what a service manager is told (sd_notify(3)): that the service is ready, lives, and ends. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"
#include "base/loop.h"

struct notifier;

/* As the environment says; *ret is NULL where nobody is to be told. Opens what is needed. lives: asked each time before it is
 * told that the service lives, which it is not while that says false. */
int notifier_new(struct notifier **ret, struct loop *loop, bool (*lives)(void *arg),
                 void *arg) must_check;
void notifier_free(struct notifier *notifier);
/* All of these do nothing for NULL. From the first one on it is told in time that the service lives. */
void notifier_ready(struct notifier *notifier);
void notifier_stopping(struct notifier *notifier);
int notifier_fd(const struct notifier *notifier); /* -1: none */
