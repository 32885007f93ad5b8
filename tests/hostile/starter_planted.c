/* SPDX-License-Identifier: Apache-2.0 */
/* starter_planted.c - links, fifos and sockets in the service's own folders lead a starter nowhere. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/compiler.h"
#include "starter_tries.h"
#include <cmocka.h>

/* Who could plant a link there is the service alone; but then nothing of the victim's may go or change. */
static void plant(const char *target, const char *place)
{
    char path[384];

    snprintf(path, sizeof path, "%s/%s", tries_rig->dir, place);
    assert_int_equal(symlink(target, path), 0);
}

static void uproot(const char *place)
{
    char path[384];

    snprintf(path, sizeof path, "%s/%s", tries_rig->dir, place);
    (void)unlink(path);
}

bool tries_links_in_place_of_folders(void)
{
    static const struct {
        const char *path;
        uint32_t operations; /* that would go there */
    } places[] = {
        { "state/vms/acme/evil", ~(1u << STARTER_KILL) },
        { "run/vms/acme/evil", 1u << STARTER_CONNECT | 1u << STARTER_REMOVE | 1u << STARTER_START },
        { "run/io/acme/evil", 1u << STARTER_CONNECT | 1u << STARTER_REMOVE | 1u << STARTER_START },
    };
    char victim[160];
    bool passed = false;

    snprintf(victim, sizeof victim, "%s/victim", tries_rig->dir);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        plant(victim, places[i].path);
        passed |= tries_any_of_passes(places[i].operations, "acme", "evil");
        passed |= rig_exists(tries_rig, "victim/spec.pb") || !rig_exists(tries_rig, "victim/file");
        uproot(places[i].path);
    }
    plant(victim, "state/vms/evil");
    passed |= tries_any_of_passes(~0u, "evil", "inside") ||
              rig_exists(tries_rig, "victim/inside/spec.pb") ||
              !rig_exists(tries_rig, "victim/inside");
    uproot("state/vms/evil");
    return passed;
}

bool tries_links_in_place_of_files(void)
{
    char victim[160], path[256], text[16] = "";
    bool passed = false;
    int fd;

    snprintf(victim, sizeof victim, "%s/victim/file", tries_rig->dir);
    assert_int_equal(rig_save(tries_rig, "acme", "evil", "spec", 4), 0);
    uproot("state/vms/acme/evil/spec.pb");
    plant(victim, "state/vms/acme/evil/spec.pb");
    plant(victim, "state/vms/acme/evil/spec.pb.new");
    plant(victim, "state/vms/acme/evil/console.log");
    assert_int_equal(rig_ask(tries_rig, STARTER_LOAD, "", ""), 0);
    for (unsigned i = 0; i < tries_rig->n_vms; i++)
        passed |= strcmp(tries_rig->vms[i].vm, "evil") == 0;
    passed |=
        rig_ask_channel(tries_rig, STARTER_LOGS, "acme", "evil", STARTER_CHANNEL_CONSOLE) == 0;
    assert_int_equal(rig_save(tries_rig, "acme", "evil", "evil", 4),
                     0); /* takes the link's place */
    snprintf(path, sizeof path, "%s/victim/file", tries_rig->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    passed |= read(fd, text, sizeof text) != 6 || memcmp(text, "victim", 6) != 0;
    close(fd);
    assert_int_equal(rig_ask(tries_rig, STARTER_REMOVE, "acme", "evil"), 0);
    return passed || !rig_exists(tries_rig, "victim/file");
}

/* Whoever opens one of these waits for ever. */
bool tries_fifos_in_place_of_files(void)
{
    static const char *const names[] = { "spec.pb", "console.log", "broker.log" };
    char path[256];
    bool passed;

    assert_int_equal(rig_save(tries_rig, "acme", "evil", "spec", 4), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof path, "state/vms/acme/evil/%s", names[i]);
        uproot(path);
        snprintf(path, sizeof path, "%s/state/vms/acme/evil/%s", tries_rig->dir, names[i]);
        assert_int_equal(mkfifo(path, 0600), 0);
    }
    passed =
        rig_ask_channel(tries_rig, STARTER_LOGS, "acme", "evil", STARTER_CHANNEL_CONSOLE) == 0 ||
        rig_ask_channel(tries_rig, STARTER_LOGS, "acme", "evil", STARTER_CHANNEL_BROKER) == 0;
    assert_int_equal(rig_ask(tries_rig, STARTER_LOAD, "", ""), 0);
    assert_int_equal(rig_ask(tries_rig, STARTER_REMOVE, "acme", "evil"), 0);
    return passed;
}

/* As a VM's process with a uid of its own could, if it could write there. */
static pid_t listen_as_another(const char *dir)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int ready[2], fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    char byte;
    pid_t pid;

    assert_true(snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", dir) <
                (int)sizeof address.sun_path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        if (setuid(RIG_UID) < 0 || listen(fd, 8) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    close(fd);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

bool tries_a_socket_of_another_user(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char dir[160], path[200];
    int fd, error;
    pid_t pid;

    if (geteuid() != 0) /* there is nobody else */
        return false;
    snprintf(dir, sizeof dir, "%s/run/vms/acme/evil", tries_rig->dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(path, sizeof path, "%s/lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    pid = listen_as_another(dir);
    error = rig_ask_channel(tries_rig, STARTER_CONNECT, "acme", "evil", STARTER_CHANNEL_COMMAND);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(fd);
    assert_int_equal(rig_ask(tries_rig, STARTER_REMOVE, "acme", "evil"), 0);
    return error != EPERM;
}
