/* SPDX-License-Identifier: Apache-2.0 */
/* starter.c - plays the host's service for one start of one VM: its broker, its launcher as a tenant, and the console's
 * socket. Says what the launcher has answered and leaves; the VM goes on.
 * usage: starter BROKER TENANT_UID FIRST COUNT CONSOLE ALLOWED... TREE... -- FIELD=VALUE...
 *   CONSOLE: the path of the console's socket. ALLOWED: of the launcher (config/allowed.h). FIELD: name kernel initramfs disk readonly vsock console serial (file:PATH,
 *   socket:PATH, pty, null, off) net (a mode, with its name: tap:NAME) crash_limit tty follow kill_ms (the broker is killed so much
 *   later)
 * Prints "reply ERROR TEXT"; status 0 if ERROR is 0. With follow=1 it stays, and prints "event SOURCE NAME" and "ended". */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "client/envelope.h"
#include "ipc/channel.h"

enum { MAX_WORDS = 8, MAX_TREES = 8, MAX_DISKS = 8, FIRST_FREE = 64, NOBODY = 65534 };

struct start {
    char *broker, **words, **trees;
    unsigned n_words, n_trees;
    uid_t uid;
    int console, kept; /* kept: a folder in which nobody has vouched for anything */
    Bulkhead__VmConfig config;
    Bulkhead__DiskConfig disks[MAX_DISKS], *disk_list[MAX_DISKS];
    Bulkhead__NetConfig net, *net_list[1];
    Bulkhead__ConsoleConfig serial, virtio;
    Bulkhead__MemoryConfig memory;
    Bulkhead__VsockConfig vsock;
    bool tty, follow;
    int kill_ms; /* -1: not */
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "starter: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* Above all numbers that a program is started with. */
static int up(int fd, const char *what)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);

    if (high < 0)
        fail(what);
    close(fd);
    return high;
}

static void make_pair(int pair[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        fail("a pair");
    pair[0] = up(pair[0], "a pair");
    pair[1] = up(pair[1], "a pair");
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = up(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "a socket");

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4) < 0)
        fail(path);
    return fd;
}

static void put(int fd, int number)
{
    if (dup2(fd, number) < 0)
        fail("a descriptor");
}

/* What stays has no end of the caller's pipes but its log. */
static void take_null(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    put(null, 0);
    put(null, 1);
}

static pid_t start_broker(const struct start *s, char **range, int fd)
{
    char *argv[] = { "bulkhead-broker", "--service", range[0], range[1], NULL };
    pid_t pid = fork();

    if (pid < 0)
        fail("fork");
    if (pid > 0)
        return pid;
    take_null();
    put(fd, 3);
    close_range(4, ~0u, 0);
    execv(s->broker, argv);
    fail(s->broker);
}

/* It is our child, and waited for by nobody: its number stays its own. */
static pid_t start_killer(const struct start *s, pid_t broker)
{
    pid_t pid = s->kill_ms < 0 ? -1 : fork();

    if (pid != 0)
        return pid;
    usleep((useconds_t)s->kill_ms * 1000);
    _exit(kill(broker, SIGKILL));
}

/* As the tenant, who may use KVM, but for the real uid. */
static void become(uid_t uid)
{
    struct stat kvm;
    gid_t group = stat("/dev/kvm", &kvm) == 0 ? kvm.st_gid : 0;

    if (geteuid() == 0 && (setgroups(1, &group) < 0 || setresgid(uid, uid, uid) < 0 ||
                           setresuid(NOBODY, uid, uid) < 0))
        fail("the tenant's uid");
}

static pid_t start_launcher(const struct start *s, int service, int broker)
{
    char *argv[MAX_WORDS + MAX_TREES + 3] = { "bulkhead-broker", "--launch" };
    int trees[MAX_TREES];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    for (unsigned i = 0; i < s->n_words; i++)
        argv[2 + i] = s->words[i];
    for (unsigned i = 0; i < s->n_trees; i++) {
        argv[2 + s->n_words + i] = s->trees[i];
        trees[i] = up(open(s->trees[i], O_PATH | O_DIRECTORY | O_CLOEXEC), s->trees[i]);
    }
    take_null();
    put(service, 3);
    put(broker, 4);
    put(s->console, 5);
    for (unsigned i = 0; i < s->n_trees; i++)
        put(trees[i], 6 + (int)i);
    put(s->kept, 6 + (int)s->n_trees);
    close_range(7 + s->n_trees, ~0u, 0);
    become(s->uid);
    execv(s->broker, argv);
    fail(s->broker);
}

static void set_console(Bulkhead__ConsoleConfig *c, Bulkhead__ConsoleConfig **field, char *value)
{
    static const struct {
        const char *word;
        Bulkhead__ConsoleMode mode;
    } modes[] = { { "off", BULKHEAD__CONSOLE_MODE__CONSOLE_OFF },
                  { "null", BULKHEAD__CONSOLE_MODE__CONSOLE_NULL },
                  { "pty", BULKHEAD__CONSOLE_MODE__CONSOLE_PTY },
                  { "tty", BULKHEAD__CONSOLE_MODE__CONSOLE_TTY },
                  { "file", BULKHEAD__CONSOLE_MODE__CONSOLE_FILE },
                  { "socket", BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET } };
    char *colon = strchr(value, ':');

    if (colon) {
        *colon = '\0';
        c->path = colon + 1;
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].word, value) == 0)
            c->mode = modes[i].mode;
    *field = c;
}

static void add_disk(struct start *s, char *path, bool readonly)
{
    Bulkhead__DiskConfig *disk = &s->disks[s->config.n_disks];

    bulkhead__disk_config__init(disk);
    disk->path = path;
    disk->readonly = readonly;
    s->disk_list[s->config.n_disks++] = disk;
}

static void set_net(struct start *s, char *value)
{
    char *colon = strchr(value, ':');

    if (colon) {
        *colon = '\0';
        s->net.tap = colon + 1;
    }
    s->net.mode = value;
    s->net_list[s->config.n_nets++] = &s->net;
}

static void set_field(struct start *s, const char *name, char *value)
{
    if (strcmp(name, "name") == 0)
        s->config.name = value;
    else if (strcmp(name, "kernel") == 0)
        s->config.kernel = value;
    else if (strcmp(name, "initramfs") == 0)
        s->config.initramfs = value;
    else if (strcmp(name, "disk") == 0 || strcmp(name, "readonly") == 0)
        add_disk(s, value, name[0] == 'r');
    else if (strcmp(name, "serial") == 0)
        set_console(&s->serial, &s->config.serial, value);
    else if (strcmp(name, "console") == 0)
        set_console(&s->virtio, &s->config.console, value);
    else if (strcmp(name, "net") == 0)
        set_net(s, value);
    else if (strcmp(name, "crash_limit") == 0)
        s->config.crash_limit = (uint32_t)atoi(value);
    else if (strcmp(name, "tty") == 0)
        s->tty = true;
    else if (strcmp(name, "kill_ms") == 0)
        s->kill_ms = atoi(value);
    else if (strcmp(name, "follow") == 0)
        s->follow = true;
    else if (strcmp(name, "vsock") == 0) {
        s->vsock.enabled = true;
        s->vsock.cid = 3;
        s->vsock.socket = value;
    } else
        fail(name);
}

static void init(struct start *s)
{
    bulkhead__vm_config__init(&s->config);
    bulkhead__console_config__init(&s->serial);
    bulkhead__console_config__init(&s->virtio);
    bulkhead__memory_config__init(&s->memory);
    bulkhead__vsock_config__init(&s->vsock);
    bulkhead__net_config__init(&s->net);
    s->kill_ms = -1;
    s->memory.size = UINT64_C(64) << 20;
    s->config.memory = &s->memory;
    s->config.vsock = &s->vsock;
    s->config.disks = s->disk_list;
    s->config.nets = s->net_list;
}

/* The next one; NULL: the launcher is gone. */
static const Bulkhead__ClientEnvelope *hear(struct channel *channel)
{
    ProtobufCMessage *msg = NULL;
    size_t n_fds = 0;
    int *fds = NULL;

    if (channel_receive_raw(channel, true, &bulkhead__client_envelope__descriptor, &msg, &fds,
                            &n_fds) != 0)
        return NULL;
    return (const Bulkhead__ClientEnvelope *)msg;
}

/* Until the answer, or without end. -1: there was none. */
static int listen_to(const struct start *s, struct channel *channel)
{
    const Bulkhead__ClientEnvelope *e;
    int status = -1;

    while ((status < 0 || s->follow) && (e = hear(channel)) != NULL) {
        if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY) {
            printf("reply %d %s\n", e->reply->error, e->reply->text);
            status = e->reply->error == 0 ? 0 : 1;
        } else if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_EVENT && s->follow) {
            printf("event %s %s\n", e->event->source, e->event->event);
        } else if (e->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_VM_ENDED) {
            printf("ended\n");
        }
        fflush(stdout);
    }
    return status;
}

static int ask(struct start *s, int fd)
{
    Bulkhead__RunVm run = BULKHEAD__RUN_VM__INIT;
    CLIENT_ENVELOPE(request, RUN_VM, run_vm, &run);
    struct channel *channel = NULL;
    int status = -1;

    run.config = &s->config;
    run.has_tty = s->tty;
    if (channel_new(&channel, fd, CHANNEL_ARENA_CLIENT) < 0)
        fail("a channel");
    if (channel_send_raw(channel, &request.base, NULL, 0, true) == 0)
        status = listen_to(s, channel);
    if (status < 0)
        fprintf(stderr, "starter: the launcher says nothing\n");
    channel_free(channel);
    return status < 0 ? 2 : status;
}

int main(int argc, char **argv)
{
    static struct start s;
    int vm[2], service[2], i = 6, status;
    pid_t launcher, killer;

    if (argc < 8)
        return 2;
    init(&s);
    s.broker = argv[1];
    s.uid = (uid_t)atoi(argv[2]);
    s.words = argv + i;
    for (; i < argc && argv[i][0] != '/' && s.n_words < MAX_WORDS; i++)
        s.n_words++;
    s.trees = argv + i;
    for (; i < argc && strcmp(argv[i], "--") != 0 && s.n_trees < MAX_TREES; i++)
        s.n_trees++;
    for (i++; i < argc; i++) {
        char *equals = strchr(argv[i], '=');

        if (!equals)
            return 2;
        *equals = '\0';
        set_field(&s, argv[i], equals + 1);
    }
    s.console = listen_at(argv[5]);
    s.kept = up(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "/");
    make_pair(vm);
    make_pair(service);
    killer = start_killer(&s, start_broker(&s, argv + 3, vm[0]));
    launcher = start_launcher(&s, service[0], vm[1]);
    close(vm[0]);
    close(vm[1]);
    close(service[0]);
    status = ask(&s, service[1]);
    (void)waitpid(launcher, NULL, 0); /* our end is closed, so it has nobody to tell more */
    if (killer > 0)
        (void)waitpid(killer, NULL, 0);
    return status;
}
