/* SPDX-License-Identifier: Apache-2.0 */
/* vhost_user.c - see vhost_user.h. Messages: a header of three words, then the payload; descriptors
 * by SCM_RIGHTS (QEMU's docs/interop/vhost-user). */
#include "vhost_user.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
};

enum { VERSION_1 = 1 };

struct header {
    uint32_t request, flags, size;
};

struct mem_table {
    uint32_t n, padding;
    uint64_t guest_addr, bytes, user_addr, offset;
};

static void say(int fd, enum request request, const void *payload, size_t size, int passed_fd)
{
    struct header header = { .request = request, .flags = VERSION_1, .size = (uint32_t)size };
    struct iovec iov[] = { { &header, sizeof header }, { (void *)(uintptr_t)payload, size } };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    if (passed_fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof control;
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &passed_fd, sizeof passed_fd);
    }
    if (sendmsg(fd, &msg, MSG_NOSIGNAL) != (ssize_t)(sizeof header + size))
        wh_die("vhost-user request %d: %s", (int)request, strerror(errno));
}

static uint64_t ask_features(int fd)
{
    struct {
        struct header header;
        uint64_t value;
    } __attribute__((packed)) answer;

    say(fd, GET_FEATURES, NULL, 0, -1);
    if (recv(fd, &answer, sizeof answer, MSG_WAITALL) != (ssize_t)sizeof answer ||
        answer.header.request != GET_FEATURES)
        wh_die("vhost-user: no features");
    return answer.value;
}

static void give_queue(struct wh *wh, int fd, unsigned q)
{
    const struct wh_queue *queue = &wh->queues[q];
    struct vhost_vring_state num = { .index = q, .num = queue->size };
    struct vhost_vring_state base = { .index = q };
    uint64_t ram = (uintptr_t)wh->ram, index = q;
    struct vhost_vring_addr addr = { .index = q,
                                     .desc_user_addr = ram + queue->desc,
                                     .avail_user_addr = ram + queue->avail,
                                     .used_user_addr = ram + queue->used };

    say(fd, SET_VRING_NUM, &num, sizeof num, -1);
    say(fd, SET_VRING_BASE, &base, sizeof base, -1);
    say(fd, SET_VRING_ADDR, &addr, sizeof addr, -1);
    say(fd, SET_VRING_CALL, &index, sizeof index, queue->call_fd);
    say(fd, SET_VRING_KICK, &index, sizeof index, queue->kick_fd);
}

uint64_t vhost_user_attach(struct wh *wh, int fd, uint64_t wanted)
{
    struct mem_table table = { .n = 1, .bytes = wh->ram_bytes, .user_addr = (uintptr_t)wh->ram };
    uint64_t features;

    say(fd, SET_OWNER, NULL, 0, -1);
    features = ask_features(fd) & wanted;
    say(fd, SET_FEATURES, &features, sizeof features, -1);
    say(fd, SET_MEM_TABLE, &table, sizeof table, wh->ram_fd);
    wh_fresh_rings(wh);
    for (unsigned q = 0; q < wh->config.n_queues; q++) {
        wh->queues[q].event_idx = features & 1ull << VIRTIO_RING_F_EVENT_IDX;
        give_queue(wh, fd, q);
    }
    /* Queues are served from the first kick on; an answer means that all of the above is done. */
    (void)ask_features(fd);
    return features;
}
