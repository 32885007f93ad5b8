/* SPDX-License-Identifier: Apache-2.0 */
/* vq_chain.c - copies between a popped chain and private memory. The slices were checked by
 * vq_pop(); what they point at can change at any time, so a copy is made once and only that used. */
#include "vq_chain.h"

#include <string.h>

struct part {
    const struct gslice *slices;
    unsigned n;
};

static struct part part_of(const struct vq_chain *chain, bool write)
{
    if (write)
        return (struct part){ chain->slices + chain->n_read, chain->n_write };
    return (struct part){ chain->slices, chain->n_read };
}

size_t vq_chain_read(const struct vq_chain *chain, size_t off, void *dst, size_t len)
{
    struct part part = part_of(chain, false);
    size_t done = 0;

    for (unsigned i = 0; i < part.n && done < len; i++) {
        size_t here = part.slices[i].len_;
        size_t n;

        if (off >= here) {
            off -= here;
            continue;
        }
        n = MIN(here - off, len - done);
        if (gslice_read(part.slices[i], off, (uint8_t *)dst + done, n) != 0)
            break;
        done += n;
        off = 0;
    }
    return done;
}

size_t vq_chain_write(const struct vq_chain *chain, size_t off, const void *src, size_t len)
{
    struct part part = part_of(chain, true);
    size_t done = 0;

    for (unsigned i = 0; i < part.n && done < len; i++) {
        size_t here = part.slices[i].len_;
        size_t n;

        if (off >= here) {
            off -= here;
            continue;
        }
        n = MIN(here - off, len - done);
        if (gslice_write(part.slices[i], off, (const uint8_t *)src + done, n) != 0)
            break;
        done += n;
        off = 0;
    }
    return done;
}

int vq_chain_iovec(const struct vq_chain *chain, bool write, size_t off, size_t len,
                   struct iovec *ret_iov, int max)
{
    struct part part = part_of(chain, write);
    int n = 0;

    for (unsigned i = 0; i < part.n && len > 0; i++) {
        struct iovec iov = gslice_iovec(part.slices[i]);

        if (off >= iov.iov_len) {
            off -= iov.iov_len;
            continue;
        }
        if (n == max)
            return -1;
        iov.iov_base = (uint8_t *)iov.iov_base + off;
        iov.iov_len = MIN(iov.iov_len - off, len);
        ret_iov[n++] = iov;
        len -= iov.iov_len;
        off = 0;
    }
    return len == 0 ? n : -1;
}
