/* SPDX-License-Identifier: Apache-2.0 */
/* handed.h - a device's back end as a message: who opened it hands it to the broker of a VM that runs.
 *
 * The broker is in its sandbox by then and can open next to nothing. What it is given comes from who may use its
 * command socket, and so may do all that its VM's user may; it is checked all the same, for what a mistake there
 * would do to the VM: the kind of each descriptor, how it was opened, and numbers that a worker relies on. */
#pragma once

#include <stddef.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "config/fault.h"
#include "devices/backend.h"
#include "plan/plan.h"

enum { HANDED_MAX_FDS = RESOURCES_MAX_OWN + 2 };

/* Fills *ret_message, whose texts stay the backend's; ret_fds are not duplicates. How many. */
size_t handed_give(struct backend *backend, Bulkhead__Backend *ret_message,
                   int ret_fds[HANDED_MAX_FDS]);
/* Takes over the descriptors; *backend is as backend_init() leaves it, and ended by backend_deinit() also after
 * an error. 0, or a negative errno with one line in *ret_fault. */
int handed_take(const Bulkhead__Backend *message, const char *id, int *fds, size_t n_fds,
                struct backend *backend, struct fault *ret_fault) must_check;
/* Its texts and numbers alone: own and held stay 0. */
int handed_read(const Bulkhead__Backend *message, const char *id, struct backend *backend,
                struct fault *ret_fault) must_check;
int handed_check_disk(const Bulkhead__DiskConfig *disk, const struct backend *backend,
                      struct fault *ret_fault) must_check;
int handed_check_net(const Bulkhead__NetConfig *net, const struct backend *backend,
                     struct fault *ret_fault) must_check;
/* A vsock's, or a console's that is one: a listening socket, and the link to who keeps its file. */
int handed_check_socket(const char *id, const struct backend *backend,
                        struct fault *ret_fault) must_check;
int handed_check_console(const Bulkhead__ConsoleConfig *console, const struct backend *backend,
                         struct fault *ret_fault) must_check;

/* ---- of a VM of the host's service: all that it starts with was opened by a launcher ---- */

/* Which devices have a back end that somebody opens: disks, networks, vsocks and consoles. Not the entropy source
 * and the balloon, which need nothing, and not a network of mode user: its stream to passt is the broker's own make. */
bool handed_is_needed(const Bulkhead__VmConfig *config, const struct plan_device *device);
/* Each of them as above. The serial port may listen at a socket that has no holder: the service's own console, whose
 * file the service keeps. */
int handed_check(const Bulkhead__VmConfig *config, const struct plan_device *device,
                 const struct backend *backend, struct fault *ret_fault) must_check;
int handed_check_kvm(int fd, struct fault *ret_fault) must_check;
/* A kernel, or an initramfs. what: "the kernel". */
int handed_check_image(const char *what, int fd, struct fault *ret_fault) must_check;
