/* SPDX-License-Identifier: Apache-2.0 */
/* requests.c - see requests.h. */
#include "hostd/starter/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "client/rundir.h"
#include "hostd/starter/begin.h"
#include "hostd/starter/consoles.h"
#include "hostd/starter/files.h"
#include "hostd/starter/groups.h"
#include "hostd/starter/keeping.h"
#include "hostd/starter/kill.h"
#include "hostd/starter/notes.h"
#include "hostd/starter/places.h"
#include "hostd/starter/sockets.h"
#include "hostd/starter/tell.h"

enum { REFUSALS_LOGGED = 32, LISTED_AT_ONCE = 4 };

/* ---- who the tenants are ---- */

static void on_terms(struct starter *s, const struct starter_request *q, const void *bytes,
                     struct handed *fds)
{
    struct starter_report piece = { .kind = STARTER_PIECE, .id = q->id };
    struct fault f = { 0 };
    size_t at = 0;

    (void)bytes;
    (void)fds;
    if (terms_read(&s->terms, s->folders.config_path, &f) < 0) {
        tell_failed(s, q->id, -f.error, f.text);
        return;
    }
    for (; at < s->terms.len; at += piece.len) {
        piece.len = (uint32_t)MIN(s->terms.len - at, (size_t)STARTER_MAX_BYTES);
        tell_bytes(s, &piece, s->terms.bytes + at);
    }
    tell_done(s, q->id, 0, NULL, 0);
}

/* ---- what there is ---- */

static int compare_names(const void *a, const void *b)
{
    const struct folder_name *x = a, *y = b;
    int r = strcmp(x->tenant, y->tenant);

    return r ? r : strcmp(x->vm, y->vm);
}

static void end_listing(struct starter *s, int r)
{
    uint32_t id = s->listing.id;

    free(s->listing.names.list);
    s->listing = (struct listing){ 0 };
    tell_done(s, id, r, NULL, 0);
}

static void tell_vm(struct starter *s, const struct folder_name *name)
{
    struct starter_report report = { .kind = STARTER_VM, .id = s->listing.id };
    ssize_t n =
        files_load(&s->folders, name->tenant, name->vm, s->description, sizeof s->description);

    if (n < 0)
        log_warn("%s", err_text());
    report.len = n > 0 ? (uint32_t)n : 0;
    report.flags = (folders_is_held(&s->folders, name->tenant, name->vm) ? STARTER_LIVES : 0) |
                   (consoles_is_there(s, name->tenant, name->vm) ? STARTER_HAS_CONSOLE : 0);
    if (report.len == 0 && !(report.flags & STARTER_LIVES))
        return;
    snprintf(report.tenant, sizeof report.tenant, "%s", name->tenant);
    snprintf(report.vm, sizeof report.vm, "%s", name->vm);
    tell_bytes(s, &report, s->description);
}

void requests_go_on(struct starter *s)
{
    struct listing *l = &s->listing;

    /* However fast hostd reads, others have their turn. */
    for (int i = 0; l->id != 0 && s->out.n < LISTED_AT_ONCE && i < LISTED_AT_ONCE; i++) {
        const struct folder_name *name;

        if (l->next == l->names.n) {
            end_listing(s, 0);
            return;
        }
        name = &l->names.list[l->next];
        if (l->next == 0 || compare_names(name, name - 1) != 0)
            tell_vm(s, name);
        l->next++;
    }
    if (l->id != 0)
        tell_flush(s); /* so that it goes on */
}

static void on_load(struct starter *s, const struct starter_request *q, const void *bytes,
                    struct handed *fds)
{
    struct listing *l = &s->listing;
    int r;

    (void)bytes;
    (void)fds;
    if (l->id != 0) {
        tell_done(s, q->id, err_origin(-EBUSY, "the VMs are being told already"), NULL, 0);
        return;
    }
    l->id = q->id;
    r = folders_list(&s->folders, FOLDER_KEPT, &l->names);
    if (r == 0)
        r = folders_list(&s->folders, FOLDER_VMS, &l->names);
    if (r < 0) {
        end_listing(s, r);
        return;
    }
    if (l->names.n > 0)
        qsort(l->names.list, l->names.n, sizeof *l->names.list, compare_names);
    requests_go_on(s);
}

/* ---- what is kept ---- */

static void on_save(struct starter *s, const struct starter_request *q, const void *bytes,
                    struct handed *fds)
{
    int r =
        q->len == 0 ? err_origin(-EINVAL, "a description of no bytes") : keeping_save(s, q, bytes);

    (void)fds;
    if (r < 0)
        tell_done(s, q->id, r, NULL, 0);
}

static int remove_all(struct starter *s, const struct starter_request *q)
{
    const struct place *place = places_find(s, q->tenant, q->vm);

    if (places_lives(s, q->tenant, q->vm))
        return err_origin(-EBUSY, "the VM %s is running", q->vm);
    if (keeping_is_busy(s, q->tenant, q->vm))
        return err_origin(-EBUSY, "the description of %s is being written, or removed", q->vm);
    if (place)
        process_kill(&place->console); /* it has nothing to show any more */
    return keeping_remove(s, q);
}

static void on_remove(struct starter *s, const struct starter_request *q, const void *bytes,
                      struct handed *fds)
{
    int r = remove_all(s, q);

    (void)bytes;
    (void)fds;
    if (r < 0)
        tell_done(s, q->id, r, NULL, 0);
}

/* ---- what runs ---- */

static void on_start(struct starter *s, const struct starter_request *q, const void *bytes,
                     struct handed *fds)
{
    int r = handed_expect(fds->fds[0], HANDED_SEQPACKET, "the launcher's channel");

    (void)bytes;
    if (r == 0 && keeping_removes(s, q->tenant, q->vm))
        r = err_origin(-EBUSY, "the VM %s is being removed", q->vm);
    if (r == 0)
        r = keeping_check(s, q->tenant, q->vm);
    if (r == 0)
        r = begin_run(s, q->tenant, q->vm, fds->fds[0]);
    tell_done(s, q->id, r, NULL, 0);
}

static int connect_to_broker(struct starter *s, const struct starter_request *q)
{
    cleanup_(fd_closep) int dir_fd = -1;
    int fd;

    if (!places_lives(s, q->tenant, q->vm)) {
        /* hostd looks so when one of an earlier starter's has ended */
        groups_remove_of(&s->groups, q->tenant, q->vm);
        return err_origin(-ENOENT, "the VM %s is not running", q->vm);
    }
    /* Its broker has not claimed the directory yet, or has let go of it and not ended: a start would be refused. */
    if (!folders_is_held(&s->folders, q->tenant, q->vm))
        return err_origin(-EAGAIN, "the VM %s is about to begin or to end: try again", q->vm);
    dir_fd = folders_enter(&s->folders, FOLDER_VMS, q->tenant, q->vm, false);
    fd = dir_fd < 0 ? dir_fd : sockets_connect(dir_fd, RUNDIR_SOCKET, SOCK_SEQPACKET);
    return fd == -ENOENT ? -ECONNREFUSED : fd; /* it is held all the same */
}

static void on_give(struct starter *s, const struct starter_request *q, const void *bytes,
                    struct handed *fds)
{
    cleanup_(fd_closep) int broker_fd = -1;
    int r = handed_expect(fds->fds[0], HANDED_SEQPACKET, "the launcher's channel");

    (void)bytes;
    if (r == 0)
        r = broker_fd = connect_to_broker(s, q);
    if (r >= 0)
        r = begin_give(s, q->tenant, q->vm, fds->fds[0], broker_fd);
    tell_done(s, q->id, r, NULL, 0);
}

static void on_connect(struct starter *s, const struct starter_request *q, const void *bytes,
                       struct handed *fds)
{
    int fd;

    (void)bytes;
    (void)fds;
    if (q->channel == STARTER_CHANNEL_COMMAND)
        fd = connect_to_broker(s, q);
    else if (q->channel == STARTER_CHANNEL_CONSOLE)
        fd = consoles_connect(&s->folders, q->tenant, q->vm);
    else
        fd = err_origin(-EINVAL, "a connection to channel %u", q->channel);
    tell_done(s, q->id, MIN(fd, 0), &fd, fd >= 0);
}

static int start_console(struct starter *s, const struct starter_request *q)
{
    struct place *place;
    int r = places_take(s, q->tenant, q->vm, &place);

    if (r < 0)
        return err_trace(r);
    r = places_lives(s, q->tenant, q->vm) ? consoles_ensure(place)
                                          : err_origin(-ENOENT, "the VM %s is not running", q->vm);
    places_settle(place);
    return r;
}

static void on_console(struct starter *s, const struct starter_request *q, const void *bytes,
                       struct handed *fds)
{
    (void)bytes;
    (void)fds;
    tell_done(s, q->id, start_console(s, q), NULL, 0);
}

static void on_logs(struct starter *s, const struct starter_request *q, const void *bytes,
                    struct handed *fds)
{
    int logs[2] = { -1, -1 };
    int n = -EINVAL;

    (void)bytes;
    (void)fds;
    if (q->channel == STARTER_CHANNEL_CONSOLE || q->channel == STARTER_CHANNEL_BROKER)
        n = files_read_log(&s->folders, q->tenant, q->vm,
                           q->channel == STARTER_CHANNEL_BROKER ? LOG_BROKER : LOG_GUEST, logs);
    else
        (void)err_origin(n, "logs of channel %u", q->channel);
    tell_done(s, q->id, MIN(n, 0), logs, (unsigned)MAX(n, 0));
}

static int begin_kill(struct starter *s, const struct starter_request *q)
{
    struct place *place;
    int r;

    if (!places_lives(s, q->tenant, q->vm))
        return err_origin(-ENOENT, "the VM %s is not running", q->vm);
    r = places_take_running(s, q->tenant, q->vm, &place);
    if (r < 0)
        return err_trace(r);
    r = kill_begin(place, q->id);
    places_settle(place);
    return r;
}

static void on_kill(struct starter *s, const struct starter_request *q, const void *bytes,
                    struct handed *fds)
{
    int r = begin_kill(s, q);

    (void)bytes;
    (void)fds;
    if (r < 0)
        tell_done(s, q->id, r, NULL, 0);
}

static void on_note(struct starter *s, const struct starter_request *q, const void *bytes,
                    struct handed *fds)
{
    int fd = notes_write(s, q->tenant, q->vm, bytes, q->len);

    (void)fds;
    tell_done(s, q->id, MIN(fd, 0), &fd, fd >= 0);
}

static void on_ping(struct starter *s, const struct starter_request *q, const void *bytes,
                    struct handed *fds)
{
    (void)bytes;
    (void)fds;
    tell_done(s, q->id, 0, NULL, 0);
}

/* ---- the table ---- */

static const struct operation {
    bool of_vm, takes_bytes;
    unsigned n_fds;
    void (*fn)(struct starter *s, const struct starter_request *q, const void *bytes,
               struct handed *fds);
} operations[STARTER_REQUEST__MAX] = {
    [STARTER_TERMS] = { .fn = on_terms },
    [STARTER_LOAD] = { .fn = on_load },
    [STARTER_SAVE] = { .of_vm = true, .takes_bytes = true, .fn = on_save },
    [STARTER_REMOVE] = { .of_vm = true, .fn = on_remove },
    [STARTER_START] = { .of_vm = true, .n_fds = 1, .fn = on_start },
    [STARTER_CONNECT] = { .of_vm = true, .fn = on_connect },
    [STARTER_CONSOLE] = { .of_vm = true, .fn = on_console },
    [STARTER_LOGS] = { .of_vm = true, .fn = on_logs },
    [STARTER_KILL] = { .of_vm = true, .fn = on_kill },
    [STARTER_NOTE] = { .of_vm = true, .takes_bytes = true, .fn = on_note },
    [STARTER_PING] = { .fn = on_ping },
    [STARTER_GIVE] = { .of_vm = true, .n_fds = 1, .fn = on_give },
};

static int check(const struct starter_request *q, size_t n_bytes, unsigned n_fds)
{
    const struct operation *o;

    if (q->kind >= STARTER_REQUEST__MAX || !operations[q->kind].fn)
        return err_origin(-EINVAL, "a request of kind %u", q->kind);
    o = &operations[q->kind];
    if (q->len != n_bytes || (n_bytes > 0 && !o->takes_bytes))
        return err_origin(-EINVAL, "a request of kind %u with %zu bytes", q->kind, n_bytes);
    if (n_fds != o->n_fds)
        return err_origin(-EINVAL, "a request of kind %u with %u descriptors", q->kind, n_fds);
    if (o->of_vm && !hostdir_is_tenant(q->tenant))
        return err_origin(-EINVAL, "a request whose tenant has no usable name");
    if (o->of_vm && !hostdir_is_vm(q->vm))
        return err_origin(-EINVAL, "a request whose VM has no usable name");
    return 0;
}

/* hostd may be lying, and as often as it likes. */
static void refuse(struct starter *s, uint32_t id, int r)
{
    if (s->refusals++ < REFUSALS_LOGGED)
        log_warn("refused: %s", err_text());
    if (s->refusals == REFUSALS_LOGGED)
        log_warn("further refusals are not logged");
    if (id != 0)
        tell_done(s, id, r, NULL, 0);
}

void requests_take(struct starter *s, size_t n, struct handed *fds)
{
    struct starter_request q;
    int r;

    if (n < sizeof q) {
        refuse(s, 0, err_origin(-EBADMSG, "a request of %zu bytes", n));
        return;
    }
    memcpy(&q, s->datagram, sizeof q);
    r = check(&q, n - sizeof q, fds->n);
    if (r == 0 && q.id == 0)
        r = err_origin(-EINVAL, "a request without a number");
    if (r < 0)
        refuse(s, q.id, r);
    else
        operations[q.kind].fn(s, &q, s->datagram + sizeof q, fds);
}
