// SPDX-License-Identifier: Apache-2.0
// samples.c - see samples.h.
#include "samples.h"
#include <linux/virtio_balloon.h>
#include <string.h>
#include <unistd.h>
#include "base/compiler.h"
#include "cells.h"
#include "ipc/rules.h"
#include "output.h"

/* ---- from messages ---- */

void top_take_processes(struct top_sample *s, const Bulkhead__ProcessList *list,
                        const struct kin *kin)
{
    say_clean(s->vm, sizeof(s->vm), list->vm);
    say_clean(s->state, sizeof(s->state), list->state);
    s->ram_size = list->ram_size;
    for (size_t i = 0; i < list->n_processes && s->n_processes < TOP_MAX; i++) {
        const Bulkhead__ProcessInfo *p = list->processes[i];
        struct top_process *t = &s->processes[s->n_processes++];

        *t = (struct top_process){ .pid = p->pid, .restarts = p->restarts };
        snprintf(t->role, sizeof(t->role), "%s", role_name(p->role));
        say_clean(t->name, sizeof(t->name), p->name);
        say_clean(t->state, sizeof(t->state), p->state);
        if (p->pid > 0 && kin_has(kin, p->role, p->pid)) {
            process_memory(p->pid, &t->memory);
            process_time(p->pid, &t->time);
            if (p->role == BULKHEAD__ROLE__ROLE_CORE)
                pressure_look(p->pid, &s->pressure);
        }
    }
}

static void take_memory(uint64_t *stats, const Bulkhead__GuestMemory *m)
{
    stats[VIRTIO_BALLOON_S_SWAP_IN] = m->swap_in;
    stats[VIRTIO_BALLOON_S_SWAP_OUT] = m->swap_out;
    stats[VIRTIO_BALLOON_S_MAJFLT] = m->major_faults;
    stats[VIRTIO_BALLOON_S_MINFLT] = m->minor_faults;
    stats[VIRTIO_BALLOON_S_MEMFREE] = m->free;
    stats[VIRTIO_BALLOON_S_MEMTOT] = m->total;
    stats[VIRTIO_BALLOON_S_AVAIL] = m->available;
    stats[VIRTIO_BALLOON_S_CACHES] = m->caches;
    stats[VIRTIO_BALLOON_S_HTLB_PGALLOC] = m->hugetlb_allocations;
    stats[VIRTIO_BALLOON_S_HTLB_PGFAIL] = m->hugetlb_failures;
}

static void take_counters(struct top_device *t, const Bulkhead__Counters *c)
{
    struct stats_page *p = &t->page;

    p->heartbeat = c->heartbeat;
    p->oldest_start_ns = c->oldest_ns;
    p->inflight = c->inflight;
    p->read_ops = c->read_ops;
    p->read_bytes = c->read_bytes;
    p->write_ops = c->write_ops;
    p->write_bytes = c->write_bytes;
    p->flush_ops = c->flush_ops;
    p->discard_ops = c->discard_ops;
    p->errors = c->errors;
    p->dropped = c->dropped;
    p->guest_faults = c->guest_faults;
    p->kicks = c->kicks;
    p->interrupts = c->interrupts;
    p->throttled = c->throttled;
    p->connections = c->connections;
    p->balloon_bytes = c->balloon_bytes;
    for (size_t i = 0; i < c->n_latency && i < STATS_LATENCY_BUCKETS; i++)
        p->latency_ns[i] = c->latency[i];
    t->has_memory = c->guest_memory != NULL;
    if (c->guest_memory)
        take_memory(p->guest_stats, c->guest_memory);
}

void top_take_devices(struct top_sample *s, const Bulkhead__Stats *stats)
{
    for (size_t i = 0; i < stats->n_devices && s->n_devices < TOP_MAX; i++) {
        const Bulkhead__DeviceStats *d = stats->devices[i];
        struct top_device *t = &s->devices[s->n_devices++];

        *t = (struct top_device){ .pid = d->pid, .restarts = d->restarts };
        snprintf(t->role, sizeof(t->role), "%s", role_name(d->role));
        say_clean(t->name, sizeof(t->name), d->name);
        if (d->counters)
            take_counters(t, d->counters);
    }
}

/* A counter that went back is a guest's or a worker's lie: nothing happened. */
static uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

uint64_t top_percentile_us(const uint64_t *buckets, const uint64_t *before, double share)
{
    double total = 0;
    double sum = 0;

    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS; i++)
        total += (double)grown(buckets[i], before ? before[i] : 0);
    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS && total > 0; i++) {
        sum += (double)grown(buckets[i], before ? before[i] : 0);
        if (sum >= share * total)
            return 1ull << i;
    }
    return 0;
}

/* ---- JSON ---- */

static json_t *memory_json(const uint64_t *stats)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "total",
                     (json_int_t)stats[VIRTIO_BALLOON_S_MEMTOT], "free",
                     (json_int_t)stats[VIRTIO_BALLOON_S_MEMFREE], "available",
                     (json_int_t)stats[VIRTIO_BALLOON_S_AVAIL], "caches",
                     (json_int_t)stats[VIRTIO_BALLOON_S_CACHES], "swap_in",
                     (json_int_t)stats[VIRTIO_BALLOON_S_SWAP_IN], "swap_out",
                     (json_int_t)stats[VIRTIO_BALLOON_S_SWAP_OUT], "major_faults",
                     (json_int_t)stats[VIRTIO_BALLOON_S_MAJFLT], "minor_faults",
                     (json_int_t)stats[VIRTIO_BALLOON_S_MINFLT], "hugetlb_allocations",
                     (json_int_t)stats[VIRTIO_BALLOON_S_HTLB_PGALLOC], "hugetlb_failures",
                     (json_int_t)stats[VIRTIO_BALLOON_S_HTLB_PGFAIL]);
}

static json_t *device_json(const struct top_device *d)
{
    const struct stats_page *p = &d->page;
    json_t *latency = json_array();
    json_t *o =
        json_pack("{s:s,s:s,s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:I}", "name", d->name, "role", d->role,
                  "pid", d->pid, "restarts", (int)d->restarts, "read_ops", (json_int_t)p->read_ops,
                  "read_bytes", (json_int_t)p->read_bytes, "write_ops", (json_int_t)p->write_ops,
                  "write_bytes", (json_int_t)p->write_bytes, "flush_ops", (json_int_t)p->flush_ops,
                  "discard_ops", (json_int_t)p->discard_ops);

    json_object_update_new(
        o, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "errors", (json_int_t)p->errors,
                     "dropped", (json_int_t)p->dropped, "inflight", (json_int_t)p->inflight,
                     "oldest_ns", (json_int_t)p->oldest_start_ns, "guest_faults",
                     (json_int_t)p->guest_faults, "kicks", (json_int_t)p->kicks, "interrupts",
                     (json_int_t)p->interrupts, "throttled", (json_int_t)p->throttled,
                     "connections", (json_int_t)p->connections));
    for (unsigned i = 0; i < STATS_LATENCY_BUCKETS; i++)
        json_array_append_new(latency, json_integer((json_int_t)p->latency_ns[i]));
    json_object_update_new(
        o, json_pack("{s:I,s:I,s:I,s:o}", "balloon_bytes", (json_int_t)p->balloon_bytes,
                     "latency_p50_us", (json_int_t)top_percentile_us(p->latency_ns, NULL, 0.5),
                     "latency_p99_us", (json_int_t)top_percentile_us(p->latency_ns, NULL, 0.99),
                     "latency_us_log2", latency));
    if (d->has_memory)
        json_object_set_new(o, "guest_memory", memory_json(p->guest_stats));
    return o;
}

json_t *top_json(const struct top_sample *s)
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
    return json_pack("{s:s,s:s,s:I,s:o,s:o,s:o}", "vm", s->vm, "state", s->state, "ram_size",
                     (json_int_t)s->ram_size, "pressure", pressure_json(&s->pressure), "processes",
                     processes, "devices", devices);
}

/* ---- the screen: columns of a fixed width, at most 79 in all ---- */

/* "<64us", "<2ms", "<1s": an upper edge; "-" for none. */
static struct cell latency(uint64_t us)
{
    struct cell c = { "-" };

    if (us != 0 && us < 1 << 10)
        snprintf(c.text, sizeof(c.text), "<%uus", (unsigned)us);
    else if (us != 0 && us < 1 << 20)
        snprintf(c.text, sizeof(c.text), "<%ums", (unsigned)(us >> 10));
    else if (us != 0)
        snprintf(c.text, sizeof(c.text), "<%us", (unsigned)(us >> 20));
    return c;
}

static const struct top_process *find_process(const struct top_sample *s, int pid)
{
    for (size_t i = 0; i < s->n_processes; i++)
        if (pid > 0 && s->processes[i].pid == pid)
            return &s->processes[i];
    return NULL;
}

static const struct top_device *find_device(const struct top_sample *s, const char *name)
{
    for (size_t i = 0; i < s->n_devices; i++)
        if (strcmp(s->devices[i].name, name) == 0)
            return &s->devices[i];
    return NULL;
}

static void print_processes(FILE *out, const struct top_sample *s, const struct top_sample *before,
                            double seconds)
{
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);

    say(out, "%-20s %-8s %7s  %-10s %6s %7s %7s %5s\n", "PROCESS", "ROLE", "PID", "STATE", "CPU%",
        "MEMORY", "THREADS", "RST");
    for (size_t i = 0; i < s->n_processes; i++) {
        const struct top_process *p = &s->processes[i];
        const struct top_process *old = find_process(before, p->pid);
        char cpu[16] = "-", threads[16] = "-";

        if (p->time.known) {
            snprintf(cpu, sizeof(cpu), "%.1f",
                     old ? 100 * (double)grown(p->time.ticks, old->time.ticks) * tick / seconds
                         : 0);
            snprintf(threads, sizeof(threads), "%u", p->time.threads);
        }
        say(out, "%-20.20s %-8.8s %7d  %-10.10s %6.6s %7.7s %7.7s %5s\n", p->name, p->role, p->pid,
            p->state, cpu, p->memory.known ? cell_bytes((double)p->memory.own_pss).text : "-",
            threads, cell_count(p->restarts).text);
    }
}

static void print_devices(FILE *out, const struct top_sample *s, const struct top_sample *before,
                          double seconds)
{
    say(out, "%-14s %5s %6s %5s %7s %5s %6s %6s %5s %5s %5s\n", "DEVICE", "IN/s", "IN-B/s", "OUT/s",
        "OUT-B/s", "FLY", "p50", "p99", "ERR", "DROP", "RST");
    for (size_t i = 0; i < s->n_devices; i++) {
        const struct top_device *d = &s->devices[i];
        const struct top_device *old = find_device(before, d->name);
        const struct stats_page *p = &d->page;
        const struct stats_page *q = old ? &old->page : p;

        say(out, "%-14.14s %5s %6s %5s %7s %5s %6s %6s %5s %5s %5s\n", d->name,
            cell_count((double)grown(p->read_ops, q->read_ops) / seconds).text,
            cell_bytes((double)grown(p->read_bytes, q->read_bytes) / seconds).text,
            cell_count((double)grown(p->write_ops, q->write_ops) / seconds).text,
            cell_bytes((double)grown(p->write_bytes, q->write_bytes) / seconds).text,
            cell_count((double)p->inflight).text,
            latency(top_percentile_us(p->latency_ns, q->latency_ns, 0.5)).text,
            latency(top_percentile_us(p->latency_ns, q->latency_ns, 0.99)).text,
            cell_count((double)p->errors).text, cell_count((double)p->dropped).text,
            cell_count(d->restarts).text);
    }
}

static void print_memory(FILE *out, const struct top_device *d)
{
    const uint64_t *stats = d->page.guest_stats;

    say(out, "%-14.14s %s given back", d->name, cell_bytes((double)d->page.balloon_bytes).text);
    if (d->has_memory)
        say(out, "; the guest has %s, free %s, available %s",
            cell_bytes((double)stats[VIRTIO_BALLOON_S_MEMTOT]).text,
            cell_bytes((double)stats[VIRTIO_BALLOON_S_MEMFREE]).text,
            cell_bytes((double)stats[VIRTIO_BALLOON_S_AVAIL]).text);
    fputc('\n', out);
}

/* Nothing where the host doesn't say. */
static void print_pressure(FILE *out, const struct pressure *p)
{
    if (p->cpu.known || p->memory.known || p->io.known)
        say(out, "waited, of the last 10 s: for a CPU %.1f%%, for memory %.1f%%, for I/O %.1f%%\n",
            p->cpu.some, p->memory.some, p->io.some);
}

void top_print(FILE *out, const struct top_sample *now, const struct top_sample *before)
{
    double seconds = (double)grown(now->time_ns, before->time_ns) / 1e9;

    if (seconds <= 0)
        seconds = 1;
    say(out, "%.48s: %s, guest RAM %s\n", now->vm, now->state, say_size(now->ram_size).text);
    print_pressure(out, &now->pressure);
    fputc('\n', out);
    print_processes(out, now, before, seconds);
    fputc('\n', out);
    print_devices(out, now, before, seconds);
    for (size_t i = 0; i < now->n_devices; i++)
        if (strcmp(now->devices[i].role, role_name(BULKHEAD__ROLE__ROLE_BALLOON)) == 0)
            print_memory(out, &now->devices[i]);
}
