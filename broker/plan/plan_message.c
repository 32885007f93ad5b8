/* SPDX-License-Identifier: Apache-2.0 */
/* plan_message.c - the plan as `bulkhead plan` prints it and the audit checks it: every process
 * with every descriptor, namespace, limit and the reason for it. */
#include "plan/plan_message.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"
#include "ipc/rules.h"
#include "plan/identity.h"
#include "plan/limits.h"
#include "plan/plan.h"
#include "sandbox/limits.h"
#include "shm/layout.h"

#define NEW(ptr, type) ((ptr) = malloc(sizeof *(ptr))) && (type##__init(ptr), true)

enum { MAX_FDS = 48, MAX_PROCESSES = PLAN_MAX_DEVICES * 2 + 5, MAX_NOTES = PLAN_MAX_DEVICES + 4 };
/* What the private memory of a child is at most, for the audit: the child sets its limit itself, close
 * above what it has. */
enum {
    DATA_BYTES = 16 << 20,
    VSOCK_CONNECTION_BYTES = 66 << 10, /* one of the table's, with its buffer */
    ADDRESS_SPARE_BYTES =
        192 << 20, /* the dirty log's place, guards, rings and the program itself */
    VCPU_STACK_BYTES = 128 << 10,
    QUEUE_ENTRY_BYTES = 3344, /* slices of a chain, for each entry of a virtqueue */
};

/* Appends to a repeated field that has room for `max`; false without memory. */
static bool append(void ***array, size_t *n, size_t max, void *element)
{
    if (!element)
        return false;
    if (!*array)
        *array = calloc(max, sizeof **array);
    if (!*array || *n == max)
        return false;
    (*array)[(*n)++] = element;
    return true;
}

#define APPEND(array, n, max, element) append((void ***)&(array), &(n), (max), (element))

static char *text(const char *s)
{
    return strdup(s);
}

struct fd_row {
    int fd;
    const char *what, *type, *why;
    bool kept;
    unsigned count;
};

static bool add_fd(Bulkhead__ProcessPlan *p, struct fd_row row)
{
    Bulkhead__FdPlan *fd;

    if (row.count == 0)
        return true;
    if (!(NEW(fd, bulkhead__fd_plan)))
        return false;
    fd->fd = row.fd;
    fd->what = text(row.what);
    fd->type = text(row.type);
    fd->why = text(row.why);
    fd->kept = row.kept;
    fd->count = row.count;
    return APPEND(p->fds, p->n_fds, MAX_FDS, fd);
}

static Bulkhead__KeyValue *key_value(const char *key, const char *value)
{
    Bulkhead__KeyValue *kv;

    if (!(NEW(kv, bulkhead__key_value)))
        return NULL;
    kv->key = text(key);
    kv->value = text(value);
    return kv;
}

static bool add_limit(Bulkhead__ProcessPlan *p, const char *key, const char *value)
{
    return APPEND(p->rlimits, p->n_rlimits, 8, key_value(key, value));
}

#ifndef BH_SANITIZED
static bool add_limit_at_most(Bulkhead__ProcessPlan *p, const char *key, uint64_t most)
{
    char value[32];

    snprintf(value, sizeof value, "<=%llu", (unsigned long long)most);
    return add_limit(p, key, value);
}
#endif

/* The heap and the stack of each are limited close above what it has when it enters its sandbox: a
 * little, and its virtqueues' tables. Only a disk and a console write regular files. */
static bool add_memory_limits(Bulkhead__ProcessPlan *p, uint64_t tables_bytes)
{
    bool writes = plan_writes_files(p->role);

#ifdef BH_SANITIZED /* shadow memory is terabytes of it */
    (void)tables_bytes;
    return writes || add_limit(p, "FSIZE", "0");
#else
    return (writes || add_limit(p, "FSIZE", "0")) &&
           add_limit_at_most(p, "DATA", DATA_BYTES + tables_bytes) &&
           add_limit_at_most(p, "STACK", SANDBOX_STACK_BYTES);
#endif
}

/* A worker may map guest RAM that is added later, so it may not take up more addresses than it has:
 * those of the guest's RAM with the hole in it, and what it needs itself. */
static bool add_address_limit(Bulkhead__ProcessPlan *p, uint64_t ram_bytes, uint64_t tables_bytes)
{
#ifdef BH_SANITIZED
    (void)p;
    (void)ram_bytes;
    (void)tables_bytes;
    return true;
#else
    uint64_t hole = ram_bytes > LAYOUT_LOW_RAM_MAX ? LAYOUT_HIGH_RAM_BASE - LAYOUT_LOW_RAM_MAX : 0;

    return add_limit_at_most(p, "AS", ram_bytes + hole + tables_bytes + ADDRESS_SPARE_BYTES);
#endif
}

static bool add_namespaces(Bulkhead__ProcessPlan *p, const struct plan_host *host, bool share_netns)
{
    static const char *const names[] = { "user", "pid", "mnt", "net", "ipc", "uts", "cgroup" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!(share_netns && strcmp(names[i], "net") == 0) &&
            !(host->userns_error != 0 && strcmp(names[i], "user") == 0) &&
            !APPEND(p->namespaces, p->n_namespaces, ARRAY_SIZE(names), text(names[i])))
            return false;
    return true;
}

static bool add_profile(Bulkhead__ProcessPlan *p, const char *name)
{
    return APPEND(p->profiles, p->n_profiles, 4, text(name));
}

static Bulkhead__ProcessPlan *add_process(Bulkhead__VmPlan *plan, Bulkhead__Role role,
                                          const char *name)
{
    Bulkhead__ProcessPlan *p;

    if (!(NEW(p, bulkhead__process_plan)))
        return NULL;
    p->role = role;
    p->name = text(name);
    p->program = text(plan_program(role));
    p->survives_boot = true;
    return APPEND(plan->processes, plan->n_processes, MAX_PROCESSES, p) ? p : NULL;
}

static char *cgroup_path(const struct plan_host *host, const char *name)
{
    char path[PLAN_CGROUP_BYTES];

    if (host->cgroup[0] == '\0')
        return text("");
    snprintf(path, sizeof path, "%s/%s", host->cgroup, name);
    return text(path);
}

/* As far as the host's controllers reach. */
static void limit_group(Bulkhead__ProcessPlan *p, const struct plan_host *host,
                        const Bulkhead__VmConfig *c, uint64_t cache_bytes)
{
    struct sandbox_cgroup_limits limits;

    plan_limits(c, p->role, cache_bytes, &limits);
    if (host->limits & SANDBOX_CGROUP_PIDS)
        p->pids_max = (uint32_t)limits.pids_max;
    if (!(host->limits & SANDBOX_CGROUP_MEMORY))
        return;
    p->memory_high = limits.memory_high_bytes;
    p->memory_max = limits.memory_max_bytes;
}

static void fill_ids(Bulkhead__ProcessPlan *p, const struct plan_host *host, unsigned uid_slot)
{
    p->uid = host_uid(host, uid_slot);
    p->gid = host->root ? p->uid : host->gid;
}

/* What every sandboxed child of ours has. */
static bool fill_child(Bulkhead__ProcessPlan *p, const struct plan_host *host, unsigned uid_slot)
{
    fill_ids(p, host, uid_slot);
    p->root = text("empty, read-only");
    p->cgroup = cgroup_path(host, p->name);
    /* The disk's io_uring makes threads in the kernel, which count; seccomp refuses clone(). */
    return add_namespaces(p, host, false) &&
           (p->role == BULKHEAD__ROLE__ROLE_BLK || add_limit(p, "NPROC", "0")) &&
           add_limit(p, "CORE", "0") &&
           add_fd(p, (struct fd_row){ 0, "/dev/null", "char", "nothing to read", true, 1 }) &&
           add_fd(p, (struct fd_row){ 1, "/dev/null", "char", "nothing to print", true, 1 }) &&
           add_fd(p, (struct fd_row){ 2, "log pipe", "pipe", "its only words to the outside", true,
                                      1 }) &&
           add_fd(p, (struct fd_row){ 3, "control socket", "socket", "messages with the broker",
                                      true, 1 });
}

static bool add_affinity(Bulkhead__ProcessPlan *p, const Bulkhead__CpusConfig *cpus)
{
    for (size_t i = 0; i < cpus->n_affinity; i++) {
        const Bulkhead__VcpuAffinity *from = cpus->affinity[i];
        Bulkhead__VcpuAffinity *a;

        if (!(NEW(a, bulkhead__vcpu_affinity)) ||
            !APPEND(p->affinity, p->n_affinity, cpus->n_affinity, a))
            return false;
        a->vcpu = from->vcpu;
        a->host_cpus.data = malloc(from->host_cpus.len);
        if (!a->host_cpus.data)
            return false;
        memcpy(a->host_cpus.data, from->host_cpus.data, from->host_cpus.len);
        a->host_cpus.len = from->host_cpus.len;
    }
    return true;
}

static bool plan_core(Bulkhead__VmPlan *plan, const struct plan *from, const Bulkhead__VmConfig *c,
                      const struct plan_host *host)
{
    Bulkhead__ProcessPlan *p = add_process(plan, BULKHEAD__ROLE__ROLE_CORE, "core");
    unsigned queues = 0;

    for (unsigned i = 0; i < from->n_devices; i++)
        queues += from->devices[i].num_queues;
    if (!p || !fill_child(p, host, PLAN_UID_CORE) ||
        !add_memory_limits(p, (uint64_t)c->cpus->boot_vcpus * VCPU_STACK_BYTES))
        return false;
    limit_group(p, host, c, 0);
    p->ram_mapped = c->memory->size;
    p->ram_writable = true;
    return add_affinity(p, c->cpus) && add_profile(p, "core_control") &&
           add_profile(p, "core_vcpu") &&
           add_fd(p,
                  (struct fd_row){ -1, "guest RAM", "memfd", "mapped for the guest", false, 1 }) &&
           add_fd(p, (struct fd_row){ -1, "/dev/kvm", "char", "makes the VM", false, 1 }) &&
           add_fd(p, (struct fd_row){ -1, "KVM VM", "kvm-vm", "memory, interrupts", true, 1 }) &&
           add_fd(p, (struct fd_row){ -1, "KVM vCPU", "kvm-vcpu", "one per guest CPU", true,
                                      c->cpus->boot_vcpus }) &&
           add_fd(p, (struct fd_row){ -1, "life pipe, write end", "pipe",
                                      "workers leave when it closes", true, 1 }) &&
           add_fd(p,
                  (struct fd_row){ -1, "serial ring", "memfd", "mapped: bytes of the serial port",
                                   false, from->serial ? 1 : 0 }) &&
           add_fd(p, (struct fd_row){ -1, "serial eventfds", "eventfd", "one for each direction",
                                      true, from->serial ? 2 : 0 }) &&
           add_fd(p, (struct fd_row){ -1, "queue eventfds", "eventfd",
                                      "kick and call of every virtqueue", true, 2 * queues }) &&
           add_fd(p, (struct fd_row){ -1, "wake eventfd", "eventfd",
                                      "vCPU threads tell the control thread", true, 1 }) &&
           add_fd(p, (struct fd_row){ -1, "event loop", "epoll", "waits for all of the above", true,
                                      1 });
}

static bool plan_loader(Bulkhead__VmPlan *plan, const Bulkhead__VmConfig *c,
                        const struct plan_host *host)
{
    Bulkhead__ProcessPlan *p = add_process(plan, BULKHEAD__ROLE__ROLE_LOADER, "loader");

    if (!p || !fill_child(p, host, PLAN_UID_LOADER) || !add_memory_limits(p, 0))
        return false;
    limit_group(p, host, c, 0);
    p->survives_boot = false;
    p->ram_mapped = c->memory->size;
    p->ram_writable = true;
    return add_profile(p, "loader") &&
           add_fd(p, (struct fd_row){ -1, "guest RAM", "memfd", "takes the kernel", false, 1 }) &&
           add_fd(p, (struct fd_row){ -1, c->kernel, "file", "the kernel, read-only", true, 1 }) &&
           add_fd(p, (struct fd_row){ -1, c->initramfs, "file", "the initramfs, read-only", true,
                                      c->initramfs[0] ? 1 : 0 });
}

static bool plan_backend_console(Bulkhead__ProcessPlan *p, const Bulkhead__ConsoleConfig *c)
{
    switch (c->mode) {
    case BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET:
        return add_fd(p,
                      (struct fd_row){ -1, c->path, "socket", "listens for a reader", true, 1 }) &&
               add_fd(p, (struct fd_row){ -1, "the reader", "socket", "one at a time", true, 1 });
    case BULKHEAD__CONSOLE_MODE__CONSOLE_FILE:
        return add_fd(p, (struct fd_row){ -1, "/dev/null", "char", "no input", true, 1 }) &&
               add_fd(p, (struct fd_row){ -1, c->path, "file", "takes the output", true, 1 });
    case BULKHEAD__CONSOLE_MODE__CONSOLE_PTY:
        return add_fd(p, (struct fd_row){ -1, "pty master", "char", "input and output", true, 2 });
    case BULKHEAD__CONSOLE_MODE__CONSOLE_TTY:
        return add_fd(p, (struct fd_row){ -1, "terminal", "char", "input and output", true, 2 });
    case BULKHEAD__CONSOLE_MODE__CONSOLE_OFF:
    case BULKHEAD__CONSOLE_MODE__CONSOLE_NULL:
    case _BULKHEAD__CONSOLE_MODE_IS_INT_SIZE:
    default:
        return add_fd(p, (struct fd_row){ -1, "/dev/null", "char", "input and output", true, 2 });
    }
}

static bool plan_backend_net(Bulkhead__ProcessPlan *p, const Bulkhead__NetConfig *n)
{
    if (strcmp(n->mode, "user") == 0)
        return add_fd(p, (struct fd_row){ -1, "stream to passt", "socket", "frames", true, 1 });
    return add_fd(p, (struct fd_row){ -1, "tap", "char", "frames", true, n->num_queues / 2 }) &&
           add_fd(p, (struct fd_row){ -1, "io_uring", "io_uring",
                                      "fenced to writing frames to the tap", true,
                                      n->disable_io_uring ? 0 : 1 });
}

static bool plan_backend(Bulkhead__ProcessPlan *p, const struct plan_device *d,
                         const Bulkhead__VmConfig *c)
{
    switch (d->role) {
    case BULKHEAD__ROLE__ROLE_BLK:
        return add_fd(p, (struct fd_row){ -1, c->disks[d->index]->path, "file",
                                          c->disks[d->index]->readonly ? "the disk, read-only"
                                                                       : "the disk",
                                          true, 1 }) &&
               add_fd(p, (struct fd_row){ -1, "io_uring", "io_uring",
                                          "fenced to the disk and a few operations", true,
                                          c->disks[d->index]->disable_io_uring ? 0 : 1 }) &&
               add_fd(p, (struct fd_row){ -1, "rate limit group", "memfd",
                                          "mapped: the bucket that its disks share", false,
                                          c->disks[d->index]->rate_limit_group[0] ? 1 : 0 });
    case BULKHEAD__ROLE__ROLE_CONSOLE:
        if (d->needs_ram)
            return plan_backend_console(p, c->console);
        return add_fd(p, (struct fd_row){ -1, "serial ring", "memfd", "mapped", false, 1 }) &&
               add_fd(p, (struct fd_row){ -1, "serial eventfds", "eventfd",
                                          "one for each direction", true, 2 }) &&
               plan_backend_console(p, c->serial);
    case BULKHEAD__ROLE__ROLE_NET:
        return plan_backend_net(p, c->nets[d->index]);
    case BULKHEAD__ROLE__ROLE_VSOCK:
        return add_fd(p, (struct fd_row){ -1, c->vsock->socket, "socket",
                                          "takes connections to the guest", true, 1 }) &&
               add_fd(p, (struct fd_row){ -1, "connections", "socket",
                                          c->vsock->service_port != 0
                                              ? "as many as its table holds; one port of the "
                                                "host's side is its service"
                                              : "as many as its table holds",
                                          true, PLAN_VSOCK_CONNECTIONS });
    case BULKHEAD__ROLE__ROLE_NONE:
    case BULKHEAD__ROLE__ROLE_BROKER:
    case BULKHEAD__ROLE__ROLE_SPAWNER:
    case BULKHEAD__ROLE__ROLE_CORE:
    case BULKHEAD__ROLE__ROLE_LOADER:
    case BULKHEAD__ROLE__ROLE_RNG:
    case BULKHEAD__ROLE__ROLE_BALLOON:
    case BULKHEAD__ROLE__ROLE_PASST:
    case BULKHEAD__ROLE__ROLE_HOLDER:
    case BULKHEAD__ROLE__ROLE_GATEWAY:
    case _BULKHEAD__ROLE_IS_INT_SIZE:
    default:
        return true;
    }
}

static bool plan_worker(Bulkhead__VmPlan *plan, const struct plan_device *d,
                        const Bulkhead__VmConfig *c, const struct plan_host *host)
{
    Bulkhead__ProcessPlan *p = add_process(plan, d->role, d->name);
    uint64_t tables = (uint64_t)d->num_queues * d->queue_size * QUEUE_ENTRY_BYTES;

    if (d->role == BULKHEAD__ROLE__ROLE_VSOCK)
        tables += (uint64_t)PLAN_VSOCK_CONNECTIONS * VSOCK_CONNECTION_BYTES;
    if (!p || !fill_child(p, host, d->uid_slot) || !add_memory_limits(p, tables))
        return false;
    limit_group(p, host, c, d->cache_bytes);
    p->ram_mapped = d->needs_ram ? c->memory->size : 0;
    if (!add_address_limit(p, p->ram_mapped, tables))
        return false;
    p->ram_writable = d->needs_ram;
    return add_profile(p, role_name(d->role)) &&
           add_fd(p, (struct fd_row){ -1, "guest RAM", "memfd", "mapped", false,
                                      d->needs_ram ? 1 : 0 }) &&
           add_fd(p, (struct fd_row){ -1, "stats page", "memfd", "mapped: counters, heartbeat",
                                      false, 1 }) &&
           add_fd(p, (struct fd_row){ -1, "life pipe, read end", "pipe",
                                      "leaves when the core is gone", true, 1 }) &&
           add_fd(p, (struct fd_row){ -1, "journal", "memfd", "mapped: what is in flight", false,
                                      d->num_queues ? 1 : 0 }) &&
           add_fd(p, (struct fd_row){ -1, "kick eventfds", "eventfd", "the guest has work", true,
                                      d->num_queues }) &&
           add_fd(p, (struct fd_row){ -1, "call eventfds", "eventfd", "interrupts the guest", true,
                                      d->num_queues }) &&
           add_fd(p, (struct fd_row){ -1, "event loop", "epoll", "waits for all of the above", true,
                                      1 }) &&
           plan_backend(p, d, c);
}

static bool plan_passt(Bulkhead__VmPlan *plan, const struct plan_device *d,
                       const Bulkhead__VmConfig *c, const struct plan_host *host)
{
    char name[PLAN_NAME_BYTES + 8];
    Bulkhead__ProcessPlan *p;

    if (d->passt_uid_slot == 0)
        return true;
    snprintf(name, sizeof name, "%s-passt", d->name);
    p = add_process(plan, BULKHEAD__ROLE__ROLE_PASST, name);
    if (!p)
        return false;
    fill_ids(p, host, d->passt_uid_slot);
    p->root = text("its own, empty");
    p->cgroup = cgroup_path(host, p->name);
    limit_group(p, host, c, 0);
    return add_namespaces(p, host, true) &&
           add_fd(p, (struct fd_row){ 3, "stream to the worker", "socket", "frames", true, 1 });
}

/* It is not a child of the VM's: whoever added the device started it, or the broker at the VM's start. */
static bool plan_holder(Bulkhead__VmPlan *plan, const struct plan_device *d,
                        const struct plan_host *host)
{
    char name[PLAN_NAME_BYTES + 8];
    Bulkhead__ProcessPlan *p;

    if (!d->has_holder)
        return true;
    snprintf(name, sizeof name, "%s-socket", d->name);
    p = add_process(plan, BULKHEAD__ROLE__ROLE_HOLDER, name);
    if (!p)
        return false;
    p->uid = d->holder_known ? d->holder_uid : host->uid;
    p->gid = d->holder_known ? d->holder_gid : host->gid;
    if (!d->holder_known)
        fill_ids(p, host, PLAN_UID_BROKER);
    p->root = text("the host's");
    p->cgroup = text("");
    return add_profile(p, "holder") && add_limit(p, "NPROC", "0") && add_limit(p, "CORE", "0") &&
           add_limit(p, "FSIZE", "0") &&
           add_fd(p, (struct fd_row){ 0, "/dev/null", "char", "nothing to read", true, 1 }) &&
           add_fd(p, (struct fd_row){ 1, "/dev/null", "char", "nothing to print", true, 1 }) &&
           add_fd(p, (struct fd_row){ 2, "/dev/null", "char", "nothing to say", true, 1 }) &&
           add_fd(p, (struct fd_row){ 3, "link", "socket", "what the broker asks, and its end",
                                      true, 1 }) &&
           add_fd(p, (struct fd_row){ 4, "folder", "directory", "of the socket", true, 1 }) &&
           add_fd(p, (struct fd_row){ 5, "socket", "other", "to know it again", true, 1 });
}

/* Nor is this: who started the VM started it. A descriptor that a client sent is there for a moment, and not in the plan. */
static bool plan_gateway(Bulkhead__VmPlan *plan, const struct plan_host *host)
{
    Bulkhead__ProcessPlan *p;

    if (host->gateway_pid == 0)
        return true;
    p = add_process(plan, BULKHEAD__ROLE__ROLE_GATEWAY, "gateway");
    if (!p)
        return false;
    p->uid = host->gateway_uid;
    p->gid = host->gateway_gid;
    p->root = text("empty, read-only");
    p->cgroup = text("");
    return add_namespaces(p, host, false) && add_profile(p, "gateway") &&
           add_limit(p, "NPROC", "0") && add_limit(p, "CORE", "0") && add_limit(p, "FSIZE", "0") &&
           add_fd(p, (struct fd_row){ 0, "/dev/null", "char", "nothing to read", true, 1 }) &&
           add_fd(p, (struct fd_row){ 1, "/dev/null", "char", "nothing to print", true, 1 }) &&
           add_fd(p, (struct fd_row){ 2, "log pipe", "pipe", "what it has to say", true, 1 }) &&
           add_fd(p, (struct fd_row){ 3, "starter", "socket", "hands it connections", true, 1 }) &&
           add_fd(p, (struct fd_row){ 4, "API", "socket", "its clients come here", true, 1 }) &&
           add_fd(p, (struct fd_row){ -1, "event loop", "epoll", "waits for all of these", true,
                                      1 }) &&
           add_fd(p, (struct fd_row){ -1, "connections", "socket",
                                      "clients, the broker, what opens devices", true,
                                      PLAN_GATEWAY_CONNECTIONS });
}

static bool plan_broker(Bulkhead__VmPlan *plan, const struct plan_host *host)
{
    static const Bulkhead__Role roles[] = { BULKHEAD__ROLE__ROLE_BROKER,
                                            BULKHEAD__ROLE__ROLE_SPAWNER };

    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        Bulkhead__ProcessPlan *p = add_process(plan, roles[i], role_name(roles[i]));

        if (!p)
            return false;
        p->uid = host->uid;
        p->gid = host->gid;
        if (roles[i] == BULKHEAD__ROLE__ROLE_BROKER)
            fill_ids(p, host, PLAN_UID_BROKER);
        p->root = text("the host's");
        p->cgroup = text("");
    }
    return add_profile(plan->processes[0], "broker");
}

static bool add_note(Bulkhead__VmPlan *plan, const char *note)
{
    return APPEND(plan->notes, plan->n_notes, MAX_NOTES, text(note));
}

static bool note_endless(Bulkhead__VmPlan *plan, const struct plan_device *d)
{
    char note[PLAN_NAME_BYTES + 128];

    if (plan_is_free(d) || d->cache_bytes != PLAN_CACHE_ENDLESS)
        return true;
    snprintf(note, sizeof note,
             "%s: no limit of memory: its file may be in memory itself (tmpfs), and grow", d->name);
    return add_note(plan, note);
}

/* What its control groups don't hold back. */
static bool note_limits(Bulkhead__VmPlan *plan, const struct plan *from,
                        const struct plan_host *host)
{
    bool memory = host->limits & SANDBOX_CGROUP_MEMORY, ok = true;

    if (host->cgroup[0] == '\0')
        return add_note(plan, "no cgroup is delegated: memory and process limits are rlimits "
                              "alone, and what an io_uring keeps has none");
    if (!memory)
        ok = add_note(plan, "cgroup limits: the memory controller doesn't reach the VM's group: "
                            "memory limits are rlimits alone, and what an io_uring keeps has none");
    if (!(host->limits & SANDBOX_CGROUP_PIDS))
        ok = ok && add_note(plan, "cgroup limits: the pids controller doesn't reach the VM's "
                                  "group: process limits are rlimits alone");
    for (unsigned i = 0; ok && memory && i < from->n_devices; i++)
        ok = note_endless(plan, &from->devices[i]);
    return ok;
}

static bool note_all(Bulkhead__VmPlan *plan, const struct plan *from, const struct plan_host *host)
{
    if (!host->root &&
        !add_note(plan, "not root: processes keep the caller's uid, each in a user namespace of "
                        "its own"))
        return false;
    if (host->userns_error != 0 &&
        !add_note(plan, "no user namespaces on this host: replaced, in each process, by a host "
                        "uid without capabilities"))
        return false;
    return note_limits(plan, from, host);
}

static bool add_vm_limits(Bulkhead__VmPlan *plan, const Bulkhead__VmConfig *c,
                          const struct plan_host *host)
{
    struct plan_vm_limit limits[PLAN_VM_LIMITS];
    const unsigned n = host->cgroup[0] != '\0' ? plan_vm_limits(c->limits, limits) : 0;

    plan->cgroup = text(host->cgroup);
    for (unsigned i = 0; i < n; i++) {
        Bulkhead__KeyValue *kv = key_value(limits[i].file, limits[i].value);

        if (!APPEND(plan->limits, plan->n_limits, PLAN_VM_LIMITS, kv))
            return false;
    }
    return plan->cgroup != NULL;
}

Bulkhead__VmPlan *plan_message(const struct plan *from, const Bulkhead__VmConfig *c,
                               const struct plan_host *host)
{
    Bulkhead__VmPlan *plan;
    bool ok;

    if (!(NEW(plan, bulkhead__vm_plan)))
        return NULL;
    plan->vm = text(c->name);
    ok = plan->vm && plan_broker(plan, host) && plan_core(plan, from, c, host) &&
         plan_loader(plan, c, host);
    for (unsigned i = 0; ok && i < from->n_devices; i++)
        ok = plan_is_free(&from->devices[i]) || (plan_worker(plan, &from->devices[i], c, host) &&
                                                 plan_passt(plan, &from->devices[i], c, host) &&
                                                 plan_holder(plan, &from->devices[i], host));
    ok = ok && plan_gateway(plan, host) && add_vm_limits(plan, c, host) &&
         note_all(plan, from, host);
    if (!ok) {
        bulkhead__vm_plan__free_unpacked(plan, NULL);
        return NULL;
    }
    return plan;
}
