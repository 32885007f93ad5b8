/* SPDX-License-Identifier: Apache-2.0 */
/* folders.h - the service's folders: TENANT/VM/ below each of three. Names come from a hostd that may have been taken
 * over: they are checked for their letters, and everything below the three is walked by descriptors, over no link. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"
#include "client/hostdir.h"
#include "config/fault.h"

enum folder {
    FOLDER_VMS,  /* run directories of VMs; of their brokers' own */
    FOLDER_IO,   /* sockets and fifo of a console */
    FOLDER_KEPT, /* descriptions and logs */
    FOLDERS,
};

struct folders {
    int fds[FOLDERS];
    char vms_path[HOSTDIR_PATH_BYTES + 8];
    char config_path[HOSTDIR_PATH_BYTES];
};

struct folder_names {
    struct folder_name {
        char tenant[HOSTDIR_TENANT_BYTES], vm[HOSTDIR_VM_BYTES];
    } * list;
    size_t n, room;
};

/* Makes what isn't there. */
int folders_open(struct folders *ret_folders, struct fault *ret_fault) must_check;
void folders_close(struct folders *folders);

/* A descriptor of the VM's folder there, or a negative errno with an origin. make: if it isn't there. */
int folders_enter(const struct folders *folders, enum folder folder, const char *tenant,
                  const char *vm, bool make) must_check;
/* The tenant's, which is made. */
int folders_enter_tenant(const struct folders *folders, enum folder folder,
                         const char *tenant) must_check;
/* With all files in it; and the tenant's, if that is empty then. Nothing is done where there is none. */
int folders_remove(const struct folders *folders, enum folder folder, const char *tenant,
                   const char *vm) must_check;
/* Appends the VMs that have a folder there. */
int folders_list(const struct folders *folders, enum folder folder,
                 struct folder_names *names) must_check;
/* Somebody holds the VM's run directory: its broker or spawner. */
bool folders_is_held(const struct folders *folders, const char *tenant, const char *vm);
