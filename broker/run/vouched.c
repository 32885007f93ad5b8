/* SPDX-License-Identifier: Apache-2.0 */
/* vouched.c - see vouched.h. */
#include "run/vouched.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "client/hostdir.h"
#include "config/config.h"

enum { MAX_BYTES = 64 << 10, MAX_COPIES = 64 };

/* An address that nobody has named is the service's to choose, at random; it opens nothing. 0 or -ENOMEM. */
static int take_macs(Bulkhead__VmConfig *to, const Bulkhead__VmConfig *from)
{
    for (size_t i = 0; i < to->n_nets && i < from->n_nets; i++) {
        ProtobufCBinaryData *mac = &to->nets[i]->mac;

        if (mac->len > 0 || from->nets[i]->mac.len == 0)
            continue;
        mac->data = malloc(from->nets[i]->mac.len);
        if (!mac->data)
            return -ENOMEM;
        memcpy(mac->data, from->nets[i]->mac.data, from->nets[i]->mac.len);
        mac->len = from->nets[i]->mac.len;
    }
    return 0;
}

/* As the service keeps it: all filled in, the name without its tenant, no time of the client's start. */
static bool complete(Bulkhead__VmConfig *config, const Bulkhead__VmConfig *like)
{
    const char *slash = strchr(config->name, '/');

    if (slash)
        memmove(config->name, slash + 1, strlen(slash + 1) + 1);
    config->trace_start_ns = 0;
    /* That one port ends at the service, which says whether. */
    if (config->vsock && like->vsock &&
        (like->vsock->service_port == 0 || like->vsock->service_port == HOSTDIR_SERVICE_PORT))
        config->vsock->service_port = like->vsock->service_port;
    return take_macs(config, like) == 0 && config_fill(config, "vm") == 0;
}

/* A file of ours that nobody else may have written. NULL: it is none, or no configuration. */
static Bulkhead__VmConfig *load(int dir_fd, const char *name)
{
    cleanup_(fd_closep) int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    Bulkhead__VmConfig *config = NULL;
    struct stat st;
    uint8_t *bytes;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 0077) != 0 || st.st_size > MAX_BYTES)
        return NULL;
    bytes = malloc((size_t)st.st_size + 1);
    if (bytes && read(fd, bytes, (size_t)st.st_size) == (ssize_t)st.st_size)
        config = bulkhead__vm_config__unpack(NULL, (size_t)st.st_size, bytes);
    free(bytes);
    return config;
}

static bool are_same(const Bulkhead__VmConfig *a, const Bulkhead__VmConfig *b)
{
    size_t len = bulkhead__vm_config__get_packed_size(a);
    uint8_t *bytes = bulkhead__vm_config__get_packed_size(b) == len ? malloc(2 * len + 1) : NULL;
    bool same = bytes && bulkhead__vm_config__pack(a, bytes) == len &&
                bulkhead__vm_config__pack(b, bytes + len) == len &&
                memcmp(bytes, bytes + len, len) == 0;

    free(bytes);
    return same;
}

static bool says_the_same(int dir_fd, const char *name, const Bulkhead__VmConfig *config)
{
    Bulkhead__VmConfig *copy = load(dir_fd, name);
    bool same = copy && complete(copy, config) && are_same(copy, config);

    config_free(copy);
    return same;
}

int vouched_check(int dir_fd, const Bulkhead__VmConfig *as_it_came, struct fault *f)
{
    int again = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    Bulkhead__VmConfig *config = config_copy(as_it_came);
    const struct dirent *entry;
    bool found = false;

    if (again >= 0 && !dir)
        close(again);
    if (config && complete(config, config))
        for (int n = 0; !found && n < MAX_COPIES && dir && (entry = readdir(dir)) != NULL;)
            if (strncmp(entry->d_name, HOSTDIR_VOUCHED, strlen(HOSTDIR_VOUCHED)) == 0) {
                found = says_the_same(dir_fd, entry->d_name, config);
                n++;
            }
    if (dir)
        closedir(dir);
    config_free(config);
    if (found)
        return 0;
    fault_input(f, "it would have the service's own rights, and `bulkhead create` was not called "
                   "with these for it: remove it and create it as the service's user, or have its "
                   "tenant be another user (run_as)");
    f->error = EPERM;
    return -EPERM;
}
