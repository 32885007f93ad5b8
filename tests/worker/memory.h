/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - the broker's and the guest's side of guest RAM that comes and goes, and of the dirty log. */
#pragma once

#include "harness.h"

/* A region of its own memfd. */
struct wm_region {
    struct wh *wh;
    unsigned number;
    uint64_t address, bytes;
    int fd;
    uint8_t *host;
};

void wm_make(struct wm_region *r, struct wh *wh, unsigned number, uint64_t address, uint64_t bytes);
void wm_unmake(struct wm_region *r);
/* The message and its answer: 0 or the errno in it. */
int wm_add(const struct wm_region *r);
int wm_remove(const struct wm_region *r);
/* The messages alone, and the answer alone. */
void wm_send_add(const struct wm_region *r);
void wm_send_remove(const struct wm_region *r);
int wm_answer(struct wh *wh);
/* The guest's bytes, from its first RAM on into this region. */
void wm_put(const struct wm_region *r, uint64_t address, const void *src, uint64_t len);
void wm_get(const struct wm_region *r, uint64_t address, void *dst, uint64_t len);

/* A dirty log, and RAM as it was at wm_begin(). */
struct wm_log {
    struct wh *wh;
    int fd;
    uint8_t *map;
    uint64_t bytes;
    uint8_t *before;
};

void wm_log_make(struct wm_log *log, struct wh *wh);
void wm_log_unmake(struct wm_log *log);
int wm_log_set(struct wm_log *log, bool on, uint64_t bytes);
/* The worker was quiesced before the caller filled its rings: RAM is noted, the log cleared; then it
 * goes on with what is there. From here to wm_end() the caller writes nothing to guest RAM. */
void wm_begin(struct wm_log *log);
/* Until the device has used n more buffers of queue q than the driver has taken; writes nothing. */
void wm_await_used(struct wh *wh, unsigned q, unsigned n);
/* Quiesces it again, and leaves it so: every page that is not as it was is marked; marked are only pages of
 * used rings and of bufs that are to be written. Returns how many pages of bufs have changed. */
unsigned wm_end(struct wm_log *log, const struct wh_buf *bufs, unsigned n);

/* A balloon, active, with event indices and reports of free pages; all of the guest's first RAM is 0x5a and there.
 * address_end is its broker's, 0: no region is ever added. */
struct wh *wm_new_balloon(uint64_t address_end);
/* Gives up n_bytes from there on, whole pages: in its ring, without a kick. */
void wm_inflate(struct wh *wh, uint64_t address, uint64_t n_bytes);
