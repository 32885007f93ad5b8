/* SPDX-License-Identifier: Apache-2.0 */
/* socket_path.h - a unix socket of ours at a path that the user names, and its neighbours.
 *
 * The path is walked once, at the start, with the rights of who started the VM: links on the way to
 * its folder are followed then. From there on the folder is a descriptor. Whoever may rename or
 * replace things on the way, or in the folder, leads us nowhere: what is opened below it is an entry
 * of that folder itself, no link, and a socket.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "config/fault.h"
#include "resources/trees.h"

enum {
    SOCKET_PATH_NAME_BYTES = 108,
    SOCKET_PATHS_MAX = 4, /* that the spawner holds: serial port, console, and two to spare */
};

/* What a socket is called before it has its name; one that was killed in between leaves it. */
#define SOCKET_PATH_OWN ".bulkhead-"

struct socket_path {
    int dir_fd;    /* O_PATH; -1: there is no such socket */
    int socket_fd; /* O_PATH, our socket: while it is open nothing else has its inode's number */
    char name[SOCKET_PATH_NAME_BYTES]; /* in the folder */
    struct stat dir;                   /* as it was at the start */
    uid_t uid;                         /* who started the VM; asking again takes a system call */
    gid_t gid;
};

void socket_path_init(struct socket_path *path);
/* Makes the socket and listens on it, mode 0600. A socket that nobody listens on any more is
 * replaced, anything else at that path is refused. The name is given to it when it listens: of two at once one has it, and the
 * other is refused. trees: where the path is resolved (trees.h). type: SOCK_STREAM, ... what: "the console".
 * 0, or a negative errno with one line for the user. *ret_fd is the caller's; *ret_path belongs to
 * the caller, who ends it with socket_path_remove(). */
int socket_path_listen(const struct trees *trees, const char *what, const char *path, int type,
                       struct socket_path *ret_path, int *ret_fd,
                       struct fault *ret_fault) must_check;
/* The same in a folder that is open already; path is what the user reads, and names the socket. */
int socket_path_listen_in(const char *what, const char *path, int dir_fd, int type,
                          struct socket_path *ret_path, int *ret_fd,
                          struct fault *ret_fault) must_check;
/* Connects to <name>_<port>, beside the socket. 0, or a negative errno: -ENOENT when nobody listens
 * there, -ELOOP when it is a link, -EMLINK when others may write to the folder and the socket has a second
 * name, -ENOTSOCK, -EACCES ... Does not wait: -EAGAIN when the listener
 * has too many connections to accept. */
int socket_path_connect(const struct socket_path *path, uint32_t port, int *ret_fd) must_check;
/* Closes both descriptors; the name stays. */
void socket_path_forget(struct socket_path *path);
/* Takes the name out of the folder if it is still our socket's, and closes both descriptors. */
void socket_path_remove(struct socket_path *path);

/* Whether the one who started the VM (uid, gid) or the owner of the folder may connect to a socket in
 * it. The kernel's own check is off where CAP_DAC_OVERRIDE is kept, so it is done here. */
bool socket_path_allows(const struct stat *dir, const struct stat *socket, uid_t uid, gid_t gid);
/* Others than who started the VM may put names into the folder: it is another user's, its group's or everybody's. */
bool socket_path_is_foreign(const struct socket_path *path);

/* For the spawner, which removes the sockets when nobody else is left to. Takes over fds, [folder]
 * [socket], into list. -EINVAL if they or the name are not what socket_path_listen() makes,
 * -ENOSPC. */
int socket_path_hold(struct socket_path list[SOCKET_PATHS_MAX], const char *name,
                     int fds[2]) must_check;
