// SPDX-License-Identifier: Apache-2.0
// process_info.c - reading /proc.
#include "process_info.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/fd.h"
#include "in_child.h"

enum { MEMORY_MS = 2000 };

long process_read(const char *path, char *dst, size_t size)
{
    cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;

    if (fd < 0)
        return -errno;
    while (n + 1 < size) {
        ssize_t got = read(fd, dst + n, size - 1 - n);

        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    dst[n] = '\0';
    return (long)n;
}

long process_read_pid(pid_t pid, const char *file, char *dst, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    return process_read(path, dst, size);
}

bool process_field(const char *text, const char *key, char *dst, size_t size)
{
    size_t len = strlen(key);

    for (const char *line = text; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *value = line + len + 1;
        size_t n;

        if (strncmp(line, key, len) != 0 || line[len] != ':')
            continue;
        while (*value == ' ' || *value == '\t')
            value++;
        n = strcspn(value, "\n");
        while (n > 0 && isspace((unsigned char)value[n - 1]))
            n--;
        n = MIN(n, size - 1);
        memcpy(dst, value, n);
        dst[n] = '\0';
        return true;
    }
    return false;
}

/* "7f00-7f10 rw-p 00000000 00:01 42   /memfd:guest-ram (deleted)" */
static void on_mapping(const char *line, struct process_memory *m, bool *is_guest)
{
    unsigned long long start = 0, end = 0;
    char rights[8] = "";
    bool write, exec;

    if (sscanf(line, "%llx-%llx %7s", &start, &end, rights) != 3)
        return;
    write = rights[1] == 'w';
    exec = rights[2] == 'x';
    *is_guest = strstr(line, "/memfd:guest-ram") || strstr(line, "/anon_hugepage:guest-ram");
    if (write && exec)
        m->write_exec++;
    if (*is_guest && rights[0] == 'r') {
        m->guest_mapped += end - start;
        m->guest_writable |= write;
        m->guest_executable |= exec;
    }
}

struct memory_of {
    pid_t pid;
    struct process_memory memory;
};

/* Exit status 0: it has. */
static int read_memory(void *arg)
{
    struct memory_of *of = arg;
    struct process_memory m = { 0 };
    bool is_guest = false;
    char path[64];
    char line[4608];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)of->pid);
    file = fopen(path, "re");
    if (!file)
        return 1;
    while (fgets(line, sizeof(line), file)) {
        m.known = true;
        if (isdigit((unsigned char)line[0]) || (line[0] >= 'a' && line[0] <= 'f'))
            on_mapping(line, &m, &is_guest);
        else if (strncmp(line, "Pss:", 4) == 0)
            *(is_guest ? &m.guest_pss : &m.own_pss) += strtoull(line + 4, NULL, 10) << 10;
    }
    fclose(file);
    of->memory = m;
    return 0;
}

/* It waits while that process changes what it has mapped, which it does as long as it likes: so a child does. */
void process_memory(pid_t pid, struct process_memory *ret_memory)
{
    struct memory_of *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    *ret_memory = (struct process_memory){ 0 };
    if (shared == MAP_FAILED)
        return;
    shared->pid = pid;
    if (in_child_alone(read_memory, shared, MEMORY_MS) == 0)
        *ret_memory = shared->memory;
    munmap(shared, sizeof(*shared));
}

void process_time(pid_t pid, struct process_time *ret_time)
{
    unsigned long long user = 0, sys = 0;
    long threads = 0;
    char text[1024];
    const char *p;

    *ret_time = (struct process_time){ 0 };
    if (process_read_pid(pid, "stat", text, sizeof(text)) < 0)
        return;
    /* The name may hold blanks and brackets: fields count from the last bracket. */
    p = strrchr(text, ')');
    if (!p ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %ld",
               &user, &sys, &threads) != 3)
        return;
    *ret_time =
        (struct process_time){ .known = true, .ticks = user + sys, .threads = (unsigned)threads };
}

int process_count_fds(pid_t pid)
{
    struct dirent *entry;
    char path[64];
    int n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    if (!dir)
        return -1;
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* "lock:\t1: OFDLCK  ADVISORY  WRITE -1 00:1a:4711 0 EOF" */
static bool names_lock(const char *fdinfo, const char *end)
{
    for (const char *line = strstr(fdinfo, "lock:"); line; line = strstr(line + 1, "lock:")) {
        const char *at = strstr(line, end);

        if (at && at < line + strcspn(line, "\n"))
            return true;
    }
    return false;
}

int process_holds_lock(pid_t pid, int file)
{
    struct dirent *entry;
    char path[64], text[2048], end[64];
    struct statfs fs;
    struct stat st;
    bool held = false;
    DIR *dir;

    if (fstat(file, &st) < 0 || fstatfs(file, &fs) < 0)
        return -errno;
    /* btrfs has one number of the device there and tells another; so has an overlay of two file systems. */
    if (fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC)
        snprintf(end, sizeof(end), ":%llu ", (unsigned long long)st.st_ino);
    else
        snprintf(end, sizeof(end), " %02x:%02x:%llu ", major(st.st_dev), minor(st.st_dev),
                 (unsigned long long)st.st_ino);
    snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
    dir = opendir(path);
    if (!dir)
        return -errno;
    while (!held && (entry = readdir(dir)) != NULL) {
        cleanup_(fd_closep) int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 || entry->d_name[0] == '.' ? -1 : read(fd, text, sizeof(text) - 1);

        text[MAX(n, 0)] = '\0';
        held = names_lock(text, end);
    }
    closedir(dir);
    return held;
}
