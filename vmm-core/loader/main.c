/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the loader process: one boot, then gone. Top to bottom: check what was inherited, Hello,
 * Configure, map RAM, sandbox, Ready; only after Start is a byte of the files read. */
#include <errno.h>
#include <stdio.h>
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "boot.h"
#include "ipc/channel.h"
#include "ipc/rules.h"
#include "loader.h"
#include "sandbox/enter.h"
#include "sandbox/gen/filter_loader.h"
#include "sandbox/layers.h"
#include "shm/layout.h"

struct loader_process {
    struct channel *channel;
    enum child_state state;
    struct gmem mem;
    struct loader loader;
    char cmdline[LAYOUT_CMDLINE_MAX];
    bool insecure;
};

static int send_message(struct loader_process *p, const Bulkhead__Envelope *e)
{
    int r = channel_send(p->channel, e, NULL, 0, true);

    if (r < 0)
        return err_trace(r);
    p->state = rules_next(RULE_FROM_CHILD, BULKHEAD__ROLE__ROLE_LOADER, p->state, e);
    return 0;
}

/* The next message, legal in our state; -ESHUTDOWN when there is nothing left to do. */
static int next_message(struct loader_process *p, struct message *ret_msg)
{
    int r = channel_receive(p->channel, true, ret_msg);

    if (r == CHANNEL_CLOSED)
        return -ESHUTDOWN;
    if (r != 0)
        return err_trace(r < 0 ? r : -EIO);
    r = rules_check(RULE_TO_CHILD, BULKHEAD__ROLE__ROLE_LOADER, p->state, ret_msg->envelope,
                    ret_msg->n_fds);
    if (r < 0)
        return err_trace(r);
    p->state = rules_next(RULE_TO_CHILD, BULKHEAD__ROLE__ROLE_LOADER, p->state, ret_msg->envelope);
    return ret_msg->envelope->body_case == BULKHEAD__ENVELOPE__BODY_STOP ? -ESHUTDOWN : 0;
}

static void say_failed(struct loader_process *p, int r)
{
    Bulkhead__Failed failed = BULKHEAD__FAILED__INIT;

    ENVELOPE(e, FAILED, failed, &failed);
    failed.bad_input = r == LOADER_E_INPUT;
    failed.error = r < 0 ? -r : EINVAL;
    failed.what = failed.bad_input ? p->loader.why : (char *)(uintptr_t)err_text();
    if (r < 0)
        log_debug("%s (%s)", err_text(), err_frames());
    if (send_message(p, &e) < 0) /* else the broker says it, once */
        log_error("the broker is gone");
}

static int say_hello(struct loader_process *p)
{
    Bulkhead__Hello hello = BULKHEAD__HELLO__INIT;

    ENVELOPE(e, HELLO, hello, &hello);
    hello.protocol_min = PROTOCOL_MIN;
    hello.protocol_max = PROTOCOL_MAX;
    hello.build_id = (char *)(uintptr_t)BH_BUILD_ID;
    hello.role = BULKHEAD__ROLE__ROLE_LOADER;
    return send_message(p, &e);
}

static int check_files(struct loader_process *p, struct message *msg, bool has_initramfs)
{
    if (msg->n_fds != 2u + has_initramfs)
        return err_origin(-EPROTO, "configure with %zu descriptors", msg->n_fds);
    for (size_t i = 1; i < msg->n_fds; i++) {
        enum fd_type type = fd_type(msg->fds[i]);

        if (type != FD_TYPE_REGULAR && type != FD_TYPE_BLOCK && type != FD_TYPE_MEMFD)
            return loader_bad(&p->loader, "the %s is not a regular file",
                              i == 1 ? "kernel" : "initramfs");
    }
    return fd_expect(msg->fds[0], FD_TYPE_MEMFD, "guest RAM");
}

static int configure(struct loader_process *p)
{
    const Bulkhead__Configure *cfg;
    struct message msg;
    int r = next_message(p, &msg);

    if (r < 0)
        return r;
    cfg = msg.envelope->configure;
    if (cfg->role_case != BULKHEAD__CONFIGURE__ROLE_LOADER || cfg->loader->vcpus == 0 ||
        cfg->loader->vcpus > LAYOUT_MAX_VCPUS || cfg->ram_size < LAYOUT_RAM_MIN_BYTES)
        return err_origin(-EPROTO, "configure of another role");
    r = check_files(p, &msg, cfg->loader->has_initramfs);
    if (r == 0)
        r = gmem_map(&p->mem, msg.fds[0], cfg->ram_size);
    if (r != 0)
        return r < 0 ? err_trace(r) : r;
    loader_init(&p->loader, &p->mem, cfg->ram_size);
    if (snprintf(p->cmdline, sizeof p->cmdline, "%s", cfg->loader->cmdline) >=
        (int)sizeof p->cmdline) {
        loader_bad(&p->loader, "the command line is longer than %u bytes: shorten --cmdline",
                   LAYOUT_CMDLINE_MAX - 1);
        return LOADER_E_INPUT;
    }
    p->loader.cmdline = p->cmdline;
    p->loader.vcpus = cfg->loader->vcpus;
    p->loader.kernel_fd = fd_take(&msg.fds[1]);
    p->loader.initramfs_fd = cfg->loader->has_initramfs ? fd_take(&msg.fds[2]) : -1;
    p->insecure = cfg->insecure;
    return 0;
}

static int enter_sandbox(struct loader_process *p)
{
    int keep[] = { FD_STDIN,   FD_STDOUT,           FD_LOG,
                   FD_CONTROL, p->loader.kernel_fd, p->loader.initramfs_fd };
    const struct sandbox_limits limits = { 0 };
    unsigned n = p->loader.initramfs_fd >= 0 ? ARRAY_SIZE(keep) : ARRAY_SIZE(keep) - 1;
    unsigned missing = 0;
    Bulkhead__Ready ready = BULKHEAD__READY__INIT;
    char *names[32];
    int r = sandbox_enter(&sandbox_filter_loader, keep, n, &limits, p->insecure, &missing);

    ENVELOPE(e, READY, ready, &ready);
    if (r < 0)
        return err_trace(r);
    ready.missing_layers = names;
    for (unsigned bit = 0; bit < ARRAY_SIZE(names); bit++)
        if (missing & (1u << bit))
            names[ready.n_missing_layers++] = (char *)(uintptr_t)sandbox_layer_name(1u << bit);
    return send_message(p, &e);
}

static int say_loaded(struct loader_process *p, const struct loader_entry *entry)
{
    Bulkhead__EntryState state = BULKHEAD__ENTRY_STATE__INIT;
    Bulkhead__Loaded loaded = BULKHEAD__LOADED__INIT;

    ENVELOPE(e, LOADED, loaded, &loaded);
    loaded.entry = &state;
    state.kind = entry->kind == LOADER_ENTRY_PVH ? BULKHEAD__ENTRY_KIND__ENTRY_PVH
                                                 : BULKHEAD__ENTRY_KIND__ENTRY_LINUX64;
    state.rip = entry->rip;
    state.boot_data = entry->boot_data;
    state.page_table = LAYOUT_PAGE_TABLES;
    state.gdt = LAYOUT_BOOT_GDT;
    state.gdt_limit = LAYOUT_BOOT_GDT_LIMIT;
    return send_message(p, &e);
}

static int run(struct loader_process *p)
{
    struct loader_entry entry;
    struct message msg;
    int r = say_hello(p);

    if (r == 0)
        r = configure(p);
    if (r == 0)
        r = enter_sandbox(p);
    if (r == 0)
        r = next_message(p, &msg); /* Start */
    if (r == 0)
        r = boot_load(&p->loader, &entry);
    return r == 0 ? say_loaded(p, &entry) : r;
}

int main(void)
{
    static struct loader_process p;
    int r;

    log_init("", LOG_LEVEL_INFO);
    r = fd_expect(FD_CONTROL, FD_TYPE_SEQPACKET, "control socket");
    if (r == 0)
        r = channel_new(&p.channel, FD_CONTROL, CHANNEL_ARENA_CHILD);
    if (r < 0) {
        log_error("%s (this program is started by bulkhead-broker)", err_text());
        return 1;
    }
    r = run(&p);
    if (r == -ESHUTDOWN)
        return 0;
    if (r != 0)
        say_failed(&p, r);
    return r == 0 ? 0 : 1;
}
