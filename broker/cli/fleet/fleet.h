/* SPDX-License-Identifier: Apache-2.0 */
/* fleet.h - VMs that come up together, as their manifests describe them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "fleet/faults.h"
#include "host.pb-c.h"
#include "options/vm_options.h"
#include "vmconfig/lines.h"

enum { FLEET_MAX_VMS = 1024, FLEET_TIMEOUT_S = 120 };

enum ready_kind {
    READY_NONE,  /* with the first instruction of its guest */
    READY_TEXT,  /* with a line on its console that has this text in it */
    READY_REGEX, /* ... that this extended regular expression fits */
    READY_VSOCK, /* when somebody in the guest takes connections at this port */
};

struct fleet_ready {
    enum ready_kind kind;
    const char *text;
    uint32_t port;
    uint32_t timeout_s;
};

enum fleet_when { WHEN_DEFAULT, WHEN_STARTED, WHEN_READY };

/* One that comes first. */
struct fleet_after {
    const char *name;
    enum fleet_when when; /* order_check() leaves no default */
    size_t vm;            /* the same in fleet->vms, by order_check() */
    size_t number;        /* in the manifest's list */
};

struct fleet_vm {
    const char *file;          /* that names it */
    struct lines lines;        /* of that file */
    const char *path;          /* in those: "vms[3]" */
    bool has_file;             /* its configuration is in a file of its own */
    const char *name;          /* "web", or "acme/web": what the service is asked for */
    struct vm_options options; /* its configuration, whose name is the one above, and labels */
    bool is_whole;             /* its configuration was understood */
    struct fleet_after *after;
    size_t n_after;
    struct fleet_ready ready;
    Bulkhead__ControlRight *control; /* NULL: its guest may drive none */
    char **on_request;               /* devices that its guest may ask for */
    size_t n_on_request;
    unsigned wave; /* by order_check(): 0 waits for nobody */
};

struct fleet {
    struct bag bag;
    struct fleet_vm **vms;
    size_t n, n_files;
    struct faults faults;
};
