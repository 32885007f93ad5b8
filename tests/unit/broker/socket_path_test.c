/* SPDX-License-Identifier: Apache-2.0 */
/* socket_path_test.c - unix sockets at paths of the user's, while somebody who may write to the
 * folders swaps what is there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"
#include "resources/socket_path.h"
#include "spawner/cgroups.h"
#include "spawner/spawner.h"
#include "spawner/uids.h"
#include "temp_dir.h"
#include <cmocka.h>

enum { PORT = 5 };

static char top[64], before[1024];

static int enter_top(void **state)
{
    (void)state;
    return temp_dir(top, sizeof top, "bh-socket") && getcwd(before, sizeof before) &&
                   chdir(top) == 0
               ? 0
               : -1;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
    (void)st;
    (void)what;
    (void)ftw;
    return remove(path);
}

static int leave_top(void **state)
{
    (void)state;
    return chdir(before) == 0 && nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : -1;
}

/* Another program's socket. */
static int service(const char *path, int backlog)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void connect_by_name(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static bool was_reached(int listener)
{
    cleanup_(fd_closep) int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    return fd >= 0;
}

static int try_listen(const char *path, struct socket_path *p, int *fd, struct fault *f)
{
    return socket_path_listen(NULL, "vsock", path, SOCK_STREAM, p, fd, f);
}

static int listen_at(const char *path, struct socket_path *p)
{
    struct fault f = { 0 };
    int fd = -1;

    if (try_listen(path, p, &fd, &f) < 0)
        fail_msg("%s", f.text);
    return fd;
}

static int reach(struct socket_path *p)
{
    cleanup_(fd_closep) int fd = -1;

    return socket_path_connect(p, PORT, &fd);
}

static bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* What somebody else does just before the next such call: once. */
static void (*before_listen)(void), (*before_rename)(void);

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);

static void act(void (**what)(void))
{
    void (*now)(void) = *what;

    *what = NULL;
    if (now)
        now();
}

int __wrap_listen(int fd, int backlog)
{
    act(&before_listen);
    return __real_listen(fd, backlog);
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    act(&before_rename);
    return __real_renameat2(from_fd, from, to_fd, to, flags);
}

static struct socket_path others;
static int others_fd;

static void another_starts(void)
{
    others_fd = listen_at("vs", &others);
}

static unsigned count_names(void)
{
    DIR *dir = opendir(".");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2; /* . and .. */
}

/* Two VMs that start at once with one path: one has it, whether there was nothing before or one left behind. */
static void one_of_two_at_once_has_it(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct socket_path p;
        struct fault f = { 0 };
        int fd = -1;

        if (i & 1)
            close(service("vs", 1));
        *(i & 2 ? &before_rename : &before_listen) = another_starts;
        assert_true(try_listen("vs", &p, &fd, &f) < 0);
        assert_non_null(strstr(f.text, "in use by another process"));
        connect_by_name("vs");
        assert_true(was_reached(others_fd));
        assert_int_equal(count_names(), 1);
        socket_path_remove(&others);
        close(others_fd);
        assert_int_equal(count_names(), 0);
    }
}

static void look_and_try(void)
{
    struct stat st;

    if (lstat("vs", &st) == 0)
        connect_by_name("vs"); /* fails unless it listens */
}

/* Who finds it can connect. */
static void what_has_the_name_listens(void **state)
{
    struct socket_path p;

    (void)state;
    before_listen = look_and_try;
    close(listen_at("vs", &p));
    assert_null(before_listen);
    socket_path_remove(&p);
    assert_int_equal(count_names(), 0);
}

/* The folder's owner, or that of a folder above it, swaps it for a link to somebody else's. */
static void the_way_is_walked_once(void **state)
{
    struct socket_path p;
    int fd, ours, secret;

    (void)state;
    assert_int_equal(mkdir("real", 0755) | mkdir("secret", 0700) | symlink("real", "link"), 0);
    fd = listen_at("link/vs", &p); /* a link in the path that the user gave: followed, now */
    assert_true(is_there("real/vs"));
    ours = service("real/vs_5", 4);
    secret = service("secret/vs_5", 4);
    close(service("secret/vs", 4));

    assert_int_equal(unlink("link") | symlink("secret", "link"), 0);
    assert_int_equal(reach(&p), 0);
    assert_true(was_reached(ours));
    assert_int_equal(rename("real", "moved") | symlink("secret", "real"), 0);
    assert_int_equal(reach(&p), 0);
    assert_true(was_reached(ours));
    assert_false(was_reached(secret));
    socket_path_remove(&p);
    assert_false(is_there("moved/vs"));
    assert_true(is_there("secret/vs"));
    close(fd);
    close(ours);
    close(secret);
}

static void what_stands_beside_it_must_be_a_socket(void **state)
{
    struct socket_path p;
    int fd, secret;

    (void)state;
    assert_int_equal(mkdir("secret", 0700), 0);
    fd = listen_at("vs", &p);
    secret = service("secret/s", 4);
    assert_int_equal(reach(&p), -ENOENT);
    assert_int_equal(symlink("secret/s", "vs_5"), 0);
    assert_true(reach(&p) < 0);
    assert_int_equal(unlink("vs_5") | mkdir("vs_5", 0700), 0);
    assert_int_equal(reach(&p), -ENOTSOCK);
    assert_int_equal(rmdir("vs_5") | mkfifo("vs_5", 0600), 0);
    assert_int_equal(reach(&p), -ENOTSOCK);
    assert_int_equal(unlink("vs_5"), 0);
    close(service("vs_5", 4));
    assert_int_equal(reach(&p), -ECONNREFUSED);
    assert_false(was_reached(secret));
    socket_path_remove(&p);
    close(fd);
    close(secret);
}

static void only_our_own_socket_is_removed(void **state)
{
    struct socket_path p, next;
    int fd, other;

    (void)state;
    fd = listen_at("vs", &p);
    assert_int_equal(unlink("vs"), 0);
    close(open("vs", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    socket_path_remove(&p);
    assert_true(is_there("vs"));
    assert_int_equal(unlink("vs"), 0);
    close(fd);

    fd = listen_at("vs", &p);
    assert_int_equal(unlink("vs") | mkdir("else", 0700) | symlink("else/f", "vs"), 0);
    close(open("else/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    socket_path_remove(&p);
    assert_true(is_there("vs") && is_there("else/f"));
    assert_int_equal(unlink("vs"), 0);
    close(fd);

    /* The next VM's at the same path, which may well get the number of an inode that is free. */
    fd = listen_at("vs", &p);
    close(fd);
    other = listen_at("vs", &next);
    socket_path_remove(&p);
    assert_true(is_there("vs"));
    socket_path_remove(&next);
    assert_false(is_there("vs"));
    socket_path_remove(&next); /* once is enough */
    close(other);
}

static void what_is_at_the_path_already(void **state)
{
    static const char *const refused[] = { "file",    "folder",  "link",      "used",
                                           "none/vs", "folder/", "folder/..", "." };
    struct socket_path p;
    struct fault f = { 0 };
    struct stat st;
    int fd = -1, used = service("used", 4);

    (void)state;
    close(open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(mkdir("folder", 0700) | symlink("nowhere", "link"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        f.bad_input = false;
        assert_true(try_listen(refused[i], &p, &fd, &f) < 0);
        assert_true(f.bad_input);
    }
    assert_true(is_there("file") && is_there("link") && is_there("used") && !is_there("nowhere"));
    close(used);
    fd = listen_at("used", &p); /* nobody listens there any more */
    assert_int_equal(stat("used", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    close(fd);
    socket_path_remove(&p);
}

/* An address has room for 107 bytes, all of which may be the name's. */
static void a_long_name(void **state)
{
    char name[SOCKET_PATH_NAME_BYTES], now[1024];
    char *wanted = realpath(top, NULL);
    struct socket_path p;
    int fd;

    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    fd = listen_at(name, &p);
    assert_true(is_there(name));
    assert_non_null(wanted);
    assert_non_null(getcwd(now, sizeof now));
    assert_string_equal(now, wanted);
    free(wanted);
    socket_path_remove(&p);
    assert_false(is_there(name));
    close(fd);
}

static void who_may_be_connected_to(void **state)
{
    enum { ROOT, TENANT = 1000, OTHER = 2000 };
    static const struct {
        unsigned dir_uid, dir_gid, uid, gid;
        mode_t mode;
        bool allowed;
    } rows[] = {
        { TENANT, TENANT, TENANT, TENANT, 0755, true }, /* the tenant's own service */
        { TENANT, TENANT, ROOT, ROOT, 0755, true },     /* the host's */
        { TENANT, TENANT, OTHER, OTHER, 0755, false },  /* somebody else's */
        { TENANT, TENANT, OTHER, OTHER, 0777, true },   /* who lets everybody in */
        { TENANT, TENANT, OTHER, TENANT, 0775, true },  /* or the folder's group */
        { TENANT, TENANT, OTHER, TENANT, 0755, false },
        { TENANT, TENANT, TENANT, TENANT, 0555, false }, /* shut */
        { TENANT, TENANT, OTHER, TENANT, 0757, false },  /* shut for the group alone */
        { ROOT, TENANT, TENANT, TENANT, 0775, true },    /* a folder of a group's */
        { ROOT, ROOT, OTHER, OTHER, 0755, false },       /* squatting in /tmp */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct stat dir = { .st_uid = rows[i].dir_uid, .st_gid = rows[i].dir_gid };
        const struct stat socket = { .st_uid = rows[i].uid,
                                     .st_gid = rows[i].gid,
                                     .st_mode = rows[i].mode };

        if (socket_path_allows(&dir, &socket, ROOT, ROOT) != rows[i].allowed)
            fail_msg("row %zu", i);
    }
}

/* The privilege to connect to a tenant's service is kept for a tenant's folder alone, and with it
 * the check is ours. Without it, for an ordinary user, it is the kernel's. */
static void a_folder_of_another_user(void **state)
{
    enum { TENANT = 1000, OTHER = 2000 };
    bool root = geteuid() == 0;
    struct socket_path p;
    int fd, served;

    (void)state;
    assert_int_equal(mkdir("tenant", 0755), 0);
    fd = listen_at("tenant/vs", &p);
    assert_false(socket_path_is_foreign(&p));
    p.uid++;
    assert_true(socket_path_is_foreign(&p));
    socket_path_remove(&p);
    close(fd);
    assert_int_equal(chown("tenant", root ? TENANT : geteuid(), getegid()), 0);
    fd = listen_at("tenant/vs", &p);
    assert_int_equal(socket_path_is_foreign(&p), root);
    served = service("tenant/vs_5", 4);
    assert_int_equal(chown("tenant/vs_5", root ? OTHER : geteuid(), root ? OTHER : getegid()), 0);
    assert_int_equal(chmod("tenant/vs_5", root ? 0755 : 0555), 0);
    assert_int_equal(reach(&p), -EACCES);
    assert_int_equal(chown("tenant/vs_5", root ? TENANT : geteuid(), getegid()), 0);
    assert_int_equal(chmod("tenant/vs_5", 0755), 0);
    assert_int_equal(reach(&p), 0);
    assert_true(was_reached(served));
    /* A second name of a socket of root's elsewhere, where fs.protected_hardlinks is off. */
    assert_int_equal(unlink("tenant/vs_5") | mkdir("private", 0700), 0);
    close(served);
    served = service("private/host", 4);
    assert_int_equal(link("private/host", "tenant/vs_5"), 0);
    assert_int_equal(reach(&p), root ? -EMLINK : 0);
    assert_int_equal(was_reached(served), !root);
    socket_path_remove(&p);
    close(fd);
    close(served);
}

/* Its own, but others may write there too: in a folder like /tmp anybody makes a link where fs.protected_hardlinks is
 * off, and an access list shows as the group's mode, were the group root's. */
static void a_folder_that_others_write_to(void **state)
{
    static const struct {
        mode_t mode;
        int reached;
    } rows[] = {
        { 0755, 0 }, { 0700, 0 }, { 0775, -EMLINK }, { 01777, -EMLINK }, { 0757, -EMLINK }
    };

    (void)state;
    assert_int_equal(mkdir("open", 0755) | mkdir("elsewhere", 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int fd, theirs = service("elsewhere/host", 4);
        struct socket_path p;

        assert_int_equal(chmod("open", rows[i].mode), 0);
        fd = listen_at("open/vs", &p);
        assert_int_equal(socket_path_is_foreign(&p), rows[i].reached != 0);
        assert_int_equal(link("elsewhere/host", "open/vs_5"), 0);
        assert_int_equal(reach(&p), rows[i].reached);
        assert_int_equal(was_reached(theirs), rows[i].reached == 0);
        assert_int_equal(unlink("elsewhere/host"), 0);
        assert_int_equal(reach(&p), 0); /* that has one name */
        assert_int_equal(unlink("open/vs_5"), 0);
        socket_path_remove(&p);
        close(fd);
        close(theirs);
    }
}

static bool hold(const char *name, int dir, int socket)
{
    struct socket_path list[SOCKET_PATHS_MAX];
    int fds[] = { dir, socket };
    int r;

    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_init(&list[i]);
    r = socket_path_hold(list, name, fds);
    if (r == 0)
        socket_path_forget(&list[0]);
    return r == 0;
}

static void what_the_spawner_may_be_given(void **state)
{
    struct socket_path p, list[SOCKET_PATHS_MAX];
    int fd = listen_at("vs", &p), file;

    (void)state;
    file = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(hold("vs", dup(p.dir_fd), dup(p.socket_fd)));
    assert_false(hold("", p.dir_fd, p.socket_fd));
    assert_false(hold("../vs", p.dir_fd, p.socket_fd));
    assert_false(hold("vs", p.dir_fd, file)); /* no file is removed by it */
    assert_false(hold("vs", file, p.socket_fd));
    assert_false(hold("vs", -1, p.socket_fd));
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_init(&list[i]);
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        assert_int_equal(socket_path_hold(list, "vs", (int[]){ dup(p.dir_fd), dup(p.socket_fd) }),
                         0);
    assert_int_equal(socket_path_hold(list, "vs", (int[]){ p.dir_fd, p.socket_fd }), -ENOSPC);
    for (unsigned i = 0; i < SOCKET_PATHS_MAX; i++)
        socket_path_forget(&list[i]);
    socket_path_remove(&p);
    close(fd);
    close(file);
}

/* The broker is gone without a word: the spawner takes its sockets away, and nothing else. */
static void the_spawner_removes_them(void **state)
{
    struct groups groups = { .base_fd = -1, .vm_fd = -1, .kill_fd = -1 };
    struct uids no_uids;
    const struct spawner_terms terms = { .groups = &groups, .uids = &no_uids, .broker_pidfd = -1 };
    struct spawner_request seal = { .kind = SPAWNER_SEAL };
    struct spawner spawner;
    struct socket_path ours, swapped, late;
    int fd[3];

    (void)state;
    fd[0] = listen_at("ours", &ours);
    fd[1] = listen_at("swapped", &swapped);
    fd[2] = listen_at("late", &late);
    uids_init(&no_uids);
    assert_int_equal(spawner_start(&spawner, -1, &terms), 0);
    assert_int_equal(spawner_hold(&spawner, &ours), 0);
    assert_int_equal(spawner_hold(&spawner, &swapped), 0);
    assert_int_equal(spawner_send(&spawner, &seal, NULL, 0), 0);
    assert_int_equal(spawner_hold(&spawner, &late), 0); /* the opening is over */
    assert_int_equal(unlink("swapped"), 0);
    close(open("swapped", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    spawner_stop(&spawner);
    assert_false(is_there("ours"));
    assert_true(is_there("swapped"));
    assert_true(is_there("late"));
    socket_path_forget(&ours);
    socket_path_forget(&swapped);
    socket_path_forget(&late);
    for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
        close(fd[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_of_two_at_once_has_it, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(what_has_the_name_listens, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(the_way_is_walked_once, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(what_stands_beside_it_must_be_a_socket, enter_top,
                                        leave_top),
        cmocka_unit_test_setup_teardown(only_our_own_socket_is_removed, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(what_is_at_the_path_already, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(a_long_name, enter_top, leave_top),
        cmocka_unit_test(who_may_be_connected_to),
        cmocka_unit_test_setup_teardown(a_folder_of_another_user, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(what_the_spawner_may_be_given, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(a_folder_that_others_write_to, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(what_the_spawner_may_be_given, enter_top, leave_top),
        cmocka_unit_test_setup_teardown(the_spawner_removes_them, enter_top, leave_top),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
