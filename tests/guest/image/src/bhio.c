/* SPDX-License-Identifier: Apache-2.0 */
/* bhio.c - disk I/O for tests inside a guest, as one static program.
 *
 *   bhio stress FILE SECONDS [THREADS [BYTES]]   verified I/O: each thread owns a share of the blocks
 *   bhio zero FILE OFFSET LENGTH                 write zeroes without sending them
 *   bhio said WORD DISK                          does the disk's first sector, as the host has it, hold the word?
 *   bhio await WORD DISK                         wait until it does
 *
 * Each block that stress writes is filled from its number and generation, so that a block that is
 * stale, misplaced or torn is recognised. A line a second says how far it is and what the slowest
 * request took; the last line is "IOSTRESS verify_errors=N io_errors=N ops=N max_ms=N". SIGTERM ends
 * it before its time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK_BYTES = 4096,
    BLOCK_WORDS = BLOCK_BYTES / 8,
    THREADS_MAX = 64,
    BATCH_MAX = 8, /* blocks in one request */
    FLUSH_EVERY = 64,
};

/* What a block holds: unknown after a write that failed. */
enum { GEN_NEVER = 0, GEN_UNKNOWN = UINT32_MAX };

struct stress {
    int fd;
    uint64_t n_blocks; /* of each thread */
    uint64_t deadline_ns;
};

struct worker {
    const struct stress *stress;
    pthread_t thread;
    uint64_t first_block;
    uint64_t random;
    uint32_t *gens; /* what each block should hold */
    uint64_t (*buf)[BLOCK_WORDS];
    _Atomic uint64_t ops;
    _Atomic uint64_t io_errors;
    _Atomic uint64_t verify_errors;
    _Atomic uint64_t started_ns; /* of the request in flight, or 0 */
    _Atomic uint64_t slowest_ns; /* since somebody looked */
};

static volatile sig_atomic_t told_to_end;

static void on_term(int signal)
{
    (void)signal;
    told_to_end = 1;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static void block_fill(uint64_t *words, uint64_t block, uint32_t gen)
{
    uint64_t x = (block + 1) * 0x9e3779b97f4a7c15u ^ gen;

    words[0] = block;
    words[1] = gen;
    for (size_t i = 2; i < BLOCK_WORDS; i++)
        words[i] = x = mix(x);
}

static bool block_ok(const uint64_t *words, uint64_t block, uint32_t gen)
{
    uint64_t want[BLOCK_WORDS];

    block_fill(want, block, gen);
    return memcmp(words, want, sizeof(want)) == 0;
}

static void request_begin(struct worker *w)
{
    w->started_ns = now_ns();
}

static void request_end(struct worker *w)
{
    uint64_t took = now_ns() - w->started_ns;

    w->started_ns = 0;
    if (took > w->slowest_ns)
        w->slowest_ns = took;
    w->ops++;
}

static void report(struct worker *w, const char *what, uint64_t block, ssize_t r)
{
    if (w->io_errors++ < 5)
        printf("bhio: %s of block %" PRIu64 ": %s\n", what, block,
               r < 0 ? strerror(errno) : "short");
}

static void write_blocks(struct worker *w, uint64_t at, size_t n)
{
    uint64_t block = w->first_block + at;
    ssize_t r;

    for (size_t i = 0; i < n; i++) {
        w->gens[at + i] = w->gens[at + i] >= GEN_UNKNOWN - 1 ? 1 : w->gens[at + i] + 1;
        block_fill(w->buf[i], block + i, w->gens[at + i]);
    }
    request_begin(w);
    r = pwrite(w->stress->fd, w->buf, n * BLOCK_BYTES, (off_t)(block * BLOCK_BYTES));
    request_end(w);
    if (r == (ssize_t)(n * BLOCK_BYTES))
        return;
    report(w, "write", block, r);
    for (size_t i = 0; i < n; i++)
        w->gens[at + i] = GEN_UNKNOWN;
}

static void check_blocks(struct worker *w, uint64_t at, size_t n)
{
    uint64_t block = w->first_block + at;
    ssize_t r;

    request_begin(w);
    r = pread(w->stress->fd, w->buf, n * BLOCK_BYTES, (off_t)(block * BLOCK_BYTES));
    request_end(w);
    if (r != (ssize_t)(n * BLOCK_BYTES)) {
        report(w, "read", block, r);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t gen = w->gens[at + i];

        if (gen == GEN_NEVER || gen == GEN_UNKNOWN || block_ok(w->buf[i], block + i, gen))
            continue;
        if (w->verify_errors++ < 5)
            printf("bhio: block %" PRIu64 " generation %" PRIu32 ": found block %" PRIu64
                   " generation %" PRIu64 "\n",
                   block + i, gen, w->buf[i][0], w->buf[i][1]);
    }
}

static void flush(struct worker *w)
{
    int r;

    request_begin(w);
    r = fdatasync(w->stress->fd);
    request_end(w);
    if (r < 0)
        report(w, "flush", 0, r);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    uint64_t n_blocks = w->stress->n_blocks;

    for (unsigned i = 1; !told_to_end && now_ns() < w->stress->deadline_ns; i++) {
        uint64_t at, n;

        w->random = mix(w->random);
        at = (w->random >> 8) % n_blocks;
        n = 1 + (w->random >> 40) % BATCH_MAX;
        if (n > n_blocks - at)
            n = n_blocks - at;
        if (w->random % 5 < 3)
            write_blocks(w, at, (size_t)n);
        else
            check_blocks(w, at, (size_t)n);
        if (i % FLUSH_EVERY == 0)
            flush(w);
    }
    flush(w);
    for (uint64_t at = 0; at < n_blocks; at += BATCH_MAX)
        check_blocks(w, at, (size_t)(n_blocks - at < BATCH_MAX ? n_blocks - at : BATCH_MAX));
    return NULL;
}

static uint64_t slowest_ms(struct worker *w)
{
    uint64_t slowest = atomic_exchange(&w->slowest_ns, 0);
    uint64_t started = w->started_ns;
    uint64_t now = now_ns();

    if (started != 0 && now > started && now - started > slowest)
        slowest = now - started;
    return slowest / 1000000u;
}

static uint64_t sum_up(struct worker *workers, size_t n, const char *when, uint64_t *ret_max_ms)
{
    uint64_t ops = 0, io_errors = 0, verify_errors = 0, max_ms = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t ms = slowest_ms(&workers[i]);

        ops += workers[i].ops;
        io_errors += workers[i].io_errors;
        verify_errors += workers[i].verify_errors;
        max_ms = ms > max_ms ? ms : max_ms;
    }
    *ret_max_ms = max_ms > *ret_max_ms ? max_ms : *ret_max_ms;
    printf("IOSTRESS %sverify_errors=%" PRIu64 " io_errors=%" PRIu64 " ops=%" PRIu64
           " max_ms=%" PRIu64 "\n",
           when, verify_errors, io_errors, ops, *when != '\0' ? max_ms : *ret_max_ms);
    return io_errors + verify_errors;
}

static int file_size(int fd, uint64_t *ret_bytes)
{
    struct stat st;
    off_t end;

    if (fstat(fd, &st) < 0)
        return -errno;
    end = S_ISREG(st.st_mode) ? st.st_size : lseek(fd, 0, SEEK_END);
    if (end < 0)
        return -errno;
    *ret_bytes = (uint64_t)end;
    return 0;
}

/* Opens FILE, creating one of `bytes` where there is none; without O_DIRECT where that is not known. */
static int stress_open(struct stress *s, const char *path, uint64_t bytes, size_t n_threads)
{
    uint64_t have = 0;
    int r;

    s->fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (s->fd < 0 && errno == EINVAL)
        s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return -errno;
    r = file_size(s->fd, &have);
    if (r < 0)
        return r;
    if (have == 0 && bytes > 0 && ftruncate(s->fd, (off_t)bytes) == 0)
        have = bytes;
    if (bytes == 0 || bytes > have)
        bytes = have;
    if (bytes > (64u << 20) * n_threads)
        bytes = (64u << 20) * n_threads;
    s->n_blocks = bytes / BLOCK_BYTES / n_threads;
    return s->n_blocks == 0 ? -ENOSPC : 0;
}

static int worker_start(struct worker *w, const struct stress *s, size_t index)
{
    void *buf = NULL;

    w->stress = s;
    w->first_block = index * s->n_blocks;
    w->random = 0x2545f4914f6cdd1du * (index + 1);
    w->gens = calloc(s->n_blocks, sizeof(*w->gens));
    if (!w->gens || posix_memalign(&buf, BLOCK_BYTES, (size_t)BATCH_MAX * BLOCK_BYTES) != 0)
        return -ENOMEM;
    w->buf = buf;
    return -pthread_create(&w->thread, NULL, worker_main, w);
}

static int stress_main(const char *path, unsigned seconds, size_t n_threads, uint64_t bytes)
{
    static struct worker workers[THREADS_MAX];
    struct stress s = { .fd = -1 };
    uint64_t max_ms = 0;
    int r;

    r = stress_open(&s, path, bytes, n_threads);
    if (r < 0) {
        printf("bhio: %s: %s\n", path, strerror(-r));
        return 1;
    }
    signal(SIGTERM, on_term);
    s.deadline_ns = now_ns() + seconds * 1000000000ull;
    for (size_t i = 0; i < n_threads; i++) {
        r = worker_start(&workers[i], &s, i);
        if (r < 0) {
            printf("bhio: thread: %s\n", strerror(-r));
            return 1;
        }
    }
    for (unsigned t = 1; t <= seconds && !told_to_end; t++) {
        char when[32];

        sleep(1);
        snprintf(when, sizeof(when), "t=%u ", t);
        sum_up(workers, n_threads, when, &max_ms);
    }
    for (size_t i = 0; i < n_threads; i++)
        pthread_join(workers[i].thread, NULL);
    return sum_up(workers, n_threads, "", &max_ms) == 0 ? 0 : 1;
}

static int zero_main(const char *path, off_t offset, off_t length)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length) < 0 ||
        fdatasync(fd) < 0) {
        printf("bhio: zero %s: %s\n", path, strerror(errno));
        return 1;
    }
    close(fd);
    return 0;
}

/* Past the page cache, each time anew. */
static int said_main(const char *word, const char *path, bool wait)
{
    static _Alignas(BLOCK_BYTES) char sector[512 + 1];
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

    while (pread(fd, sector, sizeof sector - 1, 0) < 0 || !strstr(sector, word)) {
        if (!wait)
            return 1;
        usleep(200000);
        if (fd < 0)
            fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned long seconds, n_threads;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 5 && strcmp(argv[1], "zero") == 0)
        return zero_main(argv[2], strtoll(argv[3], NULL, 0), strtoll(argv[4], NULL, 0));
    if (argc == 4 && (strcmp(argv[1], "said") == 0 || strcmp(argv[1], "await") == 0))
        return said_main(argv[2], argv[3], argv[1][0] == 'a');
    if (argc < 4 || argc > 6 || strcmp(argv[1], "stress") != 0) {
        fprintf(stderr, "usage: bhio stress FILE SECONDS [THREADS [BYTES]]\n"
                        "       bhio zero FILE OFFSET LENGTH\n"
                        "       bhio said|await WORD DISK\n");
        return 2;
    }
    seconds = strtoul(argv[3], NULL, 0);
    n_threads = argc > 4 ? strtoul(argv[4], NULL, 0) : 4;
    if (n_threads == 0 || n_threads > THREADS_MAX)
        n_threads = 4;
    return stress_main(argv[2], (unsigned)seconds, n_threads,
                       argc > 5 ? strtoull(argv[5], NULL, 0) : 0);
}
