/* SPDX-License-Identifier: Apache-2.0 */
/* trees_test.c - a tenant's paths stay below its trees, while somebody who may do anything there swaps directories, links,
 * fifos, devices and mounts. In a mount namespace of its own; without root in a user namespace too, where no device
 * and no other user is to be had. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "fixture.h"
#include "resources/open.h"
#include "resources/socket_path.h"
#include "resources/trees.h"
#include "temp_dir.h"

enum { TRIES = 10000, OTHER_UID = 12346 };
enum { FILES = RESOURCES_KIND(S_IFREG), DISKS = RESOURCES_KIND(S_IFREG) | RESOURCES_KIND(S_IFBLK) };

static char top[64];
static struct stat
    markers[2]; /* the files that are outside, one of them with a second name below */
static bool is_root;

static const char *in_top(const char *name)
{
    static char paths[4][128];
    static unsigned n;
    char *path = paths[n++ % ARRAY_SIZE(paths)];

    snprintf(path, sizeof paths[0], "%s/%s", top, name);
    return path;
}

static void make_dir(const char *name)
{
    assert_int_equal(mkdir(in_top(name), 0755), 0);
}

static void make_file(const char *name, const char *text)
{
    int fd = open(in_top(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int group_setup(void **state)
{
    const uid_t uid = geteuid();
    char map[32];

    (void)state;
    is_root = uid == 0;
    if (unshare(CLONE_NEWNS | (is_root ? 0 : CLONE_NEWUSER)) < 0)
        return -1;
    if (!is_root) {
        snprintf(map, sizeof map, "%u %u 1", (unsigned)uid, (unsigned)uid);
        write_file("/proc/self/uid_map", map);
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int setup(void **state)
{
    (void)state;
    if (!temp_dir(top, sizeof top, "bulkhead-trees"))
        return -1;
    make_dir("tree");
    make_dir("tree/a");
    make_dir("outside");
    make_file("tree/a/disk", "good");
    make_file("outside/disk", "marker");
    make_file("outside/twin", "marker");
    if (is_root) {
        assert_int_equal(chown(in_top("outside/disk"), OTHER_UID, OTHER_UID), 0);
        assert_int_equal(chown(in_top("outside/twin"), OTHER_UID, OTHER_UID), 0);
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
    (void)st;
    (void)what;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

struct grove {
    char *paths[3];
    int fds[3];
    struct trees trees;
};

static void plant(struct grove *g, const char *name)
{
    const char *path = name[0] == '/' ? name : in_top(name);
    unsigned i = g->trees.n++;

    g->paths[i] = strdup(path);
    g->fds[i] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(g->fds[i] >= 0);
    g->trees.paths = g->paths;
    g->trees.fds = g->fds;
    assert_int_equal(trees_check(&g->trees), 0);
}

static void fell(struct grove *g)
{
    for (unsigned i = 0; i < g->trees.n; i++) {
        close(g->fds[i]);
        free(g->paths[i]);
    }
}

static bool opens_file(const struct grove *g, const char *path, unsigned kinds, const char *why)
{
    struct fault f = { 0 };
    int fd = -1, r = resources_open(&g->trees, "disk0", path, O_RDONLY, kinds, &fd, &f);

    if (r == 0)
        close(fd);
    else if (!why || !strstr(f.text, why) || !f.bad_input)
        print_error("%s: %s\n", path, f.text);
    assert_true(r == 0 || (why && strstr(f.text, why) && f.bad_input));
    return r == 0;
}

/* ---- which tree ---- */

static void the_longest_tree_counts(void **state)
{
    struct grove g = { 0 };
    struct trees_way way;
    struct fault f;

    (void)state;
    make_dir("tree/a/b");
    plant(&g, "tree");
    plant(&g, "tree/a/b");
    plant(&g, "outside");
    assert_int_equal(trees_find(&g.trees, "x", in_top("tree/a/disk"), &way, &f), 0);
    assert_true(way.dir_fd == g.fds[0] && strcmp(way.rest, "a/disk") == 0 && !way.devices);
    assert_int_equal(trees_find(&g.trees, "x", in_top("/tree//./a/b//c/d"), &way, &f), 0);
    assert_true(way.dir_fd == g.fds[1] && strcmp(way.rest, "c/d") == 0);
    assert_int_equal(trees_find(&g.trees, "x", in_top("tree/a/bc"), &way, &f), 0);
    assert_true(way.dir_fd == g.fds[0] && strcmp(way.rest, "a/bc") == 0);
    assert_int_equal(trees_find(&g.trees, "x", in_top("outside"), &way, &f), 0);
    assert_true(way.dir_fd == g.fds[2] && strcmp(way.rest, ".") == 0);
    assert_true(trees_find(&g.trees, "x", in_top("tre"), &way, &f) < 0);
    assert_true(trees_find(&g.trees, "x", in_top("trees/a"), &way, &f) < 0);
    assert_true(trees_find(&g.trees, "x", top, &way, &f) < 0);
    assert_true(trees_find(&g.trees, "x", "/", &way, &f) < 0);
    assert_true(trees_find(&g.trees, "x", "tree/a/disk", &way, &f) < 0);
    assert_true(trees_find(&g.trees, "x", in_top("tree/a/../disk"), &way, &f) < 0);
    assert_true(trees_find(&g.trees, "x", in_top("tree/.."), &way, &f) < 0);
    g.trees.n = 0;
    assert_true(trees_find(&g.trees, "x", in_top("tree/a/disk"), &way, &f) < 0);
    g.trees.n = 3;
    fell(&g);
}

static void trees_that_are_none(void **state)
{
    static char *relative = (char *)(uintptr_t) "tree", *up = (char *)(uintptr_t) "/tmp/..",
                *good = (char *)(uintptr_t) "/tmp";
    int file = open(in_top("tree/a/disk"), O_PATH | O_CLOEXEC), none = -1;
    struct trees t = { .n = 1, .paths = &relative, .fds = &file };

    (void)state;
    assert_int_equal(trees_check(&t), -EINVAL);
    t.paths = &up;
    assert_int_equal(trees_check(&t), -EINVAL);
    t.paths = &good;
    assert_int_equal(trees_check(&t), -ENOTDIR);
    t.fds = &none;
    assert_int_equal(trees_check(&t), -ENOTDIR);
    close(file);
}

/* ---- what is opened there ---- */

static void links_are_not_followed(void **state)
{
    struct grove g = { 0 }, host = { 0 };

    (void)state;
    plant(&g, "tree");
    plant(&host, "/");
    assert_int_equal(symlink(in_top("outside/disk"), in_top("tree/absolute")), 0);
    assert_int_equal(symlink("a/disk", in_top("tree/inside")), 0);
    assert_int_equal(symlink("../outside", in_top("tree/way")), 0);
    assert_true(opens_file(&g, in_top("tree/a/disk"), DISKS, NULL));
    assert_false(opens_file(&g, in_top("tree/absolute"), DISKS, "goes through a link"));
    assert_false(opens_file(&g, in_top("tree/inside"), DISKS, "goes through a link"));
    assert_false(opens_file(&g, in_top("tree/way/disk"), DISKS, "goes through a link"));
    assert_false(opens_file(&g, in_top("outside/disk"), DISKS, "below no directory"));
    assert_true(opens_file(&host, in_top("tree/a/disk"), DISKS, NULL));
    assert_false(opens_file(&host, in_top("tree/inside"), DISKS, "goes through a link"));
    fell(&g);
    fell(&host);
}

static void mounts_are_trees_of_their_own(void **state)
{
    struct grove g = { 0 }, host = { 0 };

    (void)state;
    make_dir("tree/mounted");
    assert_int_equal(mount(in_top("outside"), in_top("tree/mounted"), NULL, MS_BIND, NULL), 0);
    plant(&g, "tree");
    plant(&host, "/");
    assert_false(opens_file(&g, in_top("tree/mounted/disk"), DISKS, "mounted there"));
    assert_true(opens_file(&host, in_top("tree/mounted/disk"), DISKS, NULL));
    plant(&g, "tree/mounted");
    assert_true(opens_file(&g, in_top("tree/mounted/disk"), DISKS, NULL));
    fell(&g);
    fell(&host);
    assert_int_equal(umount2(in_top("tree/mounted"), MNT_DETACH), 0);
}

static void other_kinds_are_refused(void **state)
{
    struct grove g = { 0 }, host = { 0 };

    (void)state;
    plant(&g, "tree");
    plant(&host, "/");
    assert_int_equal(mkfifo(in_top("tree/fifo"), 0644), 0);
    assert_false(opens_file(&g, in_top("tree/fifo"), DISKS, "is a fifo"));
    assert_false(opens_file(&g, in_top("tree/a"), DISKS, "is a directory"));
    assert_false(opens_file(&g, in_top("tree"), DISKS, "is a directory"));
    assert_false(opens_file(&host, "/dev/null", DISKS, "is a character device"));
    if (is_root) {
        assert_int_equal(mknod(in_top("tree/block"), S_IFBLK | 0600, makedev(7, 0)), 0);
        assert_false(opens_file(&g, in_top("tree/block"), DISKS, "a block device outside of /dev"));
        assert_int_equal(link(in_top("outside/twin"), in_top("tree/second")), 0);
        assert_false(opens_file(&g, in_top("tree/second"), DISKS, "a second name"));
        assert_int_equal(chown(in_top("tree/second"), 0, 0),
                         0); /* the tenant's own, who is root here */
        assert_true(opens_file(&g, in_top("tree/second"), DISKS, NULL));
    }
    fell(&g);
    fell(&host);
}

/* A file system stands for /dev: nodes are root's, and one that a tenant may write to is no such place. */
static void names_of_devices_are_links(void **state)
{
    struct grove g = { 0 }, volumes = { 0 };
    struct trees_way way;
    struct fault f;

    (void)state;
    if (!is_root) /* there is no block device to be had, and no folder of root's */
        return;
    assert_int_equal(mount("none", "/dev", "tmpfs", 0, "mode=755"), 0);
    assert_int_equal(mkdir("/dev/vg", 0755), 0);
    assert_int_equal(mkdir("/dev/shm", 0755), 0);
    assert_int_equal(chmod("/dev/shm", 01777), 0);
    assert_int_equal(mknod("/dev/dm-0", S_IFBLK | 0600, makedev(7, 0)), 0);
    assert_int_equal(symlink("../dm-0", "/dev/vg/data"), 0);
    assert_int_equal(symlink(in_top("outside/disk"), "/dev/vg/file"), 0);
    assert_int_equal(symlink("../dm-0", "/dev/shm/data"), 0);
    plant(&volumes, "/dev/vg");
    plant(&g, "/dev/shm");
    assert_int_equal(trees_find(&volumes.trees, "x", "/dev/vg/data", &way, &f), 0);
    assert_true(way.devices && way.only_devices);
    {
        cleanup_(fd_closep) int fd = trees_open(&way, way.rest, O_PATH, 0);
        struct stat st;

        assert_true(fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode));
        assert_int_equal(trees_check_file(&way, "x", "/dev/vg/data", &st, &f), 0);
    }
    assert_false(opens_file(&volumes, "/dev/vg/file", DISKS, "mounted there"));
    assert_false(opens_file(&volumes, "/dev/vg/../dm-0", DISKS, "without '..'"));
    assert_false(opens_file(&g, "/dev/shm/data", DISKS, "goes through a link"));
    fell(&volumes);
    fell(&g);
    assert_int_equal(umount2("/dev", MNT_DETACH), 0);
}

static void files_are_made_in_the_tree(void **state)
{
    struct grove g = { 0 };
    struct fault f = { 0 };
    struct stat st;
    int fd = -1;

    (void)state;
    plant(&g, "tree");
    umask(0022);
    assert_int_equal(resources_append(&g.trees, "the console", in_top("tree/log"), &fd, &f), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(write(fd, "1", 1), 1);
    close(fd);
    assert_int_equal(resources_append(&g.trees, "the console", in_top("tree/log"), &fd, &f), 0);
    assert_int_equal(write(fd, "2", 1), 1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 2);
    close(fd);
    assert_int_equal(symlink(in_top("outside/new"), in_top("tree/dangling")), 0);
    assert_true(resources_append(&g.trees, "the console", in_top("tree/dangling"), &fd, &f) < 0);
    assert_non_null(strstr(f.text, "goes through a link"));
    assert_int_equal(access(in_top("outside/new"), F_OK), -1);
    assert_int_equal(mkfifo(in_top("tree/fifo"), 0644), 0);
    assert_true(resources_append(&g.trees, "the console", in_top("tree/fifo"), &fd, &f) < 0);
    assert_non_null(strstr(f.text, "is a fifo"));
    fell(&g);
}

static void sockets_are_bound_in_the_tree(void **state)
{
    struct socket_path p;
    struct grove g = { 0 };
    struct fault f = { 0 };
    int fd = -1;

    (void)state;
    plant(&g, "tree");
    assert_int_equal(symlink("../outside", in_top("tree/way")), 0);
    assert_int_equal(
        socket_path_listen(&g.trees, "vsock", in_top("tree/a/s"), SOCK_STREAM, &p, &fd, &f), 0);
    assert_int_equal(access(in_top("tree/a/s"), F_OK), 0);
    socket_path_remove(&p);
    close(fd);
    assert_int_equal(
        socket_path_listen(&g.trees, "vsock", in_top("tree/s"), SOCK_STREAM, &p, &fd, &f), 0);
    assert_int_equal(access(in_top("tree/s"), F_OK), 0);
    socket_path_remove(&p);
    close(fd);
    assert_true(
        socket_path_listen(&g.trees, "vsock", in_top("tree/way/s"), SOCK_STREAM, &p, &fd, &f) < 0);
    assert_non_null(strstr(f.text, "goes through a link"));
    assert_true(socket_path_listen(&g.trees, "vsock", in_top("tree"), SOCK_STREAM, &p, &fd, &f) <
                0);
    assert_true(
        socket_path_listen(&g.trees, "vsock", in_top("outside/s"), SOCK_STREAM, &p, &fd, &f) < 0);
    assert_int_equal(access(in_top("outside/s"), F_OK), -1);
    fell(&g);
}

/* ---- somebody is at work there ---- */

enum { TREE, A, POOL, TOP, DIRS };

struct swap {
    int dir;
    const char *name;
    int other_dir;
    const char *other;
};

/* What is mounted can't be renamed, so this one does not stay. */
static void cover(const char *what, const char *where)
{
    if (mount(in_top(what), in_top(where), NULL, MS_BIND, NULL) < 0)
        return;
    for (unsigned i = 0; i < 1000; i++)
        (void)getppid();
    (void)umount2(in_top(where), MNT_DETACH);
}

/* Until it is killed. What it swaps stays until it does the same again, so that openers meet each state, however
 * seldom they run beside it. */
static _Noreturn void race(void)
{
    static const struct swap swaps[] = {
        { A, "disk", POOL, "link" }, { A, "disk", POOL, "second" }, { A, "disk", POOL, "fifo" },
        { A, "disk", POOL, "char" }, { A, "disk", POOL, "block" },  { A, "disk", POOL, "folder" },
        { A, "disk", POOL, "own" },  { TREE, "a", POOL, "way" },    { TREE, "a", POOL, "other" },
        { TREE, "a", TOP, "gone" }, /* out of the tree, and back */
    };
    /* Not by path, which would go astray itself. */
    const char *const names[DIRS] = { "tree", "tree/a", "tree/pool", "." };
    uint32_t random = 1;
    int dirs[DIRS];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < DIRS; i++)
        dirs[i] = open(in_top(names[i]), O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (;;) {
        unsigned i;

        random = random * 1103515245 + 12345;
        i = (random >> 16) % (ARRAY_SIZE(swaps) + 2);
        if (i < ARRAY_SIZE(swaps))
            (void)renameat2(dirs[swaps[i].dir], swaps[i].name, dirs[swaps[i].other_dir],
                            swaps[i].other, RENAME_EXCHANGE);
        else if (i == ARRAY_SIZE(swaps))
            cover("outside", "tree/a");
        else
            cover("outside/disk", "tree/a/disk");
    }
}

static void make_pool(void)
{
    make_dir("tree/pool");
    make_dir("tree/pool/folder");
    make_dir("tree/pool/other");
    make_dir("gone");
    make_file("tree/pool/own", "own");
    make_file("tree/pool/other/disk", "other");
    assert_int_equal(symlink("../../outside/disk", in_top("tree/pool/link")), 0);
    assert_int_equal(symlink("../outside", in_top("tree/pool/way")), 0);
    assert_int_equal(mkfifo(in_top("tree/pool/fifo"), 0644), 0);
    if (!is_root)
        return;
    assert_int_equal(link(in_top("outside/twin"), in_top("tree/pool/second")), 0);
    assert_int_equal(mknod(in_top("tree/pool/char"), S_IFCHR | 0600, makedev(1, 3)), 0);
    assert_int_equal(mknod(in_top("tree/pool/block"), S_IFBLK | 0600, makedev(7, 0)), 0);
}

static pid_t start_race(void)
{
    pid_t pid;

    make_pool();
    assert_int_equal(stat(in_top("outside/disk"), &markers[0]), 0);
    assert_int_equal(stat(in_top("outside/twin"), &markers[1]), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        race();
    return pid;
}

static void end_race(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    while (umount2(in_top("tree/a/disk"), MNT_DETACH) == 0 ||
           umount2(in_top("tree/a"), MNT_DETACH) == 0)
        ;
}

/* A file of the tree is regular, and none of those outside, by whatever name. */
static bool is_astray(int fd)
{
    bool astray;
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    astray = !S_ISREG(st.st_mode);
    for (unsigned i = 0; i < ARRAY_SIZE(markers); i++)
        astray |= st.st_dev == markers[i].st_dev && st.st_ino == markers[i].st_ino;
    return astray;
}

/* Who just opens the path is led astray: else the race would prove nothing. */
static void plain_opens_go_astray(void)
{
    unsigned astray = 0;

    for (unsigned i = 0; i < 100 * TRIES && astray < 10; i++) {
        cleanup_(fd_closep) int fd = open(in_top("tree/a/disk"), O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        astray += fd >= 0 && is_astray(fd);
    }
    assert_int_equal(astray, 10);
}

/* Longer where the two hardly run side by side: some tries must succeed. */
static bool goes_on(unsigned tries, unsigned successes)
{
    return tries < TRIES || (successes <= TRIES / 100 && tries < 100 * TRIES);
}

static void no_open_goes_astray(void **state)
{
    unsigned astray = 0, opened = 0, logs_astray = 0;
    struct grove g = { 0 };
    pid_t pid;

    (void)state;
    plant(&g, "tree");
    pid = start_race();
    plain_opens_go_astray();
    for (unsigned i = 0; goes_on(i, opened); i++) {
        cleanup_(fd_closep) int fd = -1, log = -1;
        struct fault f = { 0 };

        if (resources_open(&g.trees, "disk0", in_top("tree/a/disk"), O_RDWR, DISKS, &fd, &f) == 0) {
            opened++;
            astray += is_astray(fd);
        }
        if (resources_append(&g.trees, "the console", in_top("tree/a/disk"), &log, &f) == 0)
            logs_astray += is_astray(log);
    }
    end_race(pid);
    assert_int_equal(astray, 0);
    assert_int_equal(logs_astray, 0);
    assert_true(opened > TRIES / 100);
    fell(&g);
}

static unsigned count_names(const char *name)
{
    unsigned n = 0;
    char found[16];
    FILE *ls;
    char command[160];

    snprintf(command, sizeof command, "ls -A %s | wc -l", in_top(name));
    ls = popen(command, "re");
    assert_non_null(ls);
    assert_non_null(fgets(found, sizeof found, ls));
    assert_int_equal(pclose(ls), 0);
    n = (unsigned)strtoul(found, NULL, 10);
    return n;
}

/* Files and sockets are made as well: outside nothing appears, whatever is there when. */
static void nothing_is_made_outside(void **state)
{
    struct grove g = { 0 };
    unsigned made = 0;
    pid_t pid;

    (void)state;
    plant(&g, "tree");
    pid = start_race();
    plain_opens_go_astray();
    for (unsigned i = 0; goes_on(i, made); i++) {
        cleanup_(fd_closep) int fd = -1, listens = -1;
        struct socket_path p;
        struct fault f = { 0 };

        if (resources_append(&g.trees, "the console", in_top("tree/a/log"), &fd, &f) == 0)
            made++;
        if (socket_path_listen(&g.trees, "vsock", in_top("tree/a/s"), SOCK_STREAM, &p, &listens,
                               &f) == 0)
            socket_path_remove(&p);
    }
    end_race(pid);
    assert_int_equal(count_names("outside"), 2);
    assert_true(made > TRIES / 100);
    fell(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_longest_tree_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(trees_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(links_are_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(mounts_are_trees_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(other_kinds_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_of_devices_are_links, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_made_in_the_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets_are_bound_in_the_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(no_open_goes_astray, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_made_outside, setup, teardown),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
