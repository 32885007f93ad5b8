/* SPDX-License-Identifier: Apache-2.0 */
/* kin.h - whether a process that a broker names is its VM's. One that was taken over could name anybody's, and have
 * root stop it, join its namespaces or count its memory, as often as it likes. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "client.pb-c.h"

struct kin {
    pid_t spawner; /* 0: there is none that is this VM's */
    pid_t above;   /* its parent */
    bool hidden;   /* from us, who is not root */
};

/* The spawner is known by the VM's lock, which it alone holds: a broker in its sandbox can't. */
void kin_look(struct kin *ret_kin, const char *run_dir, const Bulkhead__ProcessList *list);
/* A broker made its spawner, or is a child of it, as all the others are; who keeps a socket's file is nobody's child, but made
 * a link of which the spawner has the other end; a gateway is a child of who started the VM, as its first broker was. From an ordinary user, who can stop his own alone, the spawner may be hidden. */
bool kin_has(const struct kin *kin, Bulkhead__Role role, pid_t pid);
