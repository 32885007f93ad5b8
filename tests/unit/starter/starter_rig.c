/* SPDX-License-Identifier: Apache-2.0 */
/* starter_rig.c - see starter_rig.h. */
#include "starter_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "host.pb-c.h"
#include "hostd/starter/starter.h"
#include "sandbox/cgroup.h"
#include "temp_dir.h"
#include <cmocka.h>

/* ---- the starter's process ---- */

static void path_in(const struct starter_rig *rig, const char *name, char *dst, size_t size)
{
    assert_true(snprintf(dst, size, "%s/%s", rig->dir, name) < (int)size);
}

struct starter_rig *rig_new(void)
{
    static const char *const names[][2] = { { "BULKHEAD_HOST_RUN", "run" },
                                            { "BULKHEAD_HOST_STATE", "state" },
                                            { "BULKHEAD_HOST_CONFIG", "etc" } };
    struct starter_rig *rig = calloc(1, sizeof *rig);
    char path[128];

    assert_non_null(rig);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* of whatever a starter leaves */
    rig->bytes = malloc(RIG_MAX_BYTES);
    assert_true(temp_dir(rig->dir, sizeof rig->dir, "bulkhead-starter"));
    assert_int_equal(chmod(rig->dir, 0755), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        path_in(rig, names[i][1], path, sizeof path);
        assert_int_equal(setenv(names[i][0], path, 1), 0);
    }
    assert_int_equal(mkdir(path, 0755), 0);
    rig->fd = rig->life = -1;
    return rig;
}

/* Stands for hostd until the test lets it go. */
static _Noreturn void be_hostd(int life)
{
    char byte;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)!read(life, &byte, 1);
    _exit(0);
}

static _Noreturn void be_starter(int fd, int life)
{
    struct starter *starter = NULL;
    struct fault f = { 0 };
    pid_t hostd;

    log_init("starter", LOG_LEVEL_WARN);
    if (starter_new(&starter, &f) < 0) {
        fprintf(stderr, "%s\n", f.text);
        _exit(RIG_REFUSED);
    }
    hostd = fork();
    if (hostd == 0) {
        close(fd);
        be_hostd(life);
    }
    close(life);
    fd = starter_serve(starter, fd, hostd);
    starter_free(starter);
    _exit(fd);
}

void rig_start(struct starter_rig *rig)
{
    int pair[2], life[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    rig->pid = fork();
    assert_true(rig->pid >= 0);
    if (rig->pid == 0) {
        close(pair[0]);
        close(life[1]);
        be_starter(pair[1], life[0]);
    }
    close(pair[1]);
    close(life[0]);
    rig->fd = pair[0];
    rig->life = life[1];
    assert_int_equal(rig_ask(rig, STARTER_TERMS, "", ""), 0);
}

int rig_try_start(void)
{
    int pair[2], life[2], status = 0;
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        close(pair[0]);
        close(life[1]);
        be_starter(pair[1], life[0]);
    }
    close(pair[0]);
    close(pair[1]);
    close(life[0]);
    close(life[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int reap(struct starter_rig *rig)
{
    int status = 0;

    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    rig->pid = 0;
    fd_closep(&rig->fd);
    return status;
}

void rig_kill(struct starter_rig *rig)
{
    assert_int_equal(kill(rig->pid, SIGKILL), 0);
    (void)reap(rig);
    fd_closep(&rig->life);
}

int rig_stop(struct starter_rig *rig)
{
    fd_closep(&rig->life);
    fd_closep(&rig->fd);
    return reap(rig);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void await_all(void)
{
    pid_t pid = 0;

    for (int ms = 0; pid >= 0 && ms < RIG_PATIENCE_MS; ms++) {
        pid = waitpid(-1, NULL, WNOHANG);
        (void)poll(NULL, 0, pid == 0);
    }
    if (pid >= 0)
        fail_msg("a process is left");
}

/* Of this rig's VMs. */
static void expect_no_groups(const struct starter_rig *rig)
{
    char path[512], prefix[64];
    struct dirent *entry;
    struct stat st;
    int fd = -1;
    DIR *dir;

    path_in(rig, "run/vms", path, sizeof path);
    if (stat(path, &st) < 0 || sandbox_cgroup_find(&fd, path, sizeof path) != 0)
        return;
    snprintf(prefix, sizeof prefix, "vm:%llx.%llx:", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    dir = fdopendir(fd);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            fail_msg("the control group %s is left", entry->d_name);
    closedir(dir);
}

void rig_free(struct starter_rig *rig)
{
    if (rig->pid != 0)
        assert_int_equal(rig_stop(rig), 0);
    await_all();
    expect_no_groups(rig);
    assert_int_equal(nftw(rig->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(rig->bytes);
    free(rig);
}

void rig_write(const struct starter_rig *rig, const char *path, const void *bytes, size_t len,
               unsigned mode)
{
    char full[256];
    int fd;

    path_in(rig, path, full, sizeof full);
    (void)unlink(full);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

bool rig_exists(const struct starter_rig *rig, const char *path)
{
    char full[256];
    struct stat st;

    path_in(rig, path, full, sizeof full);
    return lstat(full, &st) == 0;
}

void rig_write_tenant(const struct starter_rig *rig, const char *tenant)
{
    rig_write_tenant_with(rig, tenant, false);
}

void rig_write_tenant_with(const struct starter_rig *rig, const char *tenant, bool user_net)
{
    Bulkhead__HostConfig config = BULKHEAD__HOST_CONFIG__INIT;
    Bulkhead__Tenant acme = BULKHEAD__TENANT__INIT, *tenants[] = { &acme };
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;
    char name[HOSTDIR_TENANT_BYTES], tree[128], usr[] = "/usr", *trees[] = { tree, usr };
    char some[] = "web*", one[] = "uplink", *taps[] = { some, one };
    uint8_t bytes[1024];
    bool root = geteuid() == 0;

    snprintf(tree, sizeof tree, "%s/tree", rig->dir);
    assert_int_equal(mkdir(tree, 0755), 0);
    snprintf(name, sizeof name, "%s", tenant);
    acme.name = name;
    acme.uid = root ? RIG_UID : geteuid();
    acme.gid = root ? RIG_GID : getegid();
    acme.uid_first = 0x70000000;
    acme.uid_count = 128;
    acme.user_net = user_net;
    acme.n_trees = 2;
    acme.trees = trees;
    acme.taps = taps;
    acme.n_taps = 2;
    quota.devices = 3;
    quota.vms = RIG_QUOTA;
    acme.quota = &quota;
    config.n_tenants = 1;
    config.tenants = tenants;
    assert_true(bulkhead__host_config__get_packed_size(&config) <= sizeof bytes);
    rig_write(rig, "etc/tenants.pb", bytes, bulkhead__host_config__pack(&config, bytes), 0644);
}

unsigned rig_count_fds(const struct starter_rig *rig)
{
    char path[64];
    unsigned n = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)rig->pid);
    dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* ---- what is said ---- */

void rig_send(struct starter_rig *rig, const struct starter_request *request, const void *bytes,
              size_t len, const int *fds, unsigned n_fds)
{
    static uint8_t datagram[sizeof *request + (1 << 17)];
    struct pollfd p = { .fd = rig->fd, .events = POLLOUT };
    int r;

    memcpy(datagram, request, sizeof *request);
    assert_true(len <= sizeof datagram - sizeof *request);
    if (len > 0)
        memcpy(datagram + sizeof *request, bytes, len);
    do {
        if (poll(&p, 1, RIG_PATIENCE_MS) != 1)
            fail_msg("the starter takes no requests");
        r = fd_send(rig->fd, datagram, sizeof *request + len, fds, n_fds, MSG_DONTWAIT);
    } while (r == -EAGAIN);
    assert_int_equal(r, 0);
}

static void take(struct starter_rig *rig, const struct starter_report *report, const void *bytes)
{
    struct rig_vm *vm = &rig->vms[rig->n_vms];

    if (report->kind == STARTER_CONSOLE_ENDED)
        rig->consoles_ended++;
    if (report->kind == STARTER_BROKER_ENDED)
        rig->brokers_ended++;
    if (report->kind == STARTER_VM && rig->n_vms < RIG_MAX_VMS) {
        memcpy(vm->tenant, report->tenant, sizeof vm->tenant);
        memcpy(vm->vm, report->vm, sizeof vm->vm);
        vm->flags = report->flags;
        vm->len = report->len;
        rig->n_vms++;
    }
    if (report->kind == STARTER_PIECE || report->kind == STARTER_VM) {
        if (report->len > RIG_MAX_BYTES - rig->n_bytes)
            fail_msg("%zu bytes, and %u more of %s/%s", rig->n_bytes, report->len, report->tenant,
                     report->vm);
        memcpy(rig->bytes + rig->n_bytes, bytes, report->len);
        rig->n_bytes += report->len;
    }
}

/* The next one. False: the starter has ended. */
static bool hear_one(struct starter_rig *rig, struct starter_report *ret_report)
{
    static uint8_t datagram[sizeof(struct starter_report) + STARTER_MAX_BYTES + 1];
    struct iovec iov = { .iov_base = datagram, .iov_len = sizeof datagram };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * STARTER_MAX_FDS)];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    struct pollfd p = { .fd = rig->fd, .events = POLLIN };
    const struct cmsghdr *c;
    ssize_t n;

    if (poll(&p, 1, RIG_PATIENCE_MS) != 1)
        fail_msg("the starter says nothing");
    n = recvmsg(rig->fd, &msg, MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return false;
    assert_true((size_t)n >= sizeof *ret_report);
    memcpy(ret_report, datagram, sizeof *ret_report);
    assert_int_equal((size_t)n, sizeof *ret_report + ret_report->len);
    take(rig, ret_report, datagram + sizeof *ret_report);
    rig->n_fds = 0;
    c = CMSG_FIRSTHDR(&msg);
    if (c) {
        rig->n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(rig->fds, CMSG_DATA(c), rig->n_fds * sizeof(int));
    }
    return true;
}

bool rig_hear(struct starter_rig *rig, uint32_t id)
{
    rig->n_vms = 0;
    rig->n_bytes = 0;
    do
        if (!hear_one(rig, &rig->done))
            return false;
    while (rig->done.kind != STARTER_DONE || rig->done.id != id);
    return true;
}

static void fill(struct starter_rig *rig, struct starter_request *q, uint32_t kind,
                 const char *tenant, const char *vm)
{
    *q = (struct starter_request){ .kind = kind, .id = ++rig->id };
    snprintf(q->tenant, sizeof q->tenant, "%s", tenant);
    snprintf(q->vm, sizeof q->vm, "%s", vm);
}

static int ask(struct starter_rig *rig, const struct starter_request *q, const void *bytes, int fd)
{
    rig_send(rig, q, bytes, q->len, &fd, fd >= 0);
    if (!rig_hear(rig, q->id)) {
        int status = 0;

        (void)waitpid(rig->pid, &status, 0);
        fail_msg("the starter has ended with status %x", status);
    }
    return rig->done.error;
}

int rig_ask(struct starter_rig *rig, uint32_t kind, const char *tenant, const char *vm)
{
    return rig_ask_channel(rig, kind, tenant, vm, 0);
}

int rig_ask_channel(struct starter_rig *rig, uint32_t kind, const char *tenant, const char *vm,
                    uint32_t channel)
{
    struct starter_request q;

    fill(rig, &q, kind, tenant, vm);
    q.channel = channel;
    return ask(rig, &q, NULL, -1);
}

int rig_save(struct starter_rig *rig, const char *tenant, const char *vm, const void *bytes,
             size_t len)
{
    struct starter_request q;

    fill(rig, &q, STARTER_SAVE, tenant, vm);
    q.len = (uint32_t)len;
    return ask(rig, &q, bytes, -1);
}

int rig_note(struct starter_rig *rig, const char *tenant, const char *vm, const void *bytes,
             size_t len)
{
    struct starter_request q;

    fill(rig, &q, STARTER_NOTE, tenant, vm);
    q.len = (uint32_t)len;
    return ask(rig, &q, bytes, -1);
}

static int ask_with_channel(struct starter_rig *rig, uint32_t kind, const char *tenant,
                            const char *vm, int *ret_channel)
{
    struct starter_request q;
    int pair[2], error;

    fill(rig, &q, kind, tenant, vm);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    error = ask(rig, &q, NULL, pair[1]);
    close(pair[1]);
    *ret_channel = pair[0];
    return error;
}

int rig_ask_start(struct starter_rig *rig, const char *tenant, const char *vm, int *ret_channel)
{
    return ask_with_channel(rig, STARTER_START, tenant, vm, ret_channel);
}

int rig_ask_give(struct starter_rig *rig, const char *tenant, const char *vm, int *ret_channel)
{
    return ask_with_channel(rig, STARTER_GIVE, tenant, vm, ret_channel);
}

int rig_run(struct starter_rig *rig, const char *tenant, const char *vm, char *ret_text,
            size_t size)
{
    char text[8192];
    int channel = -1, error = rig_ask_start(rig, tenant, vm, &channel), connected = ENOENT;
    ssize_t n;

    if (error != 0)
        return error;
    n = recv(channel, text, sizeof text - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    if (ret_text)
        assert_true(snprintf(ret_text, size, "%s", text) < (int)size);
    assert_int_equal(send(channel, vm, strlen(vm), MSG_NOSIGNAL), strlen(vm));
    for (int ms = 0; connected != 0 && ms < RIG_PATIENCE_MS; ms++) {
        connected = rig_ask_channel(rig, STARTER_CONNECT, tenant, vm, STARTER_CHANNEL_COMMAND);
        (void)poll(NULL, 0, connected != 0);
    }
    assert_int_equal(connected, 0);
    close(rig->fds[0]);
    close(channel);
    return 0;
}

void rig_quit(struct starter_rig *rig, const char *tenant, const char *vm)
{
    unsigned ended = rig->brokers_ended;

    assert_int_equal(rig_ask_channel(rig, STARTER_CONNECT, tenant, vm, STARTER_CHANNEL_COMMAND), 0);
    assert_int_equal(rig->n_fds, 1);
    assert_int_equal(send(rig->fds[0], "quit", 4, MSG_NOSIGNAL), 4);
    close(rig->fds[0]);
    rig_await(rig, &rig->brokers_ended, ended + 1);
}

void rig_await(struct starter_rig *rig, const unsigned *count, unsigned at_least)
{
    struct starter_report report;

    while (*count < at_least)
        assert_true(hear_one(rig, &report));
}

bool rig_try_read(int fd, char *dst, size_t size, const char *until)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t len = 0;

    dst[0] = '\0';
    while (!strstr(dst, until)) {
        ssize_t n;

        if (poll(&p, 1, RIG_PATIENCE_MS) != 1)
            fail_msg("'%s' is all that comes, and '%s' is not in it", dst, until);
        n = read(fd, dst + len, size - len - 1);
        if (n <= 0)
            return false;
        len += (size_t)n;
        dst[len] = '\0';
    }
    return true;
}

void rig_read(int fd, char *dst, size_t size, const char *until)
{
    if (!rig_try_read(fd, dst, size, until))
        fail_msg("it ends after '%s', without '%s'", dst, until);
}
