/* SPDX-License-Identifier: Apache-2.0 */
/* bpf.c - an interpreter for the part of classic BPF that seccomp filters use. */
#include "sandbox/bpf.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sha2.h>
#include <stddef.h>
#include <string.h>

enum { MAX_CODE = 4096, MEM_WORDS = 16 };

struct machine {
    uint32_t a, x;
    uint32_t mem[MEM_WORDS];
};

static bool load(struct machine *m, const struct sock_filter *in, const struct seccomp_data *data)
{
    switch (in->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        if (in->k % 4 != 0 || in->k > sizeof *data - 4)
            return false;
        memcpy(&m->a, (const char *)data + in->k, 4);
        return true;
    case BPF_LD | BPF_IMM:
        m->a = in->k;
        return true;
    case BPF_LD | BPF_MEM:
        m->a = m->mem[in->k % MEM_WORDS];
        return true;
    case BPF_LDX | BPF_IMM:
        m->x = in->k;
        return true;
    case BPF_LDX | BPF_MEM:
        m->x = m->mem[in->k % MEM_WORDS];
        return true;
    case BPF_ST:
        m->mem[in->k % MEM_WORDS] = m->a;
        return true;
    case BPF_STX:
        m->mem[in->k % MEM_WORDS] = m->x;
        return true;
    case BPF_MISC | BPF_TAX:
        m->x = m->a;
        return true;
    case BPF_MISC | BPF_TXA:
        m->a = m->x;
        return true;
    default:
        return false;
    }
}

static bool alu(struct machine *m, const struct sock_filter *in)
{
    uint32_t v = BPF_SRC(in->code) == BPF_X ? m->x : in->k;

    switch (BPF_OP(in->code)) {
    case BPF_AND:
        m->a &= v;
        return true;
    case BPF_OR:
        m->a |= v;
        return true;
    case BPF_XOR:
        m->a ^= v;
        return true;
    case BPF_ADD:
        m->a += v;
        return true;
    case BPF_SUB:
        m->a -= v;
        return true;
    case BPF_LSH:
        m->a = v < 32 ? m->a << v : 0;
        return true;
    case BPF_RSH:
        m->a = v < 32 ? m->a >> v : 0;
        return true;
    default:
        return false;
    }
}

static bool condition(const struct machine *m, const struct sock_filter *in)
{
    uint32_t v = BPF_SRC(in->code) == BPF_X ? m->x : in->k;

    switch (BPF_OP(in->code)) {
    case BPF_JEQ:
        return m->a == v;
    case BPF_JGT:
        return m->a > v;
    case BPF_JGE:
        return m->a >= v;
    default:
        return (m->a & v) != 0; /* BPF_JSET */
    }
}

uint32_t bpf_run(const struct sock_filter *code, unsigned n, const struct seccomp_data *data)
{
    struct machine m = { 0 };

    for (unsigned pc = 0; pc < n; pc++) {
        const struct sock_filter *in = &code[pc];

        switch (BPF_CLASS(in->code)) {
        case BPF_RET:
            return in->code == (BPF_RET | BPF_K) ? in->k : m.a;
        case BPF_JMP:
            if (BPF_OP(in->code) == BPF_JA)
                pc += MIN(in->k, n);
            else
                pc += condition(&m, in) ? in->jt : in->jf;
            break;
        case BPF_ALU:
            if (!alu(&m, in))
                return SECCOMP_RET_KILL_PROCESS;
            break;
        default:
            if (!load(&m, in, data))
                return SECCOMP_RET_KILL_PROCESS;
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

/* The walk behind bpf_may_allow(): A is either known (the number, the architecture, constants) or
 * anything (arguments); a comparison of anything goes both ways. Jumps only go forward. */
struct walk {
    const struct sock_filter *code;
    unsigned n;
    int nr;
    bool seen_unknown[MAX_CODE]; /* from here on with A unknown: already looked at */
};

static bool walk_from(struct walk *w, unsigned pc, bool known, uint32_t a);

static bool walk_jump(struct walk *w, unsigned pc, bool known, uint32_t a)
{
    const struct sock_filter *in = &w->code[pc];
    const struct machine m = { .a = a };

    if (BPF_OP(in->code) == BPF_JA)
        return walk_from(w, pc + 1 + MIN(in->k, w->n), known, a);
    if (known && BPF_SRC(in->code) == BPF_K)
        return walk_from(w, pc + 1u + (condition(&m, in) ? in->jt : in->jf), known, a);
    return walk_from(w, pc + 1u + in->jt, false, 0) || walk_from(w, pc + 1u + in->jf, false, 0);
}

static bool walk_from(struct walk *w, unsigned pc, bool known, uint32_t a)
{
    struct machine m = { .a = a };

    for (; pc < w->n; pc++) {
        const struct sock_filter *in = &w->code[pc];

        if (!known) {
            if (w->seen_unknown[pc])
                return false;
            w->seen_unknown[pc] = true;
        }
        switch (BPF_CLASS(in->code)) {
        case BPF_RET:
            return in->code != (BPF_RET | BPF_K) ||
                   (in->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW ||
                   (in->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_LOG;
        case BPF_JMP:
            return walk_jump(w, pc, known, m.a);
        case BPF_LD:
            known = true;
            if (in->code == (BPF_LD | BPF_IMM))
                m.a = in->k;
            else if (in->code == (BPF_LD | BPF_W | BPF_ABS) &&
                     in->k == offsetof(struct seccomp_data, nr))
                m.a = (uint32_t)w->nr;
            else if (in->code == (BPF_LD | BPF_W | BPF_ABS) &&
                     in->k == offsetof(struct seccomp_data, arch))
                m.a = AUDIT_ARCH_X86_64;
            else
                known = false;
            break;
        case BPF_ALU:
            known = known && BPF_SRC(in->code) == BPF_K && alu(&m, in);
            break;
        case BPF_MISC:
            known = known && in->code == (BPF_MISC | BPF_TAX);
            break;
        default:
            break; /* stores and LDX leave A alone */
        }
    }
    return false;
}

bool bpf_may_allow(const struct sock_filter *code, unsigned n, int nr)
{
    struct walk w = { .code = code, .n = n, .nr = nr };

    return n <= MAX_CODE && walk_from(&w, 0, true, 0);
}

void bpf_sha256(const struct sock_filter *code, unsigned n, char ret_hex[BPF_SHA256_CHARS])
{
    _Static_assert(BPF_SHA256_CHARS == SHA256_DIGEST_STRING_LENGTH, "hex digits and a 0");

    SHA256Data((const uint8_t *)code, n * sizeof *code, ret_hex);
}
