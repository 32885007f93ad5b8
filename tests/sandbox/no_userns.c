/* SPDX-License-Identifier: Apache-2.0 */
/* no_userns.c - runs a command as root of a host that makes no user namespaces, as far as it can
 * tell: in a user namespace that has all ids of its parent's and a limit of none below it. Nothing
 * of the machine is changed. usage: no_userns PROGRAM [ARGUMENT]... */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    if (r < 0)
        fprintf(stderr, "no_userns: %s: %s\n", path, strerror(-r));
    return r;
}

/* One line that gives every id of this namespace to the next, by the same numbers. */
static int map_all(pid_t pid, const char *name)
{
    unsigned inside, outside, count;
    char path[64], map[64];
    FILE *f;
    int n;

    snprintf(path, sizeof path, "/proc/self/%s", name);
    f = fopen(path, "re");
    n = f ? fscanf(f, "%u %u %u", &inside, &outside, &count) : 0;
    if (f)
        fclose(f);
    if (n != 3)
        return -EINVAL;
    snprintf(map, sizeof map, "%u %u %u", inside, inside, count);
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return put(path, map);
}

/* In the clone; the maps are written by the parent, which says so on the pipe. */
static int run(char **argv, int mapped_fd)
{
    char byte;

    if (read(mapped_fd, &byte, 1) != 1 || syscall(SYS_setgroups, 0, NULL) < 0 ||
        put("/proc/sys/user/max_user_namespaces", "0") < 0)
        return 125;
    close(mapped_fd);
    execvp(argv[0], argv);
    perror(argv[0]);
    return 127;
}

int main(int argc, char **argv)
{
    int pipe_fds[2], ready_fds[2], status = 0;
    char byte = 0;
    pid_t pid;

    if (argc < 2 || geteuid() != 0 || pipe2(pipe_fds, O_CLOEXEC) < 0 ||
        pipe2(ready_fds, O_CLOEXEC) < 0) {
        fprintf(stderr, "usage, as root: no_userns PROGRAM [ARGUMENT]...\n");
        return 125;
    }
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWUSER) < 0 || write(ready_fds[1], &byte, 1) != 1) {
            perror("no_userns: unshare");
            _exit(125);
        }
        close(pipe_fds[1]);
        _exit(run(argv + 1, pipe_fds[0]));
    }
    close(ready_fds[1]);
    if (pid < 0 || read(ready_fds[0], &byte, 1) != 1 || map_all(pid, "uid_map") < 0 ||
        map_all(pid, "gid_map") < 0 || write(pipe_fds[1], &byte, 1) != 1)
        status = 125 << 8;
    close(pipe_fds[1]); /* without the byte it gives up */
    while (pid > 0 && waitpid(pid, status ? NULL : &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
