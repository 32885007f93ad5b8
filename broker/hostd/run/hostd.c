/* SPDX-License-Identifier: Apache-2.0 */
/* hostd.c - see hostd.h. In order: what it has is made, it enters its sandbox, and only then the starter is asked what there
 * is: no byte of a tenant's, or that one has had a hand in, is read before. */
#include "hostd/run/hostd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "hostd/run/closer.h"
#include "hostd/run/happen.h"
#include "hostd/run/journal.h"
#include "hostd/run/lines.h"
#include "hostd/run/links.h"
#include "hostd/run/notifier.h"
#include "hostd/run/service.h"
#include "hostd/run/sessions.h"
#include "hostd/run/starter_link.h"
#include "resources/memory.h"
#include "run/steps.h"
#include "sandbox/enter.h"
#include "sandbox/layers.h"

enum { DATA_BYTES = 512 << 20 };

static void on_closed(void *arg, uint64_t ticket)
{
    sessions_closed(arg, ticket);
}

/* Who fills it by sending what can't be closed has to begin anew, and VMs need no service. */
static void on_full(void *arg)
{
    struct service *s = arg;

    log_error("half of all descriptors wait to be closed: who was connected sent some whose close "
              "takes for ever. The service ends, to be started again");
    s->failed = true;
    loop_quit(s->loop, 0);
}

/* Of two processes: a starter that hangs is as good as none. */
static bool both_live(void *arg)
{
    return starter_link_answers(arg);
}

static int make(struct service *s, const struct hostd_terms *terms)
{
    struct closer_config closer = { .on_closed = on_closed, .on_full = on_full, .arg = s };
    int r = loop_new(&s->loop);

    closer.loop = s->loop;

    if (r == 0)
        r = happen_init(s);
    if (r == 0)
        r = closer_new(&s->closer, &closer);
    if (r == 0)
        r = links_new(s);
    if (r == 0)
        r = lines_new(s);
    if (r == 0)
        r = sessions_new(s, terms->listen_fd);
    if (r == 0)
        r = starter_link_new(s, terms->starter_fd);
    if (r == 0)
        r = notifier_new(&s->notifier, s->loop, both_live, s);
    if (r == 0)
        r = journal_new(&s->journal, log_is_journal() ? JOURNAL_SOCKET : NULL);
    return r < 0 ? err_trace(r) : 0;
}

static void say_missing(unsigned missing)
{
    char list[128] = "";
    size_t n = 0;

    for (unsigned bit = 1; bit != 0 && n < sizeof list; bit <<= 1)
        if (missing & bit)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n > 0 ? ", " : "",
                                  sandbox_layer_name(bit));
    if (missing != 0)
        log_info("layers that its sandbox does without: %s", list);
}

/* What whoever started it by hand has there, a terminal perhaps, is nothing that hostd needs. Its log stays. */
static int leave_stdio(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0 || dup2(fd, FD_STDIN) < 0 || dup2(fd, FD_STDOUT) < 0)
        return err_origin(-errno, "/dev/null as its input and output");
    if (fd > FD_LOG)
        close(fd);
    return 0;
}

static int enter_sandbox(struct service *s, const struct hostd_terms *terms)
{
    struct sandbox_hostd rights = { .uid = terms->uid, .data_bytes = DATA_BYTES };
    struct rlimit files = { .rlim_cur = 1024 };
    unsigned missing = 0;
    struct stat st;
    int r;

    (void)getrlimit(RLIMIT_NOFILE, &files);
    rights.max_files = files.rlim_cur;
    if (fstat(FD_LOG, &st) == 0 && S_ISREG(st.st_mode))
        rights.file_bytes = SANDBOX_FILE_UNLIMITED;
    r = sandbox_enter_hostd(&rights, &missing);
    if (r < 0)
        return err_trace(r);
    say_missing(missing);
    r = closer_start(s->closer, terms->filter);
    if (r == 0)
        r = sandbox_enter_thread(terms->filter);
    return r < 0 ? err_trace(r) : 0;
}

static void unmake(struct service *s)
{
    sessions_free(s);
    lines_free(s);
    links_free(s);
    starter_link_free(s);
    notifier_free(s->notifier);
    journal_free(s->journal);
    closer_free(s->closer);
    host_deinit(&s->host);
    if (s->deadline)
        loop_event_free(s->deadline);
    loop_free(s->loop);
}

int hostd_run(const struct hostd_terms *terms)
{
    static struct service s; /* large; one per process */
    struct host_event begin = { .kind = HOST_BEGIN };
    int r = leave_stdio();

    if (r == 0)
        r = make(&s, terms);
    steps_open("BULKHEAD_HOSTD_STEPS");
    if (r == 0) {
        host_init(&s.host, BH_BUILD_ID, resources_host_memory());
        s.host.booted_realtime = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
        r = terms->filter ? enter_sandbox(&s, terms) : closer_start(s.closer, NULL);
    }
    if (r < 0) {
        log_error("%s", err_text());
        return EXIT_FAILURE;
    }
    s.happen(&s, &begin);
    r = loop_run(s.loop);
    unmake(&s);
    return r < 0 || s.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
