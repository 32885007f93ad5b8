/* SPDX-License-Identifier: Apache-2.0 */
/* journal.c - see journal.h. journald's own protocol, a datagram of "FIELD=value" lines, on a socket that is connected
 * already: the sandbox needs no right more than for the service manager's. */
#include "hostd/run/journal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "hostd/run/pace.h"

enum {
    MAX_BYTES = 8192,
    MAX_LINE = 440, /* of JSON: what the log takes in one line */
    MAX_KEY = 40,
    MAX_VALUE = 1024,
};

struct journal {
    int fd; /* -1: to the log */
    uint64_t lost;
    struct paces paces;
};

int journal_new(struct journal **ret_journal, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct journal *j = calloc(1, sizeof *j);

    if (!j)
        return err_origin(-ENOMEM, "the journal");
    j->fd = -1;
    *ret_journal = j;
    if (!path)
        return 0;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (j->fd >= 0 && connect(j->fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return 0;
    log_warn("%s: %s: events go to the log", path, strerror(errno));
    fd_closep(&j->fd);
    j->fd = -1;
    return 0;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    fd_closep(&j->fd);
    free(j);
}

/* ---- what is made ---- */

struct text {
    char bytes[MAX_BYTES];
    size_t n, max;
    bool cut;
};

static void add(struct text *t, const char *fmt, ...) printf_like(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, fmt, args);
    va_end(args);
    if (n < 0 || t->n + (size_t)n >= t->max)
        t->cut = true; /* and the caller goes back to where it was */
    else
        t->n += (size_t)n;
}

/* A broker may say anything: one line of letters, whatever it is. */
static const char *plain(const char *value, char *dst)
{
    size_t n = 0;

    for (; value[n] != '\0' && n < MAX_VALUE - 1; n++)
        dst[n] = value[n] < 0x20 || value[n] > 0x7e ? '?' : value[n];
    dst[n] = '\0';
    return dst;
}

static void add_json(struct text *t, const char *name, const char *value)
{
    char clean[MAX_VALUE];
    size_t before = t->n;

    add(t, "%s\"%s\": \"", t->bytes[t->n - 1] == '{' ? "" : ", ", name);
    for (const char *p = plain(value, clean); *p != '\0' && !t->cut; p++)
        add(t, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
    add(t, "\"");
    if (t->cut)
        t->n = before;
    t->cut = false;
}

static void add_field(struct text *t, const char *name, const char *value)
{
    char clean[MAX_VALUE];
    size_t before = t->n;

    if (value[0] != '\0')
        add(t, "%s=%s\n", name, plain(value, clean));
    if (t->cut)
        t->n = before;
    t->cut = false;
}

/* A property's, apart from those that the service itself vouches for. */
static void name_field(const char *key, char *dst)
{
    int n = snprintf(dst, MAX_KEY + 20, "BULKHEAD_DATA_");

    for (size_t i = 0; key[i] != '\0' && i < MAX_KEY; i++)
        dst[n++] = key[i] >= 'a' && key[i] <= 'z'   ? (char)(key[i] - 'a' + 'A')
                   : key[i] >= 'A' && key[i] <= 'Z' ? key[i]
                   : key[i] >= '0' && key[i] <= '9' ? key[i]
                                                    : '_';
    dst[n] = '\0';
}

/* As syslog has it: 4 for what somebody may have to do something about. */
static int priority_of(const Bulkhead__Event *e)
{
    static const char *const warnings[] = { "start_failed", "conflict", "failed", "crashed",
                                            "lost",         "hung",     "error" };

    for (unsigned i = 0; i < ARRAY_SIZE(warnings); i++)
        if (strcmp(e->event, warnings[i]) == 0)
            return 4;
    return 6;
}

static const char *text_of(const Bulkhead__Event *e)
{
    for (size_t i = 0; i < e->n_properties; i++)
        if (strcmp(e->properties[i]->key, "text") == 0)
            return e->properties[i]->value;
    return "";
}

static void make_fields(struct journal *j, struct text *t, const Bulkhead__HostEvent *e)
{
    char message[MAX_VALUE], name[MAX_KEY + 20], number[24];
    const char *text = text_of(e->event);

    snprintf(message, sizeof message, "%s%s%s%s%s %s%s%.400s", e->tenant,
             e->vm[0] != '\0' ? "/" : "", e->vm, e->tenant[0] != '\0' ? ": " : "", e->event->source,
             e->event->event, text[0] != '\0' ? ": " : "", text);
    add_field(t, "MESSAGE", message);
    add(t, "PRIORITY=%d\nSYSLOG_IDENTIFIER=bulkhead-hostd\n", priority_of(e->event));
    add_field(t, "BULKHEAD_TENANT", e->tenant);
    add_field(t, "BULKHEAD_VM", e->vm);
    add_field(t, "BULKHEAD_SOURCE", e->event->source);
    add_field(t, "BULKHEAD_EVENT", e->event->event);
    snprintf(number, sizeof number, "%llu", (unsigned long long)e->sequence);
    add_field(t, "BULKHEAD_SEQUENCE", number);
    if (j->lost > 0) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)j->lost);
        add_field(t, "BULKHEAD_LOST", number);
    }
    for (size_t i = 0; i < e->event->n_properties; i++) {
        name_field(e->event->properties[i]->key, name);
        add_field(t, name, e->event->properties[i]->value);
    }
}

static void make_json(struct journal *j, struct text *t, const Bulkhead__HostEvent *e)
{
    char clean[MAX_VALUE];

    t->max = MAX_LINE;
    add(t, "{\"sequence\": %llu", (unsigned long long)e->sequence);
    if (j->lost > 0)
        add(t, ", \"lost\": %llu", (unsigned long long)j->lost);
    add_json(t, "tenant", e->tenant);
    add_json(t, "vm", e->vm);
    add_json(t, "source", e->event->source);
    add_json(t, "event", e->event->event);
    add(t, ", \"properties\": {");
    for (size_t i = 0; i < e->event->n_properties; i++) {
        char name[MAX_KEY + 1];

        snprintf(name, sizeof name, "%.*s", MAX_KEY, e->event->properties[i]->key);
        if (strcspn(plain(name, clean), "\"\\") == strlen(clean))
            add_json(t, clean, e->event->properties[i]->value);
    }
    t->max += 4;
    add(t, "}}");
}

void journal_tell(struct journal *j, const Bulkhead__HostEvent *e, uint64_t now_ns)
{
    static struct text t;

    if (!j || !e->event)
        return;
    t = (struct text){ .max = sizeof t.bytes };
    if (pace_take(&j->paces, e->tenant, JOURNAL_PER_S, now_ns) != 0) {
        j->lost++;
    } else if (j->fd < 0) {
        make_json(j, &t, e);
        log_info("%.*s", (int)t.n, t.bytes);
        j->lost = 0;
    } else {
        make_fields(j, &t, e);
        j->lost = send(j->fd, t.bytes, t.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? j->lost + 1 : 0;
    }
}
