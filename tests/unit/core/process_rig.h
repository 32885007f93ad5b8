/* SPDX-License-Identifier: Apache-2.0 */
/* process_rig.h - a real bulkhead-core with the test as its broker, and a guest of a few
 * instructions written by the test. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "ipc/channel.h"
#include "ipc/rules.h"
#include "shm/byte_ring.h"
#include "shm/layout.h"

enum { RAM = 32 << 20, CODE = 0x200000, COUNTER = 0x300000, SLOT = 2, PATIENCE_MS = 30000 };
#define BAR (uint32_t)(LAYOUT_MMIO32_BASE + SLOT * LAYOUT_BAR_STRIDE)

struct process {
    struct channel *channel;
    pid_t pid;
    int pidfd, ram_fd, kvm_fd, life_fd, serial_fd, serial_out, serial_in;
    uint8_t *ram;
    struct serial_shared *serial;
    int kick, call;
    unsigned vcpus;
};

/* ---- guest code: 32 bit, flat, no stack ---- */
struct code {
    uint8_t *at;
};

void emit(struct code *c, const void *bytes, size_t n);
void emit_imm(struct code *c, uint8_t op, uint32_t imm);
void emit_out(struct code *c, uint16_t port, unsigned size, uint32_t value);
void emit_mmio8(struct code *c, uint32_t addr, uint8_t value);
void emit_mmio32(struct code *c, uint32_t addr, uint32_t value);
void emit_in(struct code *c, uint16_t port, uint32_t to); /* 32 bits, to RAM */
void emit_wait_port_set(struct code *c, uint16_t port);
void emit_wait_mmio8_zero(struct code *c, uint32_t addr);
void emit_wait_ram8_set(struct code *c, uint32_t addr);
void emit_power_off(struct code *c);
void emit_count_for_ever(struct code *c);

/* ---- the broker's part ---- */
/* The next message, which must be this one; valid until the next call. */
const Bulkhead__Envelope *expect(struct process *p, Bulkhead__Envelope__BodyCase body);
void expect_state(struct process *p, Bulkhead__GuestStateKind kind);
void send_msg(struct process *p, const Bulkhead__Envelope *e, const int *fds, size_t n);
/* kvm_fd and life_write_fd as given: tests of bad input pass others. */
void send_configure(struct process *p, int kvm_fd, int life_write_fd, unsigned n_fds);
void send_start(struct process *p);
/* A device with one queue; the descriptors stay the caller's. */
void send_attach(struct process *p, unsigned slot, int kick, int call);
int new_event(void);
bool kvm_there(void);
/* A process that said Hello and has no configuration yet. */
void prepare(struct process *p, unsigned vcpus);
/* Up to Ready, with a device; the guest's code is p->ram + CODE. */
struct code boot(struct process *p, unsigned vcpus);
bool life_ended(struct process *p, int timeout_ms);
/* Waits for its end and gives everything back; the exit status, or minus the signal. */
int end(struct process *p);
int stop(struct process *p);
uint32_t counter(struct process *p);
void wait_counter_above(struct process *p, uint32_t v);
