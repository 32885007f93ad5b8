// SPDX-License-Identifier: Apache-2.0
// load.c - see load.h.
#include "vmconfig/load.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "vmconfig/yaml.h"

/* jansson doesn't say where a value stands. YAML has all that JSON has (but for tabs, before libyaml 0.2.5), so libyaml does. */
static void find_lines(const char *text, size_t len, struct lines *ret_lines)
{
    struct option_error ignored;

    json_decref(yaml_load("", text, len, ret_lines, &ignored));
}

static json_t *load_json(const char *name, const char *text, size_t len, struct lines *ret_lines,
                         struct option_error *err)
{
    json_error_t where;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);

    if (!root)
        option_fail(err, "%s:%d: %s", name, where.line, where.text);
    else if (ret_lines)
        find_lines(text, len, ret_lines);
    return root;
}

json_t *load_text(const char *name, const char *text, size_t len, struct lines *ret_lines,
                  struct option_error *err)
{
    size_t at = 0;

    while (at < len && isspace((unsigned char)text[at]))
        at++;
    if (at == len) {
        option_fail(err, "%s: empty", name);
        return NULL;
    }
    return text[at] == '{' ? load_json(name, text, len, ret_lines, err)
                           : yaml_load(name, text, len, ret_lines, err);
}

/* One byte more than allowed at most. */
static ssize_t read_all(int fd, char *text)
{
    size_t len = 0;

    while (len <= LOAD_MAX_BYTES) {
        ssize_t n = read(fd, text + len, LOAD_MAX_BYTES + 1 - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

json_t *load_file(const char *path, struct lines *ret_lines, struct option_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    cleanup_(fd_closep) int opened = is_stdin ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *text = malloc(LOAD_MAX_BYTES + 1);
    json_t *root = NULL;
    ssize_t n;

    if (!text) {
        option_fail(err, "%s: no memory", path);
        return NULL;
    }
    n = !is_stdin && opened < 0 ? -errno : read_all(is_stdin ? STDIN_FILENO : opened, text);
    if (n < 0)
        option_fail(err, "%s: %s", path, strerror((int)-n));
    else if (n > LOAD_MAX_BYTES)
        option_fail(err, "%s: longer than %d bytes: is that the right file?", path, LOAD_MAX_BYTES);
    else
        root = load_text(is_stdin ? "stdin" : path, text, (size_t)n, ret_lines, err);
    free(text);
    return root;
}
