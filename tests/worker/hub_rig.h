/* SPDX-License-Identifier: Apache-2.0 */
/* hub_rig.h - a real bulkhead-console in its real sandbox, for a test that plays the VM (serial port and log) and those
 * who attach. All end the test on failure, and wait no longer than HUB_PATIENCE_MS. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HUB_LOG_BYTES = 65536, HUB_PATIENCE_MS = 30000 };

struct hub_rig {
    char dir[128];
    int dir_fd, serial, log; /* the VM's ends */
    pid_t pid;
    int pidfd;
};

int hub_open_in(const struct hub_rig *rig, const char *name, int flags);
void hub_start(struct hub_rig *rig);
struct hub_rig *hub_begin(void);
int hub_wait_end(struct hub_rig *rig);
void hub_end(struct hub_rig *rig);
int hub_attach(const struct hub_rig *rig);
void hub_put(int fd, const void *bytes, size_t len);
/* The next len bytes, or fewer at the end. */
size_t hub_get(int fd, void *bytes, size_t len);
void hub_expect(int fd, const char *text);
bool hub_has_ended(int fd);
/* A text of which each piece is known by its place. */
uint8_t *hub_numbered(size_t len);
size_t hub_load(const struct hub_rig *rig, const char *name, uint8_t *dst, size_t size);
/* Both files, one behind the other. */
size_t hub_load_log(const struct hub_rig *rig, const char *name, uint8_t *dst, size_t size);
void hub_wait_logged(const struct hub_rig *rig, const char *name, const char *text);
