/* SPDX-License-Identifier: Apache-2.0 */
/* resources.h - everything the broker opens and makes on behalf of its children, before it gives
 * up the right to. Paths are opened with openat2() without magic links and their kind is checked
 * before they are opened for use, so that nothing is touched that is not a disk, a kernel, ...
 * All functions: 0, or a negative errno with one line for the user in *ret_fault. Descriptors
 * belong to the struct they are put in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>
#include "base/compiler.h"
#include "client.pb-c.h"
#include "fault.h"
#include "socket_path.h"

enum {
    RESOURCES_MAX_TAPS = 16,
    RESOURCES_MAX_OWN = RESOURCES_MAX_TAPS + 2, /* a device's own descriptors */
    /* The kernel takes an io_uring down, and lets go of its files, after its process was waited for. */
    RESOURCES_PATIENCE_MS = 500,
    RESOURCES_RETRY_MS = 10,
};

/* A device's back end: what its worker gets beside queues, and keeps over restarts. */
struct backend {
    int own[RESOURCES_MAX_OWN];
    unsigned n_own;
    int held[2]; /* kept open by the broker alone: pty slave, passt's end of the stream (and
                             of the one before) */
    struct socket_path socket; /* the one we listen on, to remove at the end */
    /* blk */
    uint64_t size_bytes;
    uint32_t block_size, physical_block_exp; /* as the guest sees them */
    uint32_t direct_align, range_align;      /* bytes: what the host's disk needs, powers of two */
    bool block_device, discard;
    /* console */
    char pty_path[64];
    int client; /* of a console's socket: outlives the workers that serve it; -1: none */
    bool keys;  /* its input is a terminal's: some keys are ours */
    /* net */
    char made_tap[16];     /* an interface that goes with its last descriptor */
    uint32_t tap_offloads; /* TUN_F_* that the tap takes */
    int macvtap;           /* its interface's index; 0: it is none */
};
void backend_init(struct backend *backend);
void backend_deinit(struct backend *backend);

/* An O_PATH descriptor is looked at first, then the same file is opened with `flags`. kinds: S_IFREG
 * and S_IFBLK etc. as bits (1 << (mode >> 12)). what: "the kernel", "disk0". */
#define RESOURCES_KIND(mode) (1u << ((unsigned)(mode) >> 12))
const char *resources_kind_name(mode_t mode); /* "a directory", ... */
int resources_open(const char *what, const char *path, int flags, unsigned kinds, int *ret_fd,
                   struct fault *ret_fault) must_check;

void resources_wait_a_little(void); /* RESOURCES_RETRY_MS */
/* A lock on the open file description, F_WRLCK or F_RDLCK: it goes with the descriptor to the worker
 * and lasts as long as any process holds it. 0, or -EAGAIN when somebody else has it and keeps it.
 *
 * An io_uring keeps it a little longer than the last process, so this waits for a moment. */
int resources_lock(int fd, short type) must_check;
/* Whether the caller's limit (RLIMIT_FSIZE) lets a file be written up to there. */
int resources_check_size(const char *what, const char *name, uint64_t bytes,
                         struct fault *ret_fault) must_check;

int resources_kernel(const char *what, const char *path, int *ret_fd,
                     struct fault *ret_fault) must_check;
int resources_kvm(int *ret_fd, struct fault *ret_fault) must_check;
int resources_disk(const Bulkhead__DiskConfig *disk, struct backend *backend,
                   struct fault *ret_fault) must_check;
/* tty: two descriptors of the client's terminal or NULL; they are reopened where possible. */
int resources_console(const char *what, const Bulkhead__ConsoleConfig *console, const int *tty,
                      struct backend *backend, struct fault *ret_fault) must_check;
/* fds: the client's tap descriptors (mode "fd"), taken over. */
int resources_net(Bulkhead__NetConfig *net, int *fds, unsigned n_fds, struct backend *backend,
                  struct fault *ret_fault) must_check;
/* A tap whose interface was deleted and made again: the same descriptors, and with them whoever else
 * has them, are queues of the new one. */
int resources_net_attach_again(const Bulkhead__NetConfig *net, const struct backend *backend,
                               struct fault *ret_fault) must_check;
/* After the descriptors of a tap that was made here are closed: waits until the interface is gone. A
 * dead worker's io_uring has it for some 30 ms more. */
void resources_net_await_gone(const char *tap);
/* Whether two devices, not passt's, were given one interface. */
bool resources_net_same(const struct backend *a, const struct backend *b);
bool resources_tap_has_carrier(const char *name);
/* A descriptor, owned by the caller, that keeps other VMs from looking at and opening this
 * interface until it is closed; -1 if there is no /dev/net/tun. Any user may take such a lock, so
 * after a while this goes on without: the lock only says which of two that start at once gets the
 * interface. */
int resources_tap_take_turn(const char *name) must_check;
/* The queues that somebody has open, of an interface with multi_queue; else 0. */
unsigned resources_tap_queues(const char *name);
bool resources_tap_has_pi(const char *name); /* frames begin with 4 bytes of their own */
enum tap_kind { TAP_KIND_NONE, TAP_KIND_OTHER, TAP_KIND_SINGLE, TAP_KIND_MULTI_QUEUE };
/* Before the broker's sandbox. */
enum tap_kind resources_tap_kind(const char *name);
/* Address, MTU and "up" of a tap that was opened; nothing for other modes. It comes last, when nothing
 * can be refused any more: somebody else's tap stays as it was. */
int resources_tap_configure(const Bulkhead__NetConfig *net, struct fault *ret_fault) must_check;
/* A socket pair: the worker's end in own, passt's in held[0]. */
int resources_stream(const char *what, struct backend *backend, struct fault *ret_fault) must_check;
int resources_vsock(const Bulkhead__VsockConfig *vsock, struct backend *backend,
                    struct fault *ret_fault) must_check;
/* socket_path_listen() where the caller knows when to remove the socket. */
int resources_listen(const char *what, const char *path, int type, int *ret_fd,
                     struct fault *ret_fault) must_check;

/* Anonymous memory of a fixed size: sealed against shrinking, growing and further seals. */
int resources_memfd(const char *name, uint64_t size_bytes, bool hugepages, int *ret_fd) must_check;
int resources_ram(const Bulkhead__MemoryConfig *memory, int *ret_fd,
                  struct fault *ret_fault) must_check;
int resources_eventfd(int *ret_fd) must_check;
uint64_t resources_host_memory(void);
