/* SPDX-License-Identifier: Apache-2.0 */
/* starter_rig.h - a real starter in a process of its own, with folders of its own; the test is the hostd that it obeys.
 * bulkhead-console is the real one, bulkhead-broker is fake_broker.c. What fails ends the test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "hostd/starter/wire.h"

enum {
    RIG_PATIENCE_MS = 30000,
    RIG_MAX_VMS = 64,
    RIG_MAX_BYTES = 1 << 20,
    RIG_REFUSED = 99,
    RIG_UID = 65533,
    RIG_GID = 65532,
    RIG_QUOTA = 64,
};

struct starter_rig {
    char dir[96];
    pid_t pid; /* 0: none runs */
    int fd;    /* hostd's end */
    int life;  /* of the process that stands for hostd */
    uint32_t id;
    /* Of the last answer. */
    struct starter_report done;
    int fds[STARTER_MAX_FDS]; /* the test's from then on */
    unsigned n_fds, n_vms;
    struct rig_vm {
        char tenant[HOSTDIR_TENANT_BYTES], vm[HOSTDIR_VM_BYTES];
        uint32_t flags, len;
    } vms[RIG_MAX_VMS];
    uint8_t *bytes; /* of all pieces, or of all VMs */
    size_t n_bytes;
    /* Of all answers. */
    unsigned consoles_ended, brokers_ended;
};

struct starter_rig *rig_new(void);
void rig_start(struct starter_rig *rig);
/* One whose hostd leaves at once: RIG_REFUSED, or its status. */
int rig_try_start(void);
void rig_kill(struct starter_rig *rig); /* as by SIGKILL of both halves */
int rig_stop(struct starter_rig *rig);  /* hostd leaves: the starter's status */
void rig_free(struct starter_rig *rig); /* nothing may be left of any VM */
/* path: below the rig's folder. */
void rig_write(const struct starter_rig *rig, const char *path, const void *bytes, size_t len,
               unsigned mode);
/* Of root's service another user (RIG_UID), else the only one there is: trees DIR/tree and /usr, 128 uids, RIG_QUOTA VMs of 3
 * devices, the interfaces "web*" and "uplink". */
void rig_write_tenant(const struct starter_rig *rig, const char *tenant);
void rig_write_tenant_with(const struct starter_rig *rig, const char *tenant, bool user_net);
unsigned rig_count_fds(const struct starter_rig *rig);
bool rig_exists(const struct starter_rig *rig, const char *path);

void rig_send(struct starter_rig *rig, const struct starter_request *request, const void *bytes,
              size_t len, const int *fds, unsigned n_fds);
/* The next report; DONE of `id` ends it. False: the starter has ended. */
bool rig_hear(struct starter_rig *rig, uint32_t id);
/* A well-formed request; its error. */
int rig_ask(struct starter_rig *rig, uint32_t kind, const char *tenant, const char *vm);
int rig_ask_channel(struct starter_rig *rig, uint32_t kind, const char *tenant, const char *vm,
                    uint32_t channel);
int rig_save(struct starter_rig *rig, const char *tenant, const char *vm, const void *bytes,
             size_t len);
int rig_note(struct starter_rig *rig, const char *tenant, const char *vm, const void *bytes,
             size_t len);
/* *ret_channel: to the launcher, also when the error isn't 0. */
int rig_ask_start(struct starter_rig *rig, const char *tenant, const char *vm, int *ret_channel);
/* The same of a device for one that runs. */
int rig_ask_give(struct starter_rig *rig, const char *tenant, const char *vm, int *ret_channel);
/* All of it: what the launcher was started with, if wanted; the VM holds its run directory. */
int rig_run(struct starter_rig *rig, const char *tenant, const char *vm, char *ret_text,
            size_t size);
/* As its broker's client does. */
void rig_quit(struct starter_rig *rig, const char *tenant, const char *vm);
void rig_await(struct starter_rig *rig, const unsigned *count, unsigned at_least);
/* False: it ends before. */
bool rig_try_read(int fd, char *dst, size_t size, const char *until);
void rig_read(int fd, char *dst, size_t size, const char *until);
