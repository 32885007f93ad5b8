// SPDX-License-Identifier: Apache-2.0
// cmd_top.c - `bulkhead top`: processes and devices of a VM, refreshed in place.
#include "base/err.h"
#include "base/fd.h"
#include "client.h"
#include "flags.h"
#include "ipc/rules.h"
#include "process_info.h"
#include "rundir.h"
#include "say.h"
#include "shm/stats.h"
#include "verbs.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { TOP_MAX = 80, TOP_PERIOD_MS = 1000, NAME_BYTES = 48 };

struct top_process {
    char role[16], name[NAME_BYTES], state[24];
    int pid;
    unsigned restarts;
    struct process_memory memory;
    struct process_time time;
};

struct top_device {
    char name[NAME_BYTES], role[16];
    int pid;
    unsigned restarts;
    bool has_page;
    struct stats_page page; /* of its counters, as the broker gave them */
};

struct sample {
    uint64_t time_ns;
    char vm[64], state[24];
    uint64_t ram_size;
    size_t n_processes, n_devices;
    struct top_process processes[TOP_MAX];
    struct top_device devices[TOP_MAX];
};

static uint64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void take_processes(struct sample *s, const Bulkhead__ProcessList *list)
{
    say_clean(s->vm, sizeof(s->vm), list->vm);
    say_clean(s->state, sizeof(s->state), list->state);
    s->ram_size = list->ram_size;
    for (size_t i = 0; i < list->n_processes && s->n_processes < TOP_MAX; i++) {
        const Bulkhead__ProcessInfo *p = list->processes[i];
        struct top_process *t = &s->processes[s->n_processes++];

        *t = (struct top_process){.pid = p->pid, .restarts = p->restarts};
        snprintf(t->role, sizeof(t->role), "%s", role_name(p->role));
        say_clean(t->name, sizeof(t->name), p->name);
        say_clean(t->state, sizeof(t->state), p->state);
        if (p->pid > 0) {
            process_memory(p->pid, &t->memory);
            process_time(p->pid, &t->time);
        }
    }
}

/* "1,0,5,...": as many buckets as there are. */
static void take_latency(struct stats_page *page, const char *text)
{
    char *end = NULL;

    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS && *text; i++) {
        page->latency_ns[i] = strtoull(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
}

static void take_counters(struct stats_page *page, Bulkhead__KeyValue *const *values, size_t n)
{
    static const struct {
        const char *key;
        size_t offset;
    } fields[] = {
#define FIELD(name) {#name, offsetof(struct stats_page, name)}
        FIELD(inflight),    FIELD(read_ops),     FIELD(read_bytes),    FIELD(write_ops),
        FIELD(write_bytes), FIELD(flush_ops),    FIELD(discard_ops),   FIELD(errors),
        FIELD(dropped),     FIELD(guest_faults), FIELD(kicks),         FIELD(interrupts),
        FIELD(throttled),   FIELD(connections),  FIELD(balloon_bytes),
#undef FIELD
    };

    for (size_t i = 0; i < n; i++) {
        if (strcmp(values[i]->key, "latency_us_log2") == 0)
            take_latency(page, values[i]->value);
        for (size_t j = 0; j < ARRAY_SIZE(fields); j++)
            if (strcmp(values[i]->key, fields[j].key) == 0)
                *(uint64_t *)(void *)((char *)page + fields[j].offset) =
                    strtoull(values[i]->value, NULL, 10);
    }
}

static void take_devices(struct sample *s, const Bulkhead__Stats *stats)
{
    for (size_t i = 0; i < stats->n_devices && s->n_devices < TOP_MAX; i++) {
        const Bulkhead__DeviceStats *d = stats->devices[i];
        struct top_device *t = &s->devices[s->n_devices++];

        *t = (struct top_device){.pid = d->pid, .restarts = d->restarts};
        snprintf(t->role, sizeof(t->role), "%s", role_name(d->role));
        say_clean(t->name, sizeof(t->name), d->name);
        t->has_page = d->n_counters > 0;
        take_counters(&t->page, d->counters, d->n_counters);
    }
}

static int take_sample(struct client *client, struct sample *s)
{
    Bulkhead__ListProcesses list = BULKHEAD__LIST_PROCESSES__INIT;
    Bulkhead__GetStats stats = BULKHEAD__GET_STATS__INIT;
    struct client_answer answer;
    int r;

    memset(s, 0, sizeof(*s));
    REQUEST(list_request, LIST_PROCESSES, list_processes, &list);
    REQUEST(stats_request, GET_STATS, get_stats, &stats);
    r = client_call(client, &list_request, &answer);
    if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST)
        take_processes(s, answer.envelope->process_list);
    if (r == 0)
        r = client_call(client, &stats_request, &answer);
    if (r == 0 && answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_STATS)
        take_devices(s, answer.envelope->stats);
    s->time_ns = monotonic_ns();
    return r;
}

/* The upper edge in us of the bucket in which the share-th of all requests lies, 0: none. */
static uint64_t percentile_us(const uint64_t *buckets, const uint64_t *before, double share)
{
    uint64_t total = 0;
    uint64_t sum = 0;

    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS; i++)
        total += buckets[i] - (before ? before[i] : 0);
    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS && total > 0; i++) {
        sum += buckets[i] - (before ? before[i] : 0);
        if ((double)sum >= share * (double)total)
            return 1ull << i;
    }
    return 0;
}

static json_t *device_json(const struct top_device *d)
{
    const struct stats_page *p = &d->page;
    json_t *o = json_pack("{s:s,s:s,s:i,s:i}", "name", d->name, "role", d->role, "pid", d->pid,
                          "restarts", (int)d->restarts);

    if (!d->has_page)
        return o;
    json_object_update_new(
        o,
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "read_ops", (json_int_t)p->read_ops,
                  "read_bytes", (json_int_t)p->read_bytes, "write_ops", (json_int_t)p->write_ops,
                  "write_bytes", (json_int_t)p->write_bytes, "flush_ops", (json_int_t)p->flush_ops,
                  "discard_ops", (json_int_t)p->discard_ops, "errors", (json_int_t)p->errors,
                  "dropped", (json_int_t)p->dropped, "inflight", (json_int_t)p->inflight));
    json_object_update_new(
        o,
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "guest_faults", (json_int_t)p->guest_faults,
                  "kicks", (json_int_t)p->kicks, "interrupts", (json_int_t)p->interrupts,
                  "throttled", (json_int_t)p->throttled, "connections", (json_int_t)p->connections,
                  "balloon_bytes", (json_int_t)p->balloon_bytes, "latency_p50_us",
                  (json_int_t)percentile_us(p->latency_ns, NULL, 0.5), "latency_p99_us",
                  (json_int_t)percentile_us(p->latency_ns, NULL, 0.99)));
    return o;
}

static json_t *sample_json(const struct sample *s)
{
    json_t *processes = json_array();
    json_t *devices = json_array();
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);

    for (size_t i = 0; i < s->n_processes; i++) {
        const struct top_process *p = &s->processes[i];
        json_t *o = json_pack("{s:s,s:s,s:i,s:s,s:i}", "role", p->role, "name", p->name, "pid",
                              p->pid, "state", p->state, "restarts", (int)p->restarts);

        json_object_set_new(o, "cpu_seconds",
                            p->time.known ? json_real((double)p->time.ticks * tick) : json_null());
        json_object_set_new(o, "threads",
                            p->time.known ? json_integer(p->time.threads) : json_null());
        json_object_set_new(o, "memory_bytes",
                            p->memory.known ? json_integer((json_int_t)p->memory.own_pss)
                                            : json_null());
        json_array_append_new(processes, o);
    }
    for (size_t i = 0; i < s->n_devices; i++)
        json_array_append_new(devices, device_json(&s->devices[i]));
    return json_pack("{s:s,s:s,s:I,s:o,s:o}", "vm", s->vm, "state", s->state, "ram_size",
                     (json_int_t)s->ram_size, "processes", processes, "devices", devices);
}

static void print_processes(const struct sample *s, const struct sample *before, double seconds)
{
    static const char *const titles[] = {"ROLE", "NAME",   "PID",     "STATE",
                                         "CPU%", "MEMORY", "THREADS", "RESTARTS"};
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    struct table table;

    table_init(&table, ARRAY_SIZE(titles), 0xf4);
    table_row(&table, titles);
    for (size_t i = 0; i < s->n_processes; i++) {
        const struct top_process *p = &s->processes[i];
        const struct top_process *old = i < before->n_processes ? &before->processes[i] : NULL;
        char pid[16], cpu[16], threads[16], restarts[16];
        bool same = old && old->pid == p->pid && p->time.known && p->time.ticks >= old->time.ticks;

        snprintf(pid, sizeof(pid), "%d", p->pid);
        snprintf(cpu, sizeof(cpu), "%.1f",
                 same ? 100 * (double)(p->time.ticks - old->time.ticks) * tick / seconds : 0);
        snprintf(threads, sizeof(threads), "%u", p->time.threads);
        snprintf(restarts, sizeof(restarts), "%u", p->restarts);
        table_row(&table,
                  (const char *[]){p->role, p->name, pid, p->state, p->time.known ? cpu : NULL,
                                   p->memory.known ? say_size(p->memory.own_pss).text : NULL,
                                   p->time.known ? threads : NULL, restarts});
    }
    table_print(&table, stdout);
    table_deinit(&table);
}

static void print_devices(const struct sample *s, const struct sample *before, double seconds)
{
    static const char *const titles[] = {"DEVICE",   "IN-OPS/s", "IN-B/s", "OUT-OPS/s", "OUT-B/s",
                                         "INFLIGHT", "p50",      "p99",    "ERRORS",    "RESTARTS"};
    struct table table;

    table_init(&table, ARRAY_SIZE(titles), 0x3fe);
    table_row(&table, titles);
    for (size_t i = 0; i < s->n_devices; i++) {
        const struct top_device *d = &s->devices[i];
        const struct stats_page *p = &d->page;
        static const struct stats_page zero;
        bool same = i < before->n_devices && before->devices[i].pid == d->pid &&
                    before->devices[i].has_page;
        const struct stats_page *old = same ? &before->devices[i].page : &zero;
        char in[24], out[24], flying[24], p50[24], p99[24], errors[24], restarts[16];

        if (!d->has_page)
            continue;
        snprintf(in, sizeof(in), "%.0f",
                 same ? (double)(p->read_ops - old->read_ops) / seconds : 0);
        snprintf(out, sizeof(out), "%.0f",
                 same ? (double)(p->write_ops - old->write_ops) / seconds : 0);
        snprintf(flying, sizeof(flying), "%llu", (unsigned long long)p->inflight);
        snprintf(p50, sizeof(p50), "<%lluus",
                 (unsigned long long)percentile_us(p->latency_ns, old->latency_ns, 0.5));
        snprintf(p99, sizeof(p99), "<%lluus",
                 (unsigned long long)percentile_us(p->latency_ns, old->latency_ns, 0.99));
        snprintf(errors, sizeof(errors), "%llu", (unsigned long long)p->errors);
        snprintf(restarts, sizeof(restarts), "%u", d->restarts);
        table_row(
            &table,
            (const char *[]){
                d->name, in,
                say_size(same ? (uint64_t)((double)(p->read_bytes - old->read_bytes) / seconds) : 0)
                    .text,
                out,
                say_size(same ? (uint64_t)((double)(p->write_bytes - old->write_bytes) / seconds)
                              : 0)
                    .text,
                flying, strcmp(p50, "<0us") ? p50 : NULL, strcmp(p99, "<0us") ? p99 : NULL, errors,
                restarts});
    }
    table_print(&table, stdout);
    table_deinit(&table);
}

static int watch_vm(struct client *client, struct sample samples[2])
{
    cleanup_(fd_closep) int sig = -1;
    sigset_t set;
    unsigned i = 0;
    int r;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sig = signalfd(-1, &set, SFD_CLOEXEC);
    r = take_sample(client, &samples[0]);
    while (r == 0) {
        struct pollfd p = {.fd = sig, .events = POLLIN};
        const struct sample *before = &samples[i % 2];
        struct sample *now = &samples[++i % 2];
        double seconds;

        if (poll(&p, 1, i == 1 ? TOP_PERIOD_MS / 4 : TOP_PERIOD_MS) > 0)
            return 0;
        r = take_sample(client, now);
        if (r < 0)
            break;
        seconds = (double)(now->time_ns - before->time_ns) / 1e9;
        if (isatty(1))
            fputs("\033[H\033[J", stdout);
        printf("%s: %s, guest RAM %s\n\n", now->vm, now->state, say_size(now->ram_size).text);
        print_processes(now, before, seconds);
        putchar('\n');
        print_devices(now, before, seconds);
        fflush(stdout);
    }
    return r == -EPIPE ? 0 : r; /* the VM has ended */
}

static int top_vm(const char *vm, bool json)
{
    struct sample *samples = calloc(2, sizeof(*samples));
    struct client client = {0};
    int r = samples ? client_connect(&client, vm) : err_origin(-ENOMEM, "samples");
    int status = EXIT_OK;

    if (r == 0 && json) {
        r = take_sample(&client, &samples[0]);
        if (r == 0)
            status = say_json(sample_json(&samples[0]));
    } else if (r == 0) {
        r = watch_vm(&client, samples);
    }
    if (r < 0)
        status = client_failed(r);
    client_close(&client);
    free(samples);
    return status;
}

int verb_top(int argc, char **argv)
{
    static char names[RUNDIR_MAX_VMS][RUNDIR_NAME_BYTES];
    struct simple_args args;
    struct option_error err;
    size_t n;

    if (flags_parse_simple(argc, argv, &args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (args.help)
        return verb_help("top");
    if (args.n_operands > 1)
        return say_error(EXIT_BAD_INPUT, "top takes one VM");
    if (args.n_operands == 1)
        return top_vm(args.operands[0], args.json);
    n = rundir_list(names, RUNDIR_MAX_VMS);
    if (n == 1)
        return top_vm(names[0], args.json);
    return say_error(EXIT_BAD_INPUT,
                     n == 0 ? "no VM is running" : "several VMs run: name one (see bulkhead ps)");
}
