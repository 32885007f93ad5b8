/* SPDX-License-Identifier: Apache-2.0 */
/* cpus.c - see cpus.h. The kernel lists them nowhere, but cuts a set of all CPUs down to them. That is tried by a child,
 * since the kernel would remember the set that the caller goes back to as its own wish. */
#include "resources/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"

/* As much as a kernel can be built for; one that has room for more CPUs than fit refuses to say. */
enum { ASK_BYTES = 1024 };

static void tell(int fd)
{
    static cpu_set_t all[ASK_BYTES / sizeof(cpu_set_t)], is[ASK_BYTES / sizeof(cpu_set_t)];
    uint8_t bits[CPU_BITS_BYTES] = { 0 };

    memset(all, 0xff, sizeof all);
    if (sched_setaffinity(0, sizeof all, all) < 0 || sched_getaffinity(0, sizeof is, is) < 0)
        return;
    for (unsigned cpu = 0; cpu < CPU_BITS_MAX; cpu++)
        if (CPU_ISSET_S(cpu, sizeof is, is))
            cpu_bits_add(bits, cpu);
    (void)!write(fd, bits, sizeof bits);
}

int resources_host_cpus(uint8_t ret_bits[CPU_BITS_BYTES])
{
    cleanup_(fd_closep) int from = -1, to = -1;
    int ends[2];
    ssize_t n;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_origin(-errno, "pipe2");
    from = ends[0];
    to = ends[1];
    pid = fork();
    if (pid < 0)
        return err_origin(-errno, "fork");
    if (pid == 0) {
        tell(to);
        _exit(0);
    }
    fd_closep(&to);
    do
        n = read(from, ret_bits, CPU_BITS_BYTES);
    while (n < 0 && errno == EINTR);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return n == CPU_BITS_BYTES ? 0 : err_origin(-EIO, "which CPUs can be used");
}
