/* SPDX-License-Identifier: Apache-2.0 */
/* memfd_noexec.c - runs a command as a kernel of 6.3 to 6.5 would with vm.memfd_noexec=2, whatever this one is: a
 * memfd that is not asked for with MFD_NOEXEC_SEAL is refused. Needs root. usage: memfd_noexec PROGRAM [ARGUMENT]... */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOEXEC_SEAL = 8, NAME_BYTES = 250 };

static void read_name(const struct seccomp_notif *call, char name[static NAME_BYTES])
{
    char path[48];
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%u/mem", call->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : pread(fd, name, NAME_BYTES - 1, (off_t)call->data.args[0]);
    name[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The file is made here, where no filter is, and given to who asked. */
static void answer(int listener, const struct seccomp_notif *call)
{
    struct seccomp_notif_resp refusal = { .id = call->id, .error = -EINVAL };
    struct seccomp_notif_addfd given = { .id = call->id, .flags = SECCOMP_ADDFD_FLAG_SEND };
    unsigned flags = (unsigned)call->data.args[1];
    char name[NAME_BYTES];
    int fd = -1;

    if (flags & NOEXEC_SEAL) {
        read_name(call, name);
        fd = memfd_create(name, (flags & ~(unsigned)NOEXEC_SEAL) | MFD_ALLOW_SEALING);
    }
    if (fd < 0) {
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &refusal);
        return;
    }
    fchmod(fd, 0666);
    given.srcfd = (uint32_t)fd;
    given.newfd_flags = flags & MFD_CLOEXEC ? O_CLOEXEC : 0;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &given);
    close(fd);
}

/* Until nobody has the filter any more. */
static void serve(int listener)
{
    struct pollfd poll_fd = { .fd = listener, .events = POLLIN };

    while (poll(&poll_fd, 1, -1) > 0 || errno == EINTR) {
        struct seccomp_notif call = { 0 };

        if (poll_fd.revents & POLLIN && ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) == 0)
            answer(listener, &call);
        else if (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL))
            return;
    }
}

static int filter(void)
{
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = 4, .filter = code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

/* A grandchild takes the listener by its number in the command's table: no child of the command's stays. */
static void start_server(int numbers[2], pid_t command)
{
    int pidfd, remote, listener;

    if (fork() != 0)
        _exit(0);
    setsid();
    close(numbers[1]);
    pidfd = (int)syscall(SYS_pidfd_open, command, 0);
    if (read(numbers[0], &remote, sizeof remote) != sizeof remote)
        _exit(1);
    listener = (int)syscall(SYS_pidfd_getfd, pidfd, remote, 0);
    if (write(numbers[0], &listener, sizeof listener) != sizeof listener)
        _exit(1);
    for (int fd = 0; fd < 64; fd++)
        if (fd != listener)
            close(fd);
    if (listener >= 0)
        serve(listener);
    _exit(0);
}

int main(int argc, char **argv)
{
    int numbers[2], listener, taken = -1;
    pid_t child;

    if (argc < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, numbers) < 0)
        return 125;
    child = fork();
    if (child == 0)
        start_server(numbers, getppid());
    waitpid(child, NULL, 0);
    close(numbers[0]);
    listener = filter();
    if (listener < 0 || write(numbers[1], &listener, sizeof listener) != sizeof listener ||
        read(numbers[1], &taken, sizeof taken) != sizeof taken || taken < 0) {
        fprintf(stderr, "memfd_noexec: no filter: %s\n", strerror(errno));
        return 125;
    }
    close(listener);
    close(numbers[1]);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
