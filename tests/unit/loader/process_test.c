/* SPDX-License-Identifier: Apache-2.0 */
/* process_test.c - the real bulkhead-loader in its sandbox; the test is the broker. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "images.h"
#include "ipc/channel.h"
#include "ipc/rules.h"
#include "sandbox/ids.h"
#include "sandbox/spawn.h"
#include "shm/layout.h"

enum { RAM = 32 << 20, ENDED_WELL = 0, ENDED_FAILED = 1 };

struct process {
    struct channel *channel;
    pid_t pid;
    int pidfd, ram_fd, kernel_fd, initramfs_fd;
    const char *cmdline;
};

static void start(struct process *p)
{
    char *argv[] = { (char[]){ "bulkhead-loader" }, NULL };
    const char *bin = getenv("BULKHEAD_BIN");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), pair[2], fds[4];
    struct sandbox_spawn spawn = {
        .program_fd = -1, .argv = argv, .fds = fds, .n_fds = 4, .cgroup_fd = -1
    };
    unsigned missing = 0;
    char path[512];

    assert_non_null(bin); /* set by ctest */
    snprintf(path, sizeof path, "%s/bulkhead-loader", bin);
    spawn.program = path;
    if (geteuid() == 0)
        spawn.uid = spawn.gid = sandbox_uid(getpid(), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    memcpy(fds, (int[]){ null, null, null, pair[1] }, sizeof fds);
    *p = (struct process){
        .pidfd = -1, .kernel_fd = -1, .initramfs_fd = -1, .cmdline = "console=ttyS0"
    };
    if (sandbox_spawn(&spawn, &p->pid, &p->pidfd, &missing) < 0)
        fail_msg("%s", err_text());
    assert_int_equal(channel_new(&p->channel, pair[0], CHANNEL_ARENA_CHILD), 0);
    close(pair[1]);
    close(null);
    p->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    assert_int_equal(ftruncate(p->ram_fd, RAM), 0);
}

/* Waits for its end; the exit status, or -1 for a signal. */
static int end(struct process *p)
{
    int status = 0;

    channel_freep(&p->channel);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    fd_closep(&p->pidfd);
    fd_closep(&p->ram_fd);
    fd_closep(&p->kernel_fd);
    fd_closep(&p->initramfs_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const Bulkhead__Envelope *expect(struct process *p, Bulkhead__Envelope__BodyCase body)
{
    struct message msg;
    int r = channel_receive(p->channel, true, &msg);

    if (r != 0)
        fail_msg("waiting for %s: %d", rules_body_name(body), r);
    if (msg.envelope->body_case != body)
        fail_msg("%s in place of %s%s%s", rules_body_name(msg.envelope->body_case),
                 rules_body_name(body),
                 msg.envelope->body_case == BULKHEAD__ENVELOPE__BODY_FAILED ? ": " : "",
                 msg.envelope->body_case == BULKHEAD__ENVELOPE__BODY_FAILED
                     ? msg.envelope->failed->what
                     : "");
    assert_int_equal(msg.n_fds, 0);
    return msg.envelope;
}

static void expect_closed(struct process *p)
{
    struct message msg;

    assert_int_equal(channel_receive(p->channel, true, &msg), CHANNEL_CLOSED);
}

/* With the first n of RAM, kernel, initramfs. */
static void configure_with(struct process *p, size_t n)
{
    Bulkhead__LoaderConfig loader = BULKHEAD__LOADER_CONFIG__INIT;
    Bulkhead__Configure cfg = BULKHEAD__CONFIGURE__INIT;
    const int fds[] = { p->ram_fd, p->kernel_fd, p->initramfs_fd };
    char cmdline[4096];

    ENVELOPE(e, CONFIGURE, configure, &cfg);
    snprintf(cmdline, sizeof cmdline, "%s", p->cmdline);
    loader.cmdline = cmdline;
    loader.vcpus = 2;
    loader.has_initramfs = p->initramfs_fd >= 0;
    cfg.protocol = PROTOCOL_MAX;
    cfg.name = (char[]){ "loader" };
    cfg.ram_size = RAM;
    cfg.role_case = BULKHEAD__CONFIGURE__ROLE_LOADER;
    cfg.loader = &loader;
    assert_int_equal(channel_send(p->channel, &e, fds, n, true), 0);
}

static void configure(struct process *p)
{
    configure_with(p, p->initramfs_fd >= 0 ? 3 : 2);
}

static void send_start(struct process *p)
{
    Bulkhead__Start message = BULKHEAD__START__INIT;

    ENVELOPE(e, START, start, &message);
    assert_int_equal(channel_send(p->channel, &e, NULL, 0, true), 0);
}

static void hello_to_ready(struct process *p)
{
    const Bulkhead__Hello *hello = expect(p, BULKHEAD__ENVELOPE__BODY_HELLO)->hello;

    assert_int_equal(hello->role, BULKHEAD__ROLE__ROLE_LOADER);
    assert_true(hello->protocol_min <= PROTOCOL_MAX && hello->protocol_max >= PROTOCOL_MIN);
    configure(p);
    expect(p, BULKHEAD__ENVELOPE__BODY_READY);
}

static bool status_has(pid_t pid, const char *wanted)
{
    char path[64], line[256];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        found |= strcmp(line, wanted) == 0;
    fclose(f);
    return found;
}

static uint64_t ram_at(const struct process *p, uint64_t addr)
{
    uint64_t v = 0;

    assert_int_equal(pread(p->ram_fd, &v, sizeof v, (off_t)addr), sizeof v);
    return v;
}

/* Nothing of the files, and nothing at all, is in RAM before Start, which comes after seccomp. */
static void loads_only_after_start(void **state)
{
    static uint8_t image[BZIMAGE_BYTES];
    const Bulkhead__EntryState *entry;
    struct process p;
    uint8_t *ram;

    (void)state;
    start(&p);
    image_bzimage(image);
    p.kernel_fd = image_fd(image, sizeof image);
    p.initramfs_fd = image_fd("initramfs!", 10);
    hello_to_ready(&p);
    assert_true(status_has(p.pid, "Seccomp:\t2\n"));
    assert_true(status_has(p.pid, "NoNewPrivs:\t1\n"));
    assert_true(status_has(p.pid, "CapEff:\t0000000000000000\n"));
    ram = mmap(NULL, RAM, PROT_READ, MAP_SHARED, p.ram_fd, 0);
    assert_true(ram != MAP_FAILED);
    for (size_t i = 0; i < RAM; i += sizeof(uint64_t))
        if (*(const uint64_t *)(const void *)(ram + i) != 0)
            fail_msg("RAM was written at %#zx before Start", i);
    munmap(ram, RAM);

    send_start(&p);
    entry = expect(&p, BULKHEAD__ENVELOPE__BODY_LOADED)->loaded->entry;
    assert_int_equal(entry->kind, BULKHEAD__ENTRY_KIND__ENTRY_LINUX64);
    assert_int_equal(entry->rip, 0x1000200);
    assert_int_equal(entry->boot_data, LAYOUT_BOOT_PARAMS);
    assert_int_equal(entry->page_table, LAYOUT_PAGE_TABLES);
    assert_int_equal(entry->gdt, LAYOUT_BOOT_GDT);
    assert_int_equal(ram_at(&p, 0x1000000), 0x9090909090909090ull);
    assert_memory_equal(&(uint64_t){ ram_at(&p, RAM - PAGE_BYTES) }, "initramf", 8);
    assert_memory_equal(&(uint64_t){ ram_at(&p, LAYOUT_RSDP) }, "RSD PTR ", 8);
    expect_closed(&p); /* it is gone by itself */
    assert_int_equal(end(&p), ENDED_WELL);
}

static void elf_enters_by_pvh(void **state)
{
    static uint8_t image[ELF_BYTES];
    const Bulkhead__EntryState *entry;
    struct process p;

    (void)state;
    start(&p);
    image_elf(image);
    p.kernel_fd = image_fd(image, sizeof image);
    hello_to_ready(&p);
    send_start(&p);
    entry = expect(&p, BULKHEAD__ENVELOPE__BODY_LOADED)->loaded->entry;
    assert_int_equal(entry->kind, BULKHEAD__ENTRY_KIND__ENTRY_PVH);
    assert_int_equal(entry->rip, 0x1000000);
    assert_int_equal(entry->boot_data, LAYOUT_HVM_START_INFO);
    assert_int_equal(end(&p), ENDED_WELL);
}

static void expect_bad_input(struct process *p, const char *text)
{
    const Bulkhead__Failed *failed = expect(p, BULKHEAD__ENVELOPE__BODY_FAILED)->failed;

    if (!failed->bad_input || !strstr(failed->what, text) || strchr(failed->what, '\n'))
        fail_msg("bad_input %d, '%s' instead of '%s'", failed->bad_input, failed->what, text);
    expect_closed(p);
    assert_int_equal(end(p), ENDED_FAILED);
}

static void bad_files_are_told(void **state)
{
    static const char text[4096] = "#!/bin/sh\n";
    static uint8_t image[BZIMAGE_BYTES], big[RAM];
    const struct {
        const void *kernel;
        size_t kernel_len, initramfs_len;
        const char *message;
    } cases[] = {
        { "", 0, 0, "empty" },
        { text, sizeof text, 0, "neither a bzImage nor" },
        { image, 100, 0, "only 100 bytes" },
        { image, 6000, 0, "truncated" },
        { image, sizeof image, RAM, "doesn't fit" },
    };

    (void)state;
    image_bzimage(image);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct process p;

        start(&p);
        p.kernel_fd = image_fd(cases[i].kernel, cases[i].kernel_len);
        if (cases[i].initramfs_len > 0)
            p.initramfs_fd = image_fd(big, cases[i].initramfs_len);
        hello_to_ready(&p);
        send_start(&p);
        expect_bad_input(&p, cases[i].message);
    }
}

/* Between its start and its reading the file is another's to change. */
static void file_that_shrinks_is_told(void **state)
{
    static uint8_t image[BZIMAGE_BYTES];
    struct process p;

    (void)state;
    start(&p);
    image_bzimage(image);
    p.kernel_fd = image_fd(image, sizeof image);
    hello_to_ready(&p);
    assert_int_equal(ftruncate(p.kernel_fd, 4096), 0);
    send_start(&p);
    expect_bad_input(&p, "truncated");
}

static void bad_configuration_is_told(void **state)
{
    static char long_line[LAYOUT_CMDLINE_MAX + 1];
    struct process p;

    (void)state;
    memset(long_line, 'a', LAYOUT_CMDLINE_MAX);
    start(&p);
    p.kernel_fd = image_fd("x", 1);
    p.cmdline = long_line;
    expect(&p, BULKHEAD__ENVELOPE__BODY_HELLO);
    configure(&p);
    expect_bad_input(&p, "command line is longer than 2047 bytes");

    start(&p);
    p.kernel_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    expect(&p, BULKHEAD__ENVELOPE__BODY_HELLO);
    configure(&p);
    expect_bad_input(&p, "kernel is not a regular file");
}

/* A broker that breaks the rules: nothing is loaded. */
static void illegal_messages_end_it(void **state)
{
    struct process p;

    (void)state;
    start(&p);
    expect(&p, BULKHEAD__ENVELOPE__BODY_HELLO);
    send_start(&p); /* before Configure */
    assert_false(expect(&p, BULKHEAD__ENVELOPE__BODY_FAILED)->failed->bad_input);
    expect_closed(&p);
    assert_int_equal(end(&p), ENDED_FAILED);

    start(&p);
    expect(&p, BULKHEAD__ENVELOPE__BODY_HELLO);
    configure_with(&p, 1); /* no kernel */
    assert_false(expect(&p, BULKHEAD__ENVELOPE__BODY_FAILED)->failed->bad_input);
    assert_int_equal(end(&p), ENDED_FAILED);
}

/* Its broker is gone, or says Stop: it leaves, in every state. */
static void leaves_with_its_broker(void **state)
{
    Bulkhead__Stop stop = BULKHEAD__STOP__INIT;
    struct process p;

    ENVELOPE(e, STOP, stop, &stop);
    (void)state;
    start(&p);
    expect(&p, BULKHEAD__ENVELOPE__BODY_HELLO);
    assert_int_equal(end(&p), ENDED_WELL); /* closes the channel first */

    for (int say_stop = 0; say_stop < 2; say_stop++) {
        start(&p);
        p.kernel_fd = image_fd("x", 1);
        hello_to_ready(&p);
        if (say_stop) {
            assert_int_equal(channel_send(p.channel, &e, NULL, 0, true), 0);
            expect_closed(&p);
        }
        assert_int_equal(end(&p), ENDED_WELL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_only_after_start),    cmocka_unit_test(elf_enters_by_pvh),
        cmocka_unit_test(bad_files_are_told),        cmocka_unit_test(file_that_shrinks_is_told),
        cmocka_unit_test(bad_configuration_is_told), cmocka_unit_test(illegal_messages_end_it),
        cmocka_unit_test(leaves_with_its_broker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
