/* SPDX-License-Identifier: Apache-2.0 */
/* hostdir.h - where the host's service is: its command socket, its VMs' run directories, what it keeps.
 *
 * Of root's service: HOSTDIR_RUN, HOSTDIR_STATE and HOSTDIR_CONFIG. Of a user's own (rootless): below
 * XDG_RUNTIME_DIR, XDG_STATE_HOME and XDG_CONFIG_HOME, or what their standard puts in their place. The
 * environment's BULKHEAD_HOST_RUN, BULKHEAD_HOST_STATE and BULKHEAD_HOST_CONFIG come before all of these. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"

#define HOSTDIR_RUN "/run/bulkhead-host"
#define HOSTDIR_STATE "/var/lib/bulkhead-host"
#define HOSTDIR_CONFIG "/etc/bulkhead"

#define HOSTDIR_SOCKET "host.sock"   /* in the run directory: SOCK_SEQPACKET, for everybody */
#define HOSTDIR_VMS "vms"            /* there: TENANT/VM/, each tenant's is a base of rundir.h */
#define HOSTDIR_IO "io"              /* there: TENANT/VM/, consoles and logs that are open */
#define HOSTDIR_SPEC "spec.pb"       /* in the state's vms/TENANT/VM/: a VmDetails */
#define HOSTDIR_VOUCHED "vouched."   /* there, a number behind it: broker/run/vouched.h */
#define HOSTDIR_TENANTS "tenants.pb" /* in the configuration: a HostConfig */

/* Of the host's side of a VM's vsock: the service, for the guest of one that has a named right (host.proto). */
enum { HOSTDIR_SERVICE_PORT = 4847 };
enum { HOSTDIR_PATH_BYTES = 108, HOSTDIR_TENANT_BYTES = 33, HOSTDIR_VM_BYTES = 49 };

/* Each 0, -ENAMETOOLONG, or -ENOENT where there is no home to put it below. */
int hostdir_run(char *dst, size_t size) must_check;
int hostdir_state(char *dst, size_t size) must_check;
int hostdir_config(char *dst, size_t size) must_check;
int hostdir_socket(char *dst, size_t size) must_check;

/* [a-z0-9][a-z0-9._-]{0,31}, and a VM's as its configuration has it: [A-Za-z0-9_][A-Za-z0-9._-]{0,47}. Of a name that has
 * no end at most HOSTDIR_TENANT_BYTES and HOSTDIR_VM_BYTES are looked at, and it is not one. */
bool hostdir_is_tenant(const char *name);
bool hostdir_is_vm(const char *name);
