/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.c - see cgroup.h. */
#include "sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

/* What a process is limited in; a whole VM may be in more. */
enum { OF_A_PROCESS = SANDBOX_CGROUP_PIDS | SANDBOX_CGROUP_MEMORY };

static void file_closep(FILE **f)
{
    if (*f)
        fclose(*f);
}

static void free_linep(char **line)
{
    free(*line);
}

/* The rest of the first line of `path` that starts with `prefix`, without its newline. */
static int find_line(const char *path, const char *prefix, char *ret_rest, size_t size)
{
    cleanup_(file_closep) FILE *f = fopen(path, "re");
    cleanup_(free_linep) char *line = NULL;
    size_t len = 0;

    if (!f)
        return SANDBOX_CGROUP_E_NONE;
    while (getline(&line, &len, f) > 0) {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        if (snprintf(ret_rest, size, "%s", line + strlen(prefix)) >= (int)size)
            return SANDBOX_CGROUP_E_NONE;
        return 0;
    }
    return SANDBOX_CGROUP_E_NONE;
}

/* Where cgroup2 is mounted: the fifth field of the line of mountinfo with that type. Paths with
 * escaped spaces are not looked for: no distribution mounts cgroups there. */
static int find_mount(char *ret_path, size_t size)
{
    cleanup_(file_closep) FILE *f = fopen("/proc/self/mountinfo", "re");
    cleanup_(free_linep) char *line = NULL;
    size_t len = 0;

    if (!f)
        return SANDBOX_CGROUP_E_NONE;
    while (getline(&line, &len, f) > 0) {
        char *save = NULL, *field;
        int i;

        if (!strstr(line, " - cgroup2 "))
            continue;
        field = strtok_r(line, " ", &save);
        for (i = 1; i < 5 && field; i++)
            field = strtok_r(NULL, " ", &save);
        if (field && snprintf(ret_path, size, "%s", field) < (int)size)
            return 0;
    }
    return SANDBOX_CGROUP_E_NONE;
}

/* The group that a file like /proc/self/cgroup names. */
static int open_named(const char *file, char *ret_name, size_t size, int *ret_fd)
{
    char mount[PATH_MAX / 2], path[PATH_MAX];

    if (find_mount(mount, sizeof mount) != 0 || find_line(file, "0::", ret_name, size) != 0 ||
        strstr(ret_name, "..") ||
        snprintf(path, sizeof path, "%s%s", mount, ret_name) >= (int)sizeof path)
        return SANDBOX_CGROUP_E_NONE;
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? SANDBOX_CGROUP_E_NONE : 0;
}

int sandbox_cgroup_open(pid_t pid, int *ret_fd)
{
    char file[32], name[PATH_MAX / 2];

    snprintf(file, sizeof file, "/proc/%d/cgroup", (int)pid);
    return open_named(file, name, sizeof name, ret_fd);
}

int sandbox_cgroup_find(int *ret_base_fd, char *ret_path, size_t size)
{
    cleanup_(fd_closep) int fd = -1;

    /* CLONE_INTO_CGROUP needs write access to cgroup.procs of the common ancestor too. */
    if (open_named("/proc/self/cgroup", ret_path, size, &fd) != 0 ||
        faccessat(fd, ".", W_OK, AT_EACCESS) < 0 ||
        faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) < 0)
        return SANDBOX_CGROUP_E_NONE;
    *ret_base_fd = fd_take(&fd);
    return 0;
}

int sandbox_cgroup_read_all(int group_fd, const char *file, char *dst, size_t size)
{
    cleanup_(fd_closep) int fd = openat(group_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, dst, size - 1);

    if (n < 0)
        return -errno;
    dst[n] = '\0';
    return 0;
}

int sandbox_cgroup_read(int group_fd, const char *file, char *dst, size_t size)
{
    int r = sandbox_cgroup_read_all(group_fd, file, dst, size);

    if (r == 0)
        dst[strcspn(dst, "\n")] = '\0';
    return r;
}

static int write_file(int dir_fd, const char *name, const char *text)
{
    cleanup_(fd_closep) int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return -errno;
    return 0;
}

int sandbox_cgroup_write(int group_fd, const char *file, const char *text)
{
    return write_file(group_fd, file, text);
}

static int write_limit(int dir_fd, const char *name, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return write_file(dir_fd, name, text);
}

static const struct {
    const char *name;
    unsigned kind;
} controllers[] = {
    { "pids", SANDBOX_CGROUP_PIDS },     { "memory", SANDBOX_CGROUP_MEMORY },
    { "cpu", SANDBOX_CGROUP_CPU },       { "io", SANDBOX_CGROUP_IO },
    { "cpuset", SANDBOX_CGROUP_CPUSET },
};

unsigned sandbox_cgroup_controllers(int group_fd)
{
    cleanup_(fd_closep) int fd = openat(group_fd, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
    cleanup_(file_closep) FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    unsigned kinds = 0;
    char name[32];

    if (f)
        fd = -1;
    while (f && fscanf(f, "%31s", name) == 1) {
        for (unsigned i = 0; i < ARRAY_SIZE(controllers); i++)
            kinds |= strcmp(name, controllers[i].name) == 0 ? controllers[i].kind : 0;
    }
    return kinds;
}

/* How many processes are in the group itself, and how many of these are neither the caller nor its
 * parent, which may be in another group. */
static int count_processes(int group_fd, unsigned *ret_others, bool *ret_parent)
{
    cleanup_(fd_closep) int fd = openat(group_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    cleanup_(file_closep) FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    int pid, n = 0;

    *ret_others = 0;
    *ret_parent = false;
    if (!f)
        return -EACCES;
    fd = -1;
    for (; fscanf(f, "%d", &pid) == 1; n++) {
        *ret_others += pid != getpid() && pid != getppid();
        *ret_parent |= pid == getppid();
    }
    return n;
}

/* False: processes forbid it. Only the root, which has no type, may have both processes and groups
 * with controllers; elsewhere the kernel takes +pids even so, and the groups below can't be used. */
static bool hand_down(int base_fd, unsigned kinds)
{
    char add[16];
    unsigned others;
    bool parent;

    if (faccessat(base_fd, "cgroup.type", F_OK, 0) == 0 &&
        count_processes(base_fd, &others, &parent) != 0)
        return false;
    /* One by one: a host may have one controller and not the other. What can't be had leaves a
     * group without that limit, which still can be killed and counted as one. */
    for (unsigned i = 0; i < ARRAY_SIZE(controllers); i++) {
        snprintf(add, sizeof add, "+%s", controllers[i].name);
        if (kinds & controllers[i].kind)
            (void)write_file(base_fd, "cgroup.subtree_control", add);
    }
    return true;
}

void sandbox_cgroup_hand_down(int base_fd, unsigned kinds)
{
    (void)hand_down(base_fd, kinds);
}

void sandbox_cgroup_delegate(int base_fd, const char *leaf)
{
    cleanup_(fd_closep) int fd = -1;
    bool parent;
    unsigned others;
    char pid[16];

    if (hand_down(base_fd, OF_A_PROCESS) || count_processes(base_fd, &others, &parent) < 0 ||
        others != 0 || (mkdirat(base_fd, leaf, 0755) < 0 && errno != EEXIST))
        return;
    fd = openat(base_fd, leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    snprintf(pid, sizeof pid, "%d", (int)getppid());
    if (fd >= 0 && write_file(fd, "cgroup.procs", "0") == 0 &&
        (!parent || write_file(fd, "cgroup.procs", pid) == 0))
        hand_down(base_fd, OF_A_PROCESS);
}

void sandbox_cgroup_undelegate(int base_fd, const char *leaf)
{
    if (faccessat(base_fd, leaf, F_OK, 0) < 0)
        return;
    (void)write_file(base_fd, "cgroup.subtree_control", "-memory");
    (void)write_file(base_fd, "cgroup.subtree_control", "-pids");
    if (write_file(base_fd, "cgroup.procs", "0") == 0)
        (void)unlinkat(base_fd, leaf, AT_REMOVEDIR);
}

bool sandbox_cgroup_is_kernels(const char *name)
{
    static const char *const owners[] = { "cgroup", "cpu",  "cpuset", "cpuacct", "debug",
                                          "dmem",   "io",   "irq",    "memory",  "hugetlb",
                                          "misc",   "pids", "rdma",   "devices", "perf_event" };
    size_t len = strcspn(name, ".");

    for (unsigned i = 0; i < ARRAY_SIZE(owners) && name[len] != '\0'; i++)
        if (strlen(owners[i]) == len && strncmp(owners[i], name, len) == 0)
            return true;
    return false;
}

int sandbox_cgroup_create(int base_fd, const char *name, const struct sandbox_cgroup_limits *limits,
                          int *ret_fd, unsigned *ret_in_force)
{
    cleanup_(fd_closep) int fd = -1;
    unsigned in_force = 0;
    bool high, max;

    if (strchr(name, '/') || name[0] == '.' || name[0] == '\0' || sandbox_cgroup_is_kernels(name))
        return err_origin(-EINVAL, "cgroup name \"%s\"", name);
    if (mkdirat(base_fd, name, 0755) < 0 && errno != EEXIST)
        return err_origin(-errno, "cgroup %s", name);
    fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_origin(-errno, "cgroup %s", name);
    hand_down(base_fd, OF_A_PROCESS);
    if (limits->pids_max && write_limit(fd, "pids.max", limits->pids_max) == 0)
        in_force |= SANDBOX_CGROUP_PIDS;
    high = limits->memory_high_bytes == 0 ||
           write_limit(fd, "memory.high", limits->memory_high_bytes) == 0;
    max = limits->memory_max_bytes == 0 ||
          write_limit(fd, "memory.max", limits->memory_max_bytes) == 0;
    if ((limits->memory_high_bytes || limits->memory_max_bytes) && high && max)
        in_force |= SANDBOX_CGROUP_MEMORY;
    *ret_fd = fd_take(&fd);
    *ret_in_force = in_force;
    return 0;
}

int sandbox_cgroup_open_kill(int fd)
{
    return openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
}

int sandbox_cgroup_kill(int kill_fd)
{
    return write(kill_fd, "1", 1) < 0 ? err_origin(-errno, "cgroup.kill") : 0;
}

int sandbox_cgroup_remove(int base_fd, const char *name)
{
    return unlinkat(base_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}
