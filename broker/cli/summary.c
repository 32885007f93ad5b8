// SPDX-License-Identifier: Apache-2.0
// summary.c - see summary.h.
#include "summary.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/compiler.h"
#include "cells.h"
#include "output.h"

void summary_take(struct summary *ret_summary, const struct top_sample *sample)
{
    struct summary s = { .time_ns = sample->time_ns, .ram_size = sample->ram_size };

    say_clean(s.vm, sizeof(s.vm), sample->vm);
    say_clean(s.state, sizeof(s.state), sample->state);
    for (size_t i = 0; i < sample->n_processes; i++) {
        const struct top_process *p = &sample->processes[i];

        s.n_processes += p->pid > 0;
        s.memory += p->memory.known ? p->memory.own_pss : 0;
        s.memory_known |= p->memory.known;
        s.ticks += p->time.known ? p->time.ticks : 0;
        s.ticks_known |= p->time.known;
        s.restarts += p->restarts;
    }
    for (size_t i = 0; i < sample->n_devices; i++) {
        s.in_bytes += sample->devices[i].page.read_bytes;
        s.out_bytes += sample->devices[i].page.write_bytes;
    }
    *ret_summary = s;
}

static double seconds_between(const struct summary *now, const struct summary *before)
{
    return before->time_ns != 0 && now->time_ns > before->time_ns
               ? (double)(now->time_ns - before->time_ns) / 1e9
               : 0;
}

/* What went back is a process that was replaced, or a lie: nothing happened. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
    return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

double summary_cpu(const struct summary *now, const struct summary *before)
{
    double seconds = seconds_between(now, before);

    if (!now->ticks_known)
        return -1;
    return 100 * rate(now->ticks, before->ticks, seconds) / (double)sysconf(_SC_CLK_TCK);
}

static int compare(const void *a, const void *b)
{
    const struct summary_pair *p = a, *q = b;
    double x = summary_cpu(&p->now, &p->before), y = summary_cpu(&q->now, &q->before);

    if (x < y)
        return 1;
    return x > y ? -1 : strcmp(p->now.vm, q->now.vm);
}

static void print_row(FILE *out, const struct summary_pair *pair)
{
    const struct summary *now = &pair->now, *before = &pair->before;
    double seconds = seconds_between(now, before), cpu = summary_cpu(now, before);
    char cpu_text[16] = "-";

    if (cpu >= 0)
        snprintf(cpu_text, sizeof(cpu_text), "%.1f", cpu);
    say(out, "%-20.20s %-9.9s %6.6s %7.7s %7.7s %4.4s %6.6s %7.7s %4.4s\n", now->vm, now->state,
        cpu_text, now->memory_known ? cell_bytes((double)now->memory).text : "-",
        now->ram_size ? cell_bytes((double)now->ram_size).text : "-",
        now->n_processes ? cell_count(now->n_processes).text : "-",
        cell_bytes(rate(now->in_bytes, before->in_bytes, seconds)).text,
        cell_bytes(rate(now->out_bytes, before->out_bytes, seconds)).text,
        cell_count(now->restarts).text);
}

void summary_print(FILE *out, struct summary_pair *pairs, size_t n)
{
    uint64_t memory = 0, ram = 0;
    double cpu = 0;

    qsort(pairs, n, sizeof(*pairs), compare);
    for (size_t i = 0; i < n; i++) {
        memory += pairs[i].now.memory;
        ram += pairs[i].now.ram_size;
        cpu += MAX(summary_cpu(&pairs[i].now, &pairs[i].before), 0.0);
    }
    say(out, "%zu VM%s, CPU %.1f%%, memory %s, guest RAM %s\n\n", n, n == 1 ? "" : "s", cpu,
        say_size(memory).text, say_size(ram).text);
    say(out, "%-20s %-9s %6s %7s %7s %4s %6s %7s %4s\n", "VM", "STATE", "CPU%", "MEMORY", "RAM",
        "PROC", "IN-B/s", "OUT-B/s", "RST");
    for (size_t i = 0; i < n; i++)
        print_row(out, &pairs[i]);
}
