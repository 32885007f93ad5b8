/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.c - see keeper.h. */
#include "run/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "resources/memory.h"
#include "run/sealed.h"
#include "run/shape.h"
#include "run/steps.h"
#include "spawner/keep.h"
#include "vm/record.h"

enum { DROPPED_MS = 2000 };

/* The facts, and which devices there are if that is not what was sealed. */
struct record_copy {
    struct record record;
    uint32_t shape_len;
    uint8_t shape[SHAPE_MAX_BYTES];
};

/* Two copies: one is written while the other counts. */
struct record_page {
    uint32_t current;
    struct record_copy copies[2];
};

/* Both copies are to be written with the next note of each. */
static void change_shape(struct instance *in)
{
    in->shape_stale[0] = in->shape_stale[1] = true;
}

/* ---- descriptors ---- */

/* Without a spawner the VM is about to end: nobody has to be told here. */
static void tell(struct instance *in, const struct spawner_request *request, const int *fds,
                 unsigned n_fds)
{
    if (spawner_send(in->spawner, request, fds, n_fds) < 0)
        log_debug("%s", err_text());
    steps_pass("ask the spawner for", request->kind);
}

static void deposit(struct instance *in, unsigned place, const int *fds, unsigned n_fds)
{
    for (unsigned i = 0; in->kept && i < n_fds;) {
        struct spawner_request request = { .kind = SPAWNER_DEPOSIT, .id = place + i };
        unsigned n = 0;

        while (i + n < n_fds && n < SPAWNER_KEPT_FDS && fds[i + n] >= 0)
            n++;
        if (n > 0)
            tell(in, &request, fds + i, n);
        i += n > 0 ? n : 1;
    }
}

static void drop(struct instance *in, unsigned place, unsigned n, int last)
{
    struct spawner_request request = { .kind = SPAWNER_DROP, .id = place, .slot = n };

    if (in->kept)
        tell(in, &request, &last, last >= 0 ? 1 : 0);
}

void keeper_keep(struct instance *in, unsigned device, unsigned what, int fd)
{
    if (fd >= 0)
        deposit(in, keep_of(device, what), &fd, 1);
    else
        drop(in, keep_of(device, what), 1, -1);
}

static void keep_device(struct instance *in, unsigned number)
{
    const struct device_ends *e = &in->ends[number];
    const struct backend *b = &e->backend;

    keeper_keep(in, number, KEEP_STATS, e->stats_fd);
    if (b->socket.dir_fd >= 0) {
        keeper_keep(in, number, KEEP_SOCKET_DIR, b->socket.dir_fd);
        keeper_keep(in, number, KEEP_SOCKET, b->socket.socket_fd);
    }
    deposit(in, keep_of(number, KEEP_HELD), b->held, ARRAY_SIZE(b->held));
    deposit(in, keep_of(number, KEEP_OWN), b->own, b->n_own);
}

static void keep_device_boot(struct instance *in, unsigned number)
{
    const struct device_ends *e = &in->ends[number];
    unsigned n_queues = in->plan.devices[number].num_queues;

    deposit(in, keep_of(number, KEEP_JOURNAL), &e->journal_fd, 1);
    deposit(in, keep_of(number, KEEP_SHARED), e->shared_own, ARRAY_SIZE(e->shared_own));
    deposit(in, keep_of(number, KEEP_KICK), e->kick, n_queues);
    deposit(in, keep_of(number, KEEP_CALL), e->call, n_queues);
}

void keeper_add_device(struct instance *in, unsigned number)
{
    keep_device(in, number);
    keep_device_boot(in, number);
    change_shape(in);
}

void keeper_remove_device(struct instance *in, unsigned number)
{
    drop(in, keep_of(number, 0), KEEP_PER_DEVICE, -1);
    change_shape(in);
}

void keeper_drop_client(struct instance *in)
{
    drop(in, KEEP_RUN_CLIENT, 1, -1);
}

void keeper_keep_boot(struct instance *in)
{
    deposit(in, KEEP_RAM, &in->ram_fd, 1);
    deposit(in, KEEP_LIFE, &in->life_read, 1);
    for (unsigned i = 0; i < in->n_ends; i++)
        keep_device_boot(in, i);
}

/* Until the spawner has closed the far end of that pipe, which came to it last. */
static void await_close(int pair[2], const char *what)
{
    struct pollfd closed = { .fd = pair[0], .events = POLLIN };

    close(pair[1]);
    if (poll(&closed, 1, DROPPED_MS) != 1)
        log_warn("the spawner is slow to give %s back", what);
    close(pair[0]);
}

void keeper_drop_boot(struct instance *in)
{
    int pair[2];

    if (!in->kept || pipe2(pair, O_CLOEXEC) < 0)
        return;
    for (unsigned i = 0; i < in->n_ends; i++)
        drop(in, keep_of(i, KEEP_JOURNAL), KEEP_PER_DEVICE - KEEP_JOURNAL, -1);
    drop(in, KEEP_LIFE, 1, -1);
    drop(in, KEEP_RAM, 1, pair[1]);
    await_close(pair, "the guest's memory");
}

void keeper_acknowledge(struct instance *in, uint32_t child)
{
    const struct spawner_request request = { .kind = SPAWNER_ACK, .id = child };

    if (in->kept)
        tell(in, &request, NULL, 0);
}

/* ---- the record ---- */

static int map_record(struct instance *in)
{
    void *page = mmap(NULL, sizeof(struct record_page), PROT_READ | PROT_WRITE, MAP_SHARED,
                      in->record_fd, 0);

    if (page == MAP_FAILED)
        return err_origin(-errno, "mapping the record");
    in->record = page;
    return 0;
}

int keeper_begin(struct instance *in, int client_fd, int group_kill_fd, struct fault *f)
{
    int sealed = -1;
    int r = sealed_write(in, &sealed);

    if (r == 0)
        r = resources_memfd("record", sizeof(struct record_page), false, &in->record_fd);
    if (r == 0)
        r = map_record(in);
    if (r < 0) {
        fd_closep(&sealed);
        return fault_host(f, r, "%s", err_text());
    }
    in->kept = true;
    deposit(in, KEEP_SEALED, &sealed, 1);
    fd_closep(&sealed);
    keeper_note(in);
    deposit(in, KEEP_RECORD, &in->record_fd, 1);
    deposit(in, KEEP_RUN_CLIENT, &client_fd, 1);
    deposit(in, KEEP_LISTEN, &in->rundir.listen_fd, 1);
    deposit(in, KEEP_KVM, &in->kvm_fd, 1);
    deposit(in, KEEP_KERNEL, &in->kernel_fd, 1);
    deposit(in, KEEP_INITRAMFS, &in->initramfs_fd, 1);
    deposit(in, KEEP_TTY, &in->tty_fd, 1);
    deposit(in, KEEP_GROUP_KILL, &group_kill_fd, 1);
    for (unsigned i = 0; i < in->n_ends; i++)
        keep_device(in, i);
    return 0;
}

static int check_record(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    /* What can't shrink can be read to its end. */
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 ||
        st.st_size != (off_t)sizeof(struct record_page))
        return err_origin(-EBADMSG, "the record of the broker before");
    return 0;
}

/* Once: who else may have it is not known. */
static int copy_out(const struct record_copy *from, struct testament *ret_testament)
{
    uint32_t len = __atomic_load_n(&from->shape_len, __ATOMIC_RELAXED);
    struct testament t = { .shape_len = len };

    if (len > SHAPE_MAX_BYTES)
        return err_origin(-EBADMSG, "the record of the broker before: %u bytes", len);
    t.record = malloc(sizeof *t.record);
    t.shape = malloc(len + 1u);
    if (!t.record || !t.shape) {
        free(t.record);
        free(t.shape);
        return err_origin(-ENOMEM, "the record");
    }
    memcpy(t.record, &from->record, sizeof *t.record);
    memcpy(t.shape, from->shape, len);
    *ret_testament = t;
    return 0;
}

int keeper_go_on(struct instance *in, int record_fd, struct testament *ret_testament)
{
    uint32_t current;
    int r;

    in->record_fd = record_fd;
    r = check_record(record_fd);
    if (r == 0)
        r = map_record(in);
    if (r < 0)
        return err_trace(r);
    current = __atomic_load_n(&in->record->current, __ATOMIC_ACQUIRE) & 1;
    r = copy_out(&in->record->copies[current], ret_testament);
    if (r < 0)
        return err_trace(r);
    in->kept = true;
    if (ret_testament->shape_len > 0)
        change_shape(in);
    return 0;
}

void keeper_note(struct instance *in)
{
    struct record_copy *copy;
    uint32_t next;

    if (!in->kept || !in->record)
        return;
    next = (__atomic_load_n(&in->record->current, __ATOMIC_RELAXED) & 1) ^ 1;
    copy = &in->record->copies[next];
    record_store(&in->vm, &copy->record);
    if (in->shape_stale[next])
        copy->shape_len = (uint32_t)shape_store(in, copy->shape);
    in->shape_stale[next] = false;
    steps_noted(in, &in->record->copies[next ^ 1].record, &copy->record, "decided");
    __atomic_store_n(&in->record->current, next, __ATOMIC_RELEASE);
    steps_noted(in, &in->record->copies[next ^ 1].record, &copy->record, "written down");
}

void keeper_deinit(struct instance *in)
{
    if (in->record)
        munmap(in->record, sizeof(struct record_page));
    in->record = NULL;
    fd_closep(&in->record_fd);
}
