// SPDX-License-Identifier: Apache-2.0
// logs.c - see logs.h. A log is two open files: when the current one is full, its bytes move to the older one, and it begins
// anew (broker/console/rotated.h).
#include "verbs/logs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "client.h"
#include "host_client.h"
#include "output.h"

enum { FOLLOW, BROKER, TAIL, RAW };
enum { PERIOD_MS = 200, BLOCK_BYTES = 65536 };

struct args {
    const char *vm;
    bool help, follow, broker, raw, has_tail;
    uint64_t tail;
};

struct log {
    int older, current; /* older: -1 if there is none */
    off_t at;           /* what was read of the current one */
    bool clean;         /* for a terminal */
};

/* Whatever the guest writes can't harm the terminal of who reads it later. */
static size_t clean(char *bytes, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)bytes[i];

        if (b == '\r')
            continue;
        bytes[n++] = b == '\n' || b == '\t' || (b >= 0x20 && b != 0x7f) ? bytes[i] : '?';
    }
    return n;
}

/* [at, end) of a file to stdout; where it ended. */
static off_t print(const struct log *log, int fd, off_t at, off_t end)
{
    static char bytes[BLOCK_BYTES];

    while (at < end) {
        ssize_t n = pread(fd, bytes, (size_t)MIN((off_t)sizeof(bytes), end - at), at);

        if (n <= 0)
            break;
        at += n;
        fwrite(bytes, 1, log->clean ? clean(bytes, (size_t)n) : (size_t)n, stdout);
    }
    return at;
}

static off_t size_of(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 ? st.st_size : 0;
}

/* Where the last *lines lines begin; those that are found are taken off. A file that ends without a line's end has one
 * line more, and so has the one after it. */
static off_t find_tail(int fd, off_t size, uint64_t *lines, bool is_end)
{
    static char bytes[BLOCK_BYTES];
    off_t at = size;

    while (at > 0 && *lines > 0) {
        size_t len = (size_t)MIN((off_t)sizeof(bytes), at);

        if (pread(fd, bytes, len, at - (off_t)len) != (ssize_t)len)
            break;
        for (size_t i = len; i > 0; i--) {
            if (bytes[i - 1] != '\n' || (is_end && at - (off_t)(len - i) == size))
                continue; /* the end of the last line begins none */
            if (--*lines == 0)
                return at - (off_t)(len - i);
        }
        at -= (off_t)len;
    }
    return at;
}

static void print_kept(struct log *log, const struct args *a)
{
    off_t size = size_of(log->current), older = size_of(log->older), from = 0, from_older = 0;
    uint64_t lines = a->tail;

    if (a->has_tail) {
        from = lines > 0 ? find_tail(log->current, size, &lines, true) : size;
        from_older = lines > 0 ? find_tail(log->older, older, &lines, size == 0) : older;
    }
    print(log, log->older, from_older, older);
    log->at = print(log, log->current, from, size);
}

/* False: the VM was removed, and its log with it. */
static bool print_more(struct log *log)
{
    struct stat st;

    if (fstat(log->current, &st) < 0)
        return false;
    if (st.st_size < log->at) {
        print(log, log->older, log->at, size_of(log->older));
        log->at = 0;
    }
    log->at = print(log, log->current, log->at, st.st_size);
    return st.st_nlink > 0;
}

static int show(struct log *log, const struct args *a)
{
    const struct timespec period = { .tv_nsec = PERIOD_MS * 1000000 };

    print_kept(log, a);
    while (a->follow && fflush(stdout) == 0 && print_more(log))
        nanosleep(&period, NULL);
    if (fflush(stdout) != 0 || ferror(stdout))
        return errno == EPIPE ? EXIT_OK
                              : say_error(EXIT_HOST, "standard output: %s", strerror(errno));
    return EXIT_OK;
}

static int show_log(const struct args *a)
{
    int fds[2] = { -1, -1 };
    int n = host_open_vm(a->vm,
                         a->broker ? BULKHEAD__VM_CHANNEL__VM_BROKER_LOG
                                   : BULKHEAD__VM_CHANNEL__VM_CONSOLE_LOG,
                         fds, ARRAY_SIZE(fds));
    struct log log;
    int r;

    if (n < 0)
        return host_failed(n);
    log = (struct log){ .older = n > 1 ? fds[0] : -1,
                        .current = fds[n - 1],
                        .clean = !a->raw && isatty(STDOUT_FILENO) };
    r = show(&log, a);
    fd_closep(&log.older);
    fd_closep(&log.current);
    return r;
}

static const struct flag flags[] = {
    { "follow", 'f', FLAG_ONE, NULL, "go on with what comes", FOLLOW },
    { "broker", 0, FLAG_ONE, NULL, "the log of the VM's processes, not its console", BROKER },
    { "tail", 'n', FLAG_ONE, "N", "the last N lines", TAIL },
    { "raw", 0, FLAG_ONE, NULL, "to a terminal, too, byte for byte", RAW },
    FLAGS_COMMON,
};
static const struct flag_list list = { flags, ARRAY_SIZE(flags) };

static int on_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct args *a = arg;

    switch (id) {
    case FLAG_HELP:
        a->help = true;
        return 0;
    case FOLLOW:
        a->follow = true;
        return 0;
    case BROKER:
        a->broker = true;
        return 0;
    case RAW:
        a->raw = true;
        return 0;
    case TAIL:
        if (option_u64(value, &a->tail) < 0)
            return option_fail(err, "--tail: '%s' is not a number of lines", value);
        a->has_tail = true;
        return 0;
    default:
        if (a->vm)
            return option_fail(err, "too many arguments: '%s'", value);
        a->vm = value;
        return 0;
    }
}

static int run_logs(int argc, char **argv)
{
    struct args a = { 0 };
    struct option_error err;
    int r;

    if (flags_parse(&list, argc, argv, on_flag, &a, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (a.help)
        return VERB_HELP;
    if (!a.vm)
        return VERB_USAGE;
    if (client_is_private(a.vm))
        return say_error(EXIT_BAD_INPUT,
                         "'%s' is a VM of bulkhead run, of which nothing is kept: see --log-file "
                         "and --serial file= there",
                         a.vm);
    r = host_check_name(a.vm);
    return r != EXIT_OK ? r : show_log(&a);
}

static void more_of_logs(FILE *out)
{
    fputs("Both logs are kept until the VM is removed, over its ends and starts. A terminal gets "
          "no control\n"
          "characters of the guest's, unless --raw is given.\n",
          out);
}

const struct verb verb_logs = {
    .name = "logs",
    .usage = "VM [-f] [--tail N] [--broker]",
    .summary = "print what a VM of the host's service has written to its console",
    .more = more_of_logs,
    .operands = { OPERAND_VM },
    .flags = &list,
    .run = run_logs,
};
