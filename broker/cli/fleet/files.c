// SPDX-License-Identifier: Apache-2.0
// files.c - see files.h.
#include "fleet/files.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "client/hostdir.h"
#include "fleet/manifest.h"
#include "vmconfig/load.h"

enum { MAX_FILES = 1024 };

int files_default_folder(char *dst, size_t size)
{
    char config[HOSTDIR_PATH_BYTES];
    int r = hostdir_config(config, sizeof(config));

    if (r < 0)
        return r;
    return snprintf(dst, size, "%s/" FILES_FOLDER, config) >= (int)size ? -ENAMETOOLONG : 0;
}

/* ---- who may write ---- */

static bool is_ours_alone(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int refuse(const char *what, const char *path, const struct stat *st,
                  struct option_error *err)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return option_fail(err, "%s %s belongs to uid %u: it is to be root's, or yours", what, path,
                           (unsigned)st->st_uid);
    return option_fail(err, "%s %s may be written by others: chmod go-w it", what, path);
}

/* A folder without a link in its name, and all above it. Where everybody may write but take nothing of anybody's, as in
 * /tmp, is good enough for what is above, and for a file that was named: not for a folder that is to be read. */
static int check_folder(const char *path, bool is_read, struct option_error *err)
{
    char part[PATH_MAX];
    struct stat st;

    snprintf(part, sizeof(part), "%s", path);
    for (bool last = true; part[0]; last = false) {
        char *slash = strrchr(part, '/');

        if (stat(part, &st) < 0)
            return option_fail(err, "%s: %s", part, strerror(errno));
        if (!is_ours_alone(&st) &&
            !((st.st_mode & S_ISVTX) && st.st_uid == 0 && !(last && is_read)))
            return refuse("the folder", part, &st, err);
        if (!slash || part[1] == '\0')
            break;
        slash[slash == part] = '\0';
    }
    return 0;
}

/* ---- reading ---- */

static json_t *read_fd(int fd, const char *name, struct lines *ret_lines, struct option_error *err)
{
    char *text = malloc(LOAD_MAX_BYTES + 1);
    json_t *root = NULL;
    size_t len = 0;
    ssize_t n = 1;

    if (!text) {
        option_fail(err, "no memory");
        return NULL;
    }
    while (n != 0 && len <= LOAD_MAX_BYTES) {
        n = read(fd, text + len, LOAD_MAX_BYTES + 1 - len);
        if (n < 0 && errno != EINTR)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        option_fail(err, "%s: %s", name, strerror(errno));
    else if (len > LOAD_MAX_BYTES)
        option_fail(err, "%s: longer than %d bytes", name, LOAD_MAX_BYTES);
    else
        root = load_text(name, text, len, ret_lines, err);
    free(text);
    return root;
}

/* *ret_dir: the file's folder, in the bag. */
static json_t *read_path(const char *path, struct bag *bag, const char **ret_dir,
                         struct lines *ret_lines, struct option_error *err)
{
    char *real = realpath(path, NULL), *slash;
    cleanup_(fd_closep) int fd = -1;
    json_t *root = NULL;
    struct stat st;

    if (real)
        fd = open(real, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        option_fail(err, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        option_fail(err, "%s: is no file", path);
    } else if (!is_ours_alone(&st)) {
        refuse("the file", path, &st, err);
    } else {
        slash = strrchr(real, '/');
        slash[slash == real] = '\0';
        *ret_dir = bag_strndup(bag, real, strlen(real));
        if (check_folder(*ret_dir, false, err) == 0)
            root = read_fd(fd, path, ret_lines, err);
    }
    free(real);
    return root;
}

static json_t *load_beside(const char *dir, const char *path, struct bag *bag, const char **ret_dir,
                           struct lines *ret_lines, struct option_error *err)
{
    char whole[PATH_MAX];

    if (snprintf(whole, sizeof(whole), "%s%s%s", path[0] == '/' ? "" : dir,
                 path[0] == '/' ? "" : "/", path) >= (int)sizeof(whole)) {
        option_fail(err, "%.60s...: too long", path);
        return NULL;
    }
    return read_path(whole, bag, ret_dir, ret_lines, err);
}

void files_read_one(struct fleet *fleet, const char *path)
{
    struct manifest_source source = { .file = path, .load = load_beside };
    struct option_error err;
    json_t *root = read_path(path, &fleet->bag, &source.dir, &source.lines, &err);

    if (root)
        manifest_read(fleet, &source, root);
    else
        faults_add(&fleet->faults, "%s", err.text);
    fleet->n_files++;
    lines_deinit(&source.lines);
    json_decref(root);
}

/* ---- a folder ---- */

static int is_manifest(const struct dirent *entry)
{
    static const char *const endings[] = { ".yaml", ".yml", ".json" };
    size_t len = strlen(entry->d_name);

    for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
        if (len > strlen(endings[i]) && entry->d_name[0] != '.' &&
            strcmp(entry->d_name + len - strlen(endings[i]), endings[i]) == 0)
            return 1;
    return 0;
}

static void read_entries(struct fleet *fleet, const char *folder)
{
    struct dirent **entries = NULL;
    char path[PATH_MAX];
    int n = scandir(folder, &entries, is_manifest, alphasort);

    if (n < 0)
        faults_add(&fleet->faults, "%s: %s", folder, strerror(errno));
    if (n > MAX_FILES)
        faults_add(&fleet->faults, "%s: more than %d manifests", folder, MAX_FILES);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (n <= MAX_FILES)
            files_read_one(fleet, path);
        free(entries[i]);
    }
    free(entries);
}

void files_read_folder(struct fleet *fleet, const char *folder, bool may_be_missing)
{
    char *real = realpath(folder, NULL);
    struct option_error err;

    if (!real && errno == ENOENT && may_be_missing)
        return;
    if (!real)
        faults_add(&fleet->faults, "%s: %s", folder, strerror(errno));
    else if (check_folder(real, true, &err) < 0)
        faults_add(&fleet->faults, "%s", err.text);
    else
        read_entries(fleet, folder);
    free(real);
}

bool files_identify(const char *path, uint64_t *ret_dev, uint64_t *ret_ino)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    *ret_dev = S_ISBLK(st.st_mode) ? UINT64_MAX : st.st_dev;
    *ret_ino = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_ino;
    return true;
}
