/* SPDX-License-Identifier: Apache-2.0 */
/* starter_link.c - see starter_link.h. */
#include "hostd/run/starter_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "hostd/rules/answers.h"
#include "hostd/rules/life.h"
#include "hostd/rules/spec.h"
#include "hostd/run/closer.h"

enum { REPORTS_PER_TURN = 16 };
_Static_assert((int)LIFE_MAX_SAVES <= (int)STARTER_MAX_SAVES, "the starter does them all");
static const uint32_t ping_id = UINT32_MAX; /* the rules don't come as far */

/* What the socket had no room for yet. */
struct parcel {
    struct parcel *next;
    int fd;
    size_t len;
    uint8_t bytes[];
};

struct starter_link {
    int fd;
    struct loop_event *event, *room;
    struct parcel *first, **last;
    uint8_t *terms; /* the pieces so far, of the request terms_of */
    size_t n_terms;
    uint32_t terms_of;
    bool pinged; /* and not answered */
    uint8_t datagram[sizeof(struct starter_report) + STARTER_MAX_BYTES];
};

/* ---- requests ---- */

static void free_parcel(struct parcel *p)
{
    fd_closep(&p->fd);
    free(p);
}

static void gone(struct service *s, const char *why)
{
    log_error("the starter: %s", why);
    s->failed = true;
    loop_quit(s->loop, 0);
}

static void flush(struct service *s)
{
    struct starter_link *link = s->starter;

    while (link->first) {
        struct parcel *p = link->first;
        int r = fd_send(link->fd, p->bytes, p->len, &p->fd, p->fd >= 0 ? 1 : 0, MSG_DONTWAIT);

        if (r == -EAGAIN || r == -ETOOMANYREFS) {
            (void)loop_event_resume(link->room);
            return;
        }
        if (r < 0) {
            gone(s, strerror(-r));
            return;
        }
        link->first = p->next;
        if (!link->first)
            link->last = &link->first;
        free_parcel(p);
    }
    (void)loop_event_pause(link->room);
}

static void on_room(int fd, unsigned what, void *arg)
{
    (void)fd;
    (void)what;
    flush(arg);
}

static enum starter_request_kind kind_of(enum ask_kind kind)
{
    static const enum starter_request_kind kinds[] = {
        [ASK_TERMS] = STARTER_TERMS,     [ASK_LOAD] = STARTER_LOAD,
        [ASK_SAVE] = STARTER_SAVE,       [ASK_REMOVE] = STARTER_REMOVE,
        [ASK_START] = STARTER_START,     [ASK_CONNECT] = STARTER_CONNECT,
        [ASK_CONSOLE] = STARTER_CONSOLE, [ASK_LOGS] = STARTER_LOGS,
        [ASK_KILL] = STARTER_KILL,       [ASK_NOTE] = STARTER_NOTE,
        [ASK_GIVE] = STARTER_GIVE,
    };

    return kinds[kind];
}

static uint32_t channel_of(enum ask_channel channel)
{
    static const uint32_t channels[] = { [CHANNEL_NONE] = 0,
                                         [CHANNEL_COMMAND] = STARTER_CHANNEL_COMMAND,
                                         [CHANNEL_CONSOLE] = STARTER_CHANNEL_CONSOLE,
                                         [CHANNEL_BROKER] = STARTER_CHANNEL_BROKER };

    return channels[channel];
}

static void put(struct service *s, struct parcel *p)
{
    struct starter_link *link = s->starter;

    *link->last = p;
    link->last = &p->next;
    if (link->first == p)
        flush(s);
}

bool starter_link_answers(struct service *s)
{
    const struct starter_request request = { .kind = STARTER_PING, .id = ping_id };
    struct parcel *p = s->starter->pinged ? NULL : malloc(sizeof *p + sizeof request);
    bool answers = !s->starter->pinged;

    if (!p)
        return answers;
    s->starter->pinged = true;
    *p = (struct parcel){ .fd = -1, .len = sizeof request };
    memcpy(p->bytes, &request, sizeof request);
    put(s, p);
    return answers;
}

void starter_link_ask(struct service *s, const struct host_action *a, const struct host_vm *vm,
                      int fd)
{
    struct starter_request request = { .kind = kind_of(a->asks), .id = a->ask };
    const uint8_t *bytes = a->note ? a->note->data : NULL;
    size_t len = a->note ? a->note->len : 0;
    uint8_t *made = NULL;
    struct parcel *p;

    request.channel = channel_of(a->channel);
    if (vm) {
        snprintf(request.tenant, sizeof request.tenant, "%s", vm->tenant);
        snprintf(request.vm, sizeof request.vm, "%s", vm->name);
    }
    if (a->asks == ASK_SAVE)
        bytes = made = answers_description(vm, &len);
    p = malloc(sizeof *p + sizeof request + len);
    if (!p || (a->asks == ASK_SAVE && !bytes) || len > STARTER_MAX_BYTES) {
        log_error("no memory for a request"); /* its deadline will pass */
        fd_closep(&fd);
        free(made);
        free(p);
        return;
    }
    request.len = (uint32_t)len;
    *p = (struct parcel){ .fd = fd, .len = sizeof request + len };
    memcpy(p->bytes, &request, sizeof request);
    if (len > 0)
        memcpy(p->bytes + sizeof request, bytes, len);
    free(made);
    put(s, p);
}

/* ---- reports ---- */

static void on_piece(struct starter_link *link, const struct starter_report *r,
                     const uint8_t *bytes)
{
    uint8_t *grown;

    if (link->terms_of != r->id)
        link->n_terms = 0;
    link->terms_of = r->id;
    if (r->len > STARTER_MAX_TERMS - link->n_terms)
        return;
    grown = realloc(link->terms, link->n_terms + r->len + 1);
    if (!grown)
        return;
    link->terms = grown;
    memcpy(grown + link->n_terms, bytes, r->len);
    link->n_terms += r->len;
}

static void on_vm(struct service *s, const struct starter_report *r, const uint8_t *bytes)
{
    Bulkhead__VmDetails *kept =
        r->len > 0 ? bulkhead__vm_details__unpack(NULL, r->len, bytes) : NULL;
    struct host_event e = { .kind = HOST_KEPT, .tenant = r->tenant, .name = r->vm, .kept = &kept };
    Bulkhead__VmSpec *filled;

    if (r->len > 0 && !kept)
        log_error("%s/%s: its description can't be decoded", r->tenant, r->vm);
    if (kept && kept->spec) {
        filled = spec_copy(kept->spec);
        bulkhead__vm_spec__free_unpacked(kept->spec, NULL);
        kept->spec = filled;
    }
    e.lives = (r->flags & STARTER_LIVES) != 0;
    s->happen(s, &e);
    if (kept)
        bulkhead__vm_details__free_unpacked(kept, NULL);
}

static void on_done(struct service *s, const struct starter_report *r, size_t n_fds)
{
    struct starter_link *link = s->starter;
    struct host_event e = { .kind = HOST_REPORTED, .ask = r->id, .n_fds = n_fds };
    Bulkhead__HostConfig *config = NULL;

    if (r->id == ping_id) {
        link->pinged = false;
        return;
    }
    e.fault.error = r->error;
    snprintf(e.fault.text, sizeof e.fault.text, "%s", r->text);
    if (e.fault.error != 0 && e.fault.text[0] == '\0')
        snprintf(e.fault.text, sizeof e.fault.text, "%s", strerror(r->error));
    e.fault.bad_input = r->error == EINVAL;
    if (link->terms_of == r->id && r->error == 0)
        config = bulkhead__host_config__unpack(NULL, link->n_terms, link->terms);
    else if (r->error == 0 && r->id != 0 && host_find_ask(&s->host, r->id) &&
             host_find_ask(&s->host, r->id)->kind == ASK_TERMS)
        config = bulkhead__host_config__unpack(NULL, 0, NULL); /* no piece: an empty file */
    e.config = &config;
    s->happen(s, &e);
    if (config)
        bulkhead__host_config__free_unpacked(config, NULL);
}

static void on_report(struct service *s, struct starter_report *r, const uint8_t *bytes,
                      size_t n_fds)
{
    struct host_event e = { .tenant = r->tenant, .name = r->vm };

    r->tenant[sizeof r->tenant - 1] = r->vm[sizeof r->vm - 1] = r->text[sizeof r->text - 1] = '\0';
    switch (r->kind) {
    case STARTER_DONE:
        on_done(s, r, n_fds);
        break;
    case STARTER_PIECE:
        on_piece(s->starter, r, bytes);
        break;
    case STARTER_VM:
        on_vm(s, r, bytes);
        break;
    case STARTER_CONSOLE_ENDED:
    case STARTER_BROKER_ENDED:
        e.kind = r->kind == STARTER_CONSOLE_ENDED ? HOST_CONSOLE_ENDED : HOST_BROKER_ENDED;
        snprintf(e.fault.text, sizeof e.fault.text, "%s", r->text);
        s->happen(s, &e);
        break;
    default:
        log_error("the starter says %u, which is unknown", r->kind);
        break;
    }
}

/* Whose VM is asked about. */
static uint64_t whose(const struct service *s, uint32_t id)
{
    const struct ask *ask = &s->host.asks[id % HOST_MAX_ASKS];
    const struct host_vm *vm = ask->id == id ? host_vm(&s->host, ask->vm) : NULL;

    return closer_of_tenant(vm ? vm->tenant : "");
}

/* The datagram's length, 0: the starter has left, or a negative errno. */
static ssize_t receive(struct service *s, size_t *ret_n_fds)
{
    struct starter_link *link = s->starter;
    struct iovec iov = { .iov_base = link->datagram, .iov_len = sizeof link->datagram };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * STARTER_MAX_FDS)];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes };
    ssize_t n;

    *ret_n_fds = 0;
    do
        n = recvmsg(link->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        size_t n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n_fds && *ret_n_fds < STARTER_MAX_FDS; i++)
            memcpy(&s->reported[(*ret_n_fds)++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return n;
}

static void on_readable(int fd, unsigned what, void *arg)
{
    struct service *s = arg;
    struct starter_link *link = s->starter;
    struct starter_report r;
    size_t n_fds;

    (void)fd;
    (void)what;
    for (unsigned turn = 0; turn < REPORTS_PER_TURN; turn++) {
        struct host_event end = { .kind = HOST_END };
        ssize_t n = receive(s, &n_fds);
        uint64_t of;

        if (n == -EAGAIN)
            return;
        if (n <= 0) { /* the service is told to end, or its first process has */
            s->happen(s, &end);
            return;
        }
        memcpy(&r, link->datagram, MIN((size_t)n, sizeof r));
        of = whose(s, (size_t)n >= sizeof r ? r.id : 0);
        if ((size_t)n >= sizeof r && r.len == (size_t)n - sizeof r)
            on_report(s, &r, link->datagram + sizeof r, n_fds);
        else
            log_error("the starter says %zd bytes that are no report", n);
        for (unsigned i = 0; i < STARTER_MAX_FDS; i++)
            if (s->reported[i] >= 0)
                closer_drop(s->closer, of, fd_take(&s->reported[i]));
    }
}

int starter_link_new(struct service *s, int fd)
{
    struct starter_link *link = calloc(1, sizeof *link);
    int r;

    if (!link)
        return err_origin(-ENOMEM, "the link to the starter");
    link->last = &link->first;
    link->fd = -1;
    s->starter = link;
    for (unsigned i = 0; i < STARTER_MAX_FDS; i++)
        s->reported[i] = -1;
    r = loop_add_fd(s->loop, fd, LOOP_READ, on_readable, s, &link->event);
    if (r == 0)
        r = loop_add_fd(s->loop, fd, LOOP_WRITE, on_room, s, &link->room);
    if (r == 0)
        r = loop_event_pause(link->room);
    if (r < 0) {
        starter_link_free(s);
        return err_trace(r);
    }
    link->fd = fd;
    return 0;
}

void starter_link_free(struct service *s)
{
    struct starter_link *link = s->starter;

    if (!link)
        return;
    if (link->event)
        loop_event_free(link->event);
    if (link->room)
        loop_event_free(link->room);
    while (link->first) {
        struct parcel *p = link->first;

        link->first = p->next;
        free_parcel(p);
    }
    free(link->terms);
    fd_closep(&link->fd);
    free(link);
    s->starter = NULL;
}
