// SPDX-License-Identifier: Apache-2.0
// checks.c - KVM, networking, memory, installation.
#include "doctor/checks.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "client.h"
#include "client/rundir.h"
#include "in_child.h"
#include "process_info.h"

enum { KVM_CHECK_TIMEOUT_MS = 20000 };

/* Runs the checker and reads what it prints until it ends or falls silent for too long. */
static int run_kvm_check(char *text, size_t size)
{
    cleanup_(fd_closep) int out = -1;
    char program[1100];
    int pipe_fds[2];
    size_t n = 0;
    pid_t pid;

    if (client_find_program("bulkhead-kvm-check", program, sizeof(program)) < 0 ||
        pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -2;
    out = pipe_fds[0];
    pid = fork();
    if (pid == 0) {
        char *argv[] = { program, NULL };

        if (dup2(pipe_fds[1], 1) >= 0)
            execv(program, argv);
        _exit(127);
    }
    close(pipe_fds[1]);
    while (pid > 0 && n + 1 < size) {
        struct pollfd p = { .fd = out, .events = POLLIN };
        ssize_t got;

        if (poll(&p, 1, KVM_CHECK_TIMEOUT_MS) <= 0)
            break;
        got = read(out, text + n, size - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    text[n] = '\0';
    return pid < 0 ? -2 : in_child_reap(pid, 1000, -1);
}

void doctor_kvm(struct doctor_result *result)
{
    char text[4096] = "";
    int status = run_kvm_check(text, sizeof(text));
    json_t *answer = json_loads(text, 0, NULL);
    const char *detail = json_string_value(json_object_get(answer, "detail"));
    const char *cure = json_string_value(json_object_get(answer, "cure"));

    if (status == -2)
        doctor_missing(result, false, "bulkhead-kvm-check is not installed beside bulkhead",
                       "install Bulkhead whole (cmake --install)");
    else if (status == 0 && detail)
        doctor_ok(result, "%s", detail);
    else if (detail && cure)
        doctor_missing(result, false, detail, cure);
    else
        doctor_missing(
            result, false, "the check hung or died: this KVM can't run a guest",
            "run on a machine (or nested VM) with a working KVM, or inside tests/host/run");
    json_decref(answer);
}

void doctor_tun(struct doctor_result *result)
{
    cleanup_(fd_closep) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    unsigned features = 0;

    if (fd >= 0 && ioctl(fd, TUNGETFEATURES, &features) == 0 && features & IFF_VNET_HDR)
        doctor_ok(result, "/dev/net/tun opens%s",
                  features & IFF_MULTI_QUEUE ? ", several queues" : "");
    else
        doctor_missing(result, true,
                       "/dev/net/tun can't be opened: no tap devices (--net user works without)",
                       "modprobe tun, and the right to open /dev/net/tun");
}

void doctor_passt(struct doctor_result *result)
{
    const char *path = getenv("PATH");
    char candidate[1024];

    for (const char *p = path ? path : "/usr/bin:/bin"; *p; p += strspn(p, ":")) {
        size_t len = strcspn(p, ":");

        if (len > 0 &&
            snprintf(candidate, sizeof(candidate), "%.*s/passt", (int)len, p) <
                (int)sizeof(candidate) &&
            access(candidate, X_OK) == 0) {
            doctor_ok(result, "%.200s", candidate);
            return;
        }
        p += len;
    }
    doctor_missing(result, true, "passt is not in PATH: no --net user", "apt-get install passt");
}

void doctor_hugepages(struct doctor_result *result)
{
    char total[32] = "0";
    char free_pages[32] = "0";

    if (process_read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", total,
                     sizeof(total)) < 0)
        snprintf(total, sizeof(total), "0");
    if (process_read("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", free_pages,
                     sizeof(free_pages)) < 0)
        snprintf(free_pages, sizeof(free_pages), "0");
    if (atol(total) > 0)
        doctor_ok(result, "%ld of %ld 2 MiB pages are free", atol(free_pages), atol(total));
    else
        doctor_missing(result, true, "none are reserved: --memory hugepages=on won't start",
                       "sysctl vm.nr_hugepages=N (2 MiB each)");
}

/* A folder is made, and taken away, in the nearest one that is there. */
void doctor_rundir(struct doctor_result *result)
{
    char path[512], probe[600], detail[320];
    char *slash;

    if (rundir_base(path, sizeof(path)) < 0) {
        doctor_missing(result, false, "its path is too long", "set BULKHEAD_RUNDIR to a short one");
        return;
    }
    snprintf(detail, sizeof(detail), "%.300s", path);
    while (access(path, F_OK) < 0 && (slash = strrchr(path, '/')) != NULL && slash != path)
        *slash = '\0';
    snprintf(probe, sizeof(probe), "%s/.bulkhead-doctor-%d", path, (int)getpid());
    if (mkdir(probe, 0700) == 0) {
        rmdir(probe);
        doctor_ok(result, "%s", detail);
        return;
    }
    snprintf(detail, sizeof(detail), "no folder can be made in %.200s: %s", path, strerror(errno));
    doctor_missing(result, false, detail, "set BULKHEAD_RUNDIR to a folder where one can");
}

void doctor_programs(struct doctor_result *result)
{
    static const char *const names[] = {
        "bulkhead-broker",  "bulkhead-core",      "bulkhead-loader",
        "bulkhead-dev-blk", "bulkhead-dev-rng",   "bulkhead-dev-console",
        "bulkhead-dev-net", "bulkhead-dev-vsock", "bulkhead-dev-balloon",
    };
    char path[1100];
    char missing[256] = "";

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t n = strlen(missing);

        if (client_find_program(names[i], path, sizeof(path)) < 0)
            snprintf(missing + n, sizeof(missing) - n, "%s%s", n ? ", " : "not found: ", names[i]);
    }
    if (missing[0])
        doctor_missing(result, false, missing,
                       "install Bulkhead whole (cmake --install), or build every target");
    else
        doctor_ok(result, "all of them are beside this program");
}
