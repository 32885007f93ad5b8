// SPDX-License-Identifier: Apache-2.0
// silent.c - see silent.h.
#include "silent.h"
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 30000 };

static _Noreturn void serve(int fuse, int asked)
{
    static char request[1 << 17];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        const struct fuse_in_header *in = (const void *)request;
        struct {
            struct fuse_out_header h;
            struct fuse_init_out init;
        } out = { .h = { .len = sizeof(out) },
                  .init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION } };

        if (read(fuse, request, sizeof(request)) <= 0)
            _exit(0);
        out.h.unique = in->unique;
        if (in->opcode == FUSE_INIT ? write(fuse, &out, sizeof(out)) < 0 : write(asked, "x", 1) < 0)
            _exit(1);
    }
}

bool silent_begin(struct silent *silent, const char *dir)
{
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC), asked[2];
    char options[128];

    if (fuse < 0 || unshare(CLONE_NEWNS) < 0) {
        assert_true(geteuid() != 0);
        close(fuse);
        return false;
    }
    snprintf(silent->dir, sizeof(silent->dir), "%s", dir);
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("silent", dir, "fuse", MS_NOSUID | MS_NODEV, options), 0);
    assert_int_equal(pipe2(asked, O_CLOEXEC | O_NONBLOCK), 0);
    silent->server = fork();
    if (silent->server == 0) {
        close(asked[0]);
        serve(fuse, asked[1]);
    }
    assert_true(silent->server > 0);
    close(fuse);
    close(asked[1]);
    silent->asked = asked[0];
    return true;
}

void silent_await(const struct silent *silent)
{
    struct pollfd p = { .fd = silent->asked, .events = POLLIN };

    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
}

void silent_end(const struct silent *silent)
{
    kill(silent->server, SIGKILL);
    assert_int_equal(waitpid(silent->server, NULL, 0), silent->server);
    assert_int_equal(umount2(silent->dir, MNT_DETACH), 0);
    assert_int_equal(rmdir(silent->dir), 0);
    close(silent->asked);
}
